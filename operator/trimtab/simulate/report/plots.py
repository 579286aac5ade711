"""The plots that compare policies: savings, what they cost in time or quality, the distance to the limit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from trimtab.simulate.report.drawing import INK, Plot, chosen, lines, new_axes, to_svg
from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.report.intervals import Saving
from trimtab.simulate.results import PolicyResult, Sensitivity

_SHOWN = 6


def savings_plot(found: Mapping[str, Mapping[str, Saving]], facts: RunFacts) -> Plot | None:
    """Savings by policy with their intervals, one panel a measure; None where nothing is to be saved.

    Args:
        found: By measure, by policy.
        facts: Of the run.
    """
    panels = {measure: by_policy for measure, by_policy in found.items() if by_policy}
    if not panels:
        return None
    policies = list(next(iter(panels.values())))
    styles = lines([*policies, facts.reference], facts.reference)
    axes = new_axes(1.0 + 0.28 * len(policies), 1, len(panels))
    for axis, (measure, by_policy) in zip(axes, panels.items(), strict=True):
        for at, policy in enumerate(policies):
            _dot(axis, at, by_policy.get(policy), styles[policy].colour)
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set_title(f"{measure} saved (%)")
        axis.set_ylim(len(policies) - 0.5, -0.5)
        axis.set_yticks(range(len(policies)), policies if axis is axes[0] else [""] * len(policies))
        axis.grid(axis="x", color=INK, alpha=0.15)
    said = "Saved: " + "; ".join(f"{measure}: {_list_savings(by_policy)}" for measure, by_policy in panels.items())
    caption = (
        f"Share saved against {facts.reference}; right of the line is less, left of it more. "
        "Bars are 95 % bootstrap intervals; where there is none, the policy has no outcome one by one to draw from."
    )
    return Plot(f"Savings against {facts.reference}", to_svg(axes[0], "savings"), caption, said)


def _dot(axis: Axes, at: int, saving: Saving | None, colour: str) -> None:
    if saving is None:
        return
    if saving.low is not None and saving.high is not None:
        axis.plot([100 * saving.low, 100 * saving.high], [at, at], color=colour, linewidth=2, solid_capstyle="butt")
    axis.plot([100 * saving.share], [at], "o", color=colour, markersize=5)


def _list_savings(by_policy: Mapping[str, Saving]) -> str:
    return ", ".join(f"{policy} {100 * saving.share:.1f} %" for policy, saving in by_policy.items())


def ratio_plot(results: Sequence[PolicyResult], facts: RunFacts) -> Plot | None:
    """How far each policy is from the limit; None where no policy knows."""
    known = [(result.policy, result.ratio_to_optimum) for result in results if result.ratio_to_optimum is not None]
    if not known:
        return None
    styles = lines([policy for policy, _ in known], facts.reference)
    axis = new_axes(0.9 + 0.26 * len(known))[0]
    for at, (policy, ratio) in enumerate(known):
        axis.plot([1, ratio], [at, at], color=styles[policy].colour, linewidth=2)
        axis.plot([ratio], [at], "o", color=styles[policy].colour)
        axis.annotate(f" {ratio:.3f}", (ratio, at), xytext=(5, 0), textcoords="offset points", va="center")
    axis.axvline(1, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(known)), [policy for policy, _ in known])
    axis.set_ylim(len(known) - 0.5, -0.5)
    axis.margins(x=0.12)
    axis.set_xlabel("Times the optimum")
    said = ", ".join(f"{policy} {ratio:.3f}" for policy, ratio in known)
    caption = (
        f"How many times the {facts.objective} of the optimum: the least for whoever knows all arrivals and "
        "intensities beforehand, or a bound below it. 1 is the limit."
    )
    return Plot("Distance to the limit", to_svg(axis, "ratio"), caption, f"Ratio to the optimum: {said}.")


def trade_plot(results: Sequence[PolicyResult], found: Mapping[str, Saving], facts: RunFacts) -> Plot | None:
    """What savings cost: waiting for jobs, attainment for requests; None where it is not known."""
    serving = facts.kind == "serving"
    points = []
    for result in results:
        across = result.slo_attainment if serving else result.mean_wait_h
        share = (
            0.0 if result.policy == facts.reference else found[result.policy].share if result.policy in found else None
        )
        if across is not None and share is not None:
            points.append((result.policy, across * (100 if serving else 1), 100 * share))
    if len(points) < 2:
        return None
    styles = lines([policy for policy, _, _ in points], facts.reference)
    axis = new_axes(3.2)[0]
    for policy, across, share in points:
        line = styles[policy]
        axis.plot([across], [share], line.marker, color=line.colour, markersize=8, linestyle="none", label=policy)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axis.margins(0.15)
    axis.grid(color=INK, alpha=0.15)
    if serving and facts.least_attainment:
        axis.axvline(100 * facts.least_attainment, color=INK, linewidth=0.8, alpha=0.6)
    label = "Requests within the latency target (%)" if serving else "Mean wait (hours)"
    measure = "Cost" if serving else "Carbon"
    axis.set_xlabel(label)
    axis.set_ylabel(f"{measure} saved (%)")
    said = "; ".join(f"{policy}: {across:.3g}, {share:.1f} % saved" for policy, across, share in points)
    better = "further up and right" if serving else "further up and left"
    missed = " Left of the upright line the target is missed." if serving and facts.least_attainment else ""
    caption = f"Each point is a policy; {better} is better.{missed}"
    return Plot("What the savings cost", to_svg(axis, "trade"), caption, f"{label} against {measure} saved: {said}.")


def distribution_plots(results: Sequence[PolicyResult], facts: RunFacts) -> list[Plot]:
    """How waits and completion times spread over jobs, for the policies that know them job by job."""
    plots = []
    shown = chosen(results, facts.reference, _SHOWN)
    for name, title, attribute in (
        ("wait", "How long jobs waited", "wait_hours"),
        ("jct", "How long jobs took from arrival to end", "jct_hours"),
    ):
        known = [(result.policy, np.sort(getattr(result.outcomes, attribute))) for result in shown]
        known = [(policy, values) for policy, values in known if len(values) and np.isfinite(values[0])]
        if known:
            plots.append(_distribution(name, title, known, facts))
    return plots


def _distribution(name: str, title: str, known: Sequence[tuple[str, np.ndarray]], facts: RunFacts) -> Plot:
    axis = new_axes(2.9)[0]
    shares = np.linspace(0, 1, 201)
    for policy, line in lines([policy for policy, _ in known], facts.reference).items():
        values = next(values for other, values in known if other == policy)
        ends = np.quantile(values, shares, method="inverted_cdf")
        axis.step(ends, 100 * shares, color=line.colour, linestyle=line.dash, linewidth=line.width, label=policy)
    finite = [values[np.isfinite(values)] for _, values in known]
    axis.set_xlim(0, max(float(np.quantile(values, 0.995)) for values in finite) or 1.0)
    axis.set_ylim(0, 101)
    axis.set_xlabel("Hours")
    axis.set_ylabel("Share of jobs (%)")
    axis.grid(color=INK, alpha=0.15)
    axis.legend(loc="lower right")
    said = "; ".join(
        f"{policy} median {np.median(values):.2f}, 95th percentile {np.quantile(values, 0.95):.2f}"
        for policy, values in known
    )
    caption = "Read: so many per cent of the jobs took no longer than the hours below. Further up and left is better."
    return Plot(title, to_svg(axis, name), caption, f"Hours: {said}.")


def sensitivity_plot(sensitivity: Sensitivity, facts: RunFacts, name: str) -> Plot:
    """Savings over a setting, one line a policy."""
    axis = new_axes(2.7)[0]
    for policy, line in lines(list(sensitivity.savings), facts.reference).items():
        share = 100 * np.array(sensitivity.savings[policy])
        axis.plot(
            sensitivity.values, share, marker=line.marker, markersize=4, color=line.colour,
            linestyle=line.dash, linewidth=line.width, label=policy,
        )  # fmt: skip
    axis.axvline(sensitivity.base, color=INK, linewidth=0.8, alpha=0.5)
    axis.set_xlabel(sensitivity.axis)
    axis.set_ylabel("Carbon saved (%)")
    axis.grid(color=INK, alpha=0.15)
    axis.legend(loc="best")
    said = "; ".join(
        f"{policy}: "
        + ", ".join(
            f"{100 * share:.1f} % at {value:g}" for value, share in zip(sensitivity.values, shares, strict=True)
        )
        for policy, shares in sensitivity.savings.items()
    )
    caption = (
        f"The same run with other values; the upright line is the run itself. Savings are against {facts.reference} "
        "under the same value."
    )
    return Plot(f"Sensitivity: {sensitivity.axis}", to_svg(axis, name), caption, said)
