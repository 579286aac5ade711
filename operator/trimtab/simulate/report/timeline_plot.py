"""The plot of carbon intensity and of what ran, over time."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from trimtab.simulate.report.drawing import INK, Plot, chosen, lines, new_axes, to_svg
from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.results import PolicyResult, Timeline

FloatArray = npt.NDArray[np.float64]

_BINS = 336
"""Points along a plot: as many as the hours of two weeks, about as many as its width can show."""

_MINUTES_BELOW_HOURS = 3.0
"""A run that is no longer is shown in minutes."""

_CLOSE_HOURS = 168.0
_SHOWN = 4


def timeline_plots(results: Sequence[PolicyResult], facts: RunFacts) -> list[Plot]:
    """The whole run, and a week of its middle where the whole is too long to see hours."""
    shown = [result for result in chosen(results, facts.reference, _SHOWN) if len(result.timeline.hours)]
    if not shown:
        return []
    end = max(float(result.timeline.hours[-1]) for result in shown)
    if facts.kind != "serving" and len(facts.grams_per_kwh):
        # What is left after the last hour of the trace is only the end of what came late.
        end = min(end, float(len(facts.grams_per_kwh)))
    if end <= 0:
        return []
    plots = [_plot(shown, facts, 0.0, end, "timeline")]
    if end > 2 * _CLOSE_HOURS:
        begin = float(np.floor((end - _CLOSE_HOURS) / 2 / 24) * 24)
        plots.append(_plot(shown, facts, begin, begin + _CLOSE_HOURS, "week"))
    return plots


def _plot(shown: Sequence[PolicyResult], facts: RunFacts, begin: float, end: float, name: str) -> Plot:
    edges = _edges(begin, end, len(shown[0].timeline.hours))
    per_hour = 1 if end > _MINUTES_BELOW_HOURS else 60
    serving = facts.kind == "serving"
    load = next((result.timeline for result in shown if len(result.timeline.demand)), None) if serving else None
    # Within one hour the intensity is one number.
    with_intensity = len(facts.grams_per_kwh) > 0 and end > 1
    panels = new_axes(1.2 + 1.4 * (1 + with_intensity + (load is not None)), 1 + with_intensity + (load is not None))
    above = iter(panels)
    if with_intensity:
        hours = np.arange(len(facts.grams_per_kwh), dtype=np.float64)
        title = f"Carbon intensity{' of ' + facts.zone if facts.zone else ''} (g/kWh)"
        _single(next(above), mean_over(hours, facts.grams_per_kwh, edges), edges * per_hour, title)
    if load is not None:
        _single(next(above), mean_over(load.hours, load.demand, edges), edges * per_hour, "Load (requests a second)")
    what = "Replicas held" if serving else "Units held by jobs"
    _by_policy(panels[-1], shown, facts, edges, per_hour)
    panels[-1].set_title(what)
    for axis in panels:
        axis.set_xlim(begin * per_hour, end * per_hour)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelbottom=axis is panels[-1])
    panels[-1].set_xlabel(f"{'Hours' if per_hour == 1 else 'Minutes'} from the start of the simulation")
    return Plot(_title(name, facts), to_svg(panels[0], name), _caption(edges, with_intensity), _alt(shown, edges, what))


def _single(axis: Axes, values: FloatArray, edges: FloatArray, title: str) -> None:
    axis.stairs(values, edges, color=INK, baseline=None)
    axis.set_title(title)


def _by_policy(axis: Axes, shown: Sequence[PolicyResult], facts: RunFacts, edges: FloatArray, per_hour: int) -> None:
    for policy, line in lines([result.policy for result in shown], facts.reference).items():
        values = held(next(result.timeline for result in shown if result.policy == policy), edges)
        axis.stairs(
            values,
            edges * per_hour,
            color=line.colour,
            linestyle=line.dash,
            linewidth=line.width,
            label=policy,
            baseline=None,
        )
    axis.legend(ncols=len(shown), loc="upper left", bbox_to_anchor=(0, -0.32))


def _edges(begin: float, end: float, steps: int) -> FloatArray:
    """Whole days of a long run, whole hours of a shorter one: other bins would beat with the grid's day."""
    hours = end - begin
    if hours > _BINS:
        return np.append(np.arange(begin, end - 12, 24.0), end)
    return np.linspace(begin, end, (round(hours) if hours >= 48 else max(1, min(_BINS, steps - 1))) + 1)


def mean_over(hours: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """Mean of a series of hourly or stepwise values between edges; its last value holds on."""
    return held(Timeline(hours, values), edges)


def held(timeline: Timeline, edges: FloatArray) -> FloatArray:
    """Mean of what a timeline holds between each two edges (hours); 0 before it begins."""
    hours, units = timeline.hours, timeline.units
    total = np.concatenate([[0.0], np.cumsum(units[:-1] * np.diff(hours))])
    step = np.searchsorted(hours, edges, side="right") - 1
    inside = np.maximum(step, 0)
    integral = np.where(step < 0, 0.0, total[inside] + units[inside] * (edges - hours[inside]))
    mean: FloatArray = np.diff(integral) / np.diff(edges)
    return mean


def _title(name: str, facts: RunFacts) -> str:
    if name == "week":
        return "A week of it, hour by hour"
    return "What ran, and the load" if facts.kind == "serving" else "When jobs ran, and how clean the grid was"


def _caption(edges: FloatArray, with_intensity: bool) -> str:
    minutes = (edges[1] - edges[0]) * 60
    each = f"{minutes / 60:.3g} hours" if minutes > 90 else f"{minutes:.2g} minutes"
    if minutes < 2:
        each = f"{minutes * 60:.2g} seconds"
    aim = " A policy that saves carbon runs more where the upper line is low." if with_intensity else ""
    return f"Each point is a mean over {each}.{aim}"


def _alt(shown: Sequence[PolicyResult], edges: FloatArray, what: str) -> str:
    parts = []
    for result in shown:
        values = held(result.timeline, edges)
        parts.append(f"{result.policy} mean {values.mean():.3g}, most {values.max():.3g}")
    return f"{what} from hour {edges[0]:.0f} to hour {edges[-1]:.3g}: {'; '.join(parts)}."
