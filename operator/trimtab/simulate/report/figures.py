"""The figures of a run as people read them: columns that mean something for it, in units that fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.simulate.report.intervals import Saving
from trimtab.simulate.results import PolicyResult


@dataclass(frozen=True)
class Figure:
    """A column of the table by policy."""

    name: str
    """Its name, and its key in the glossary."""
    unit: str
    value: Callable[[PolicyResult], float | int | None]
    form: str
    """Format of a value; empty for four digits, or all that stand before the point."""
    scale: float = 1.0
    """By what a value is multiplied for its unit."""

    def shown(self, result: PolicyResult) -> str:
        """The value as text; a dash where it has no meaning."""
        value = self.value(result)
        if value is None:
            return "-"
        scaled = value * self.scale
        before_point = len(f"{abs(scaled):.0f}") if abs(scaled) >= 1 else 0
        return format(scaled, self.form or f",.{max(0, 4 - before_point)}f")


_FIGURES = (
    Figure("Carbon", "kg", lambda result: result.carbon_g, "", 1e-3),
    Figure("Cost", "USD", lambda result: result.cost, ""),
    Figure("Energy", "kWh", lambda result: result.energy_kwh, ""),
    Figure("Wait", "h", lambda result: result.mean_wait_h, ".2f"),
    Figure("Completion", "h", lambda result: result.mean_jct_h, ".3f"),
    Figure("Misses", "", lambda result: result.deadline_misses, ",.0f"),
    Figure("In target", "%", lambda result: result.slo_attainment, ".2f", 100),
    Figure("Accuracy", "", lambda result: result.mean_accuracy, ".4f"),
    Figure("Held", "h", lambda result: result.replica_hours, ""),
    Figure("Switches", "", lambda result: result.switches, ",.0f"),
    Figure("Plan", "ms", lambda result: result.plan_ms_p50, ".2f"),
    Figure("Plan, 99th", "ms", lambda result: result.plan_ms_p99, ".2f"),
    Figure("Optimum", "times", lambda result: result.ratio_to_optimum, ".3f"),
)
_BRIEF = {
    "training": ("Cost", "Wait", "Misses", "Optimum"),
    "elastic": ("Cost", "Completion", "Misses", "Optimum"),
    "serving": ("Cost", "In target", "Accuracy", "Optimum"),
}


def figures(results: Sequence[PolicyResult], brief: str | None = None) -> list[Figure]:
    """The figures that mean something for at least one policy of a run.

    Args:
        results: Of all policies.
        brief: The kind of the run, to have only those that people ask for first.
    """
    wanted = [figure for figure in _FIGURES if brief is None or figure.name in _BRIEF[brief]]
    return [figure for figure in wanted if any(figure.value(result) is not None for result in results)]


def shown_saving(found: Mapping[str, Saving], policy: str, *, bare: bool = False) -> str:
    """A saving in per cent with its interval, `21.3 (20.1 to 22.4)`, or without if `bare`; a dash for none."""
    saving = found.get(policy)
    if saving is None:
        return "-"
    if bare or saving.low is None or saving.high is None:
        return _per_cent(saving.share)
    return f"{_per_cent(saving.share)} ({_per_cent(saving.low)} to {_per_cent(saving.high)})"


def _per_cent(share: float) -> str:
    # Rounded first, so that next to nothing is 0.0 and not -0.0.
    return f"{round(100 * share, 1) + 0.0:.1f}"
