"""A study of budgets: by what they count and by how much of the unconstrained spending they allow."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from trimtab.simulate.budgets.replay import BudgetResult, BudgetRun, PeriodResult
from trimtab.simulate.budgets.run import run_budget
from trimtab.simulate.budgets.world import FloatArray, Unit
from trimtab.simulate.inputs.arrivals import Arrivals
from trimtab.simulate.inputs.training_jobs import JobTrace

_MINUTES = 1440
_BINS = 144


@dataclass(frozen=True)
class StudyRow:
    """One budget over all its whole periods."""

    unit: Unit
    share: float
    """The limit over what is spent without a budget."""
    limit: float
    periods: int
    most_spent: float
    """The most that a period spent, over its limit."""
    least_used_when_refused: float | None
    """The least that was spent, over the limit, in a period at whose end work was refused; None when none was."""
    least_before_refusal: float | None
    """The least that was spent, or kept for workloads of higher rank, when a period first refused work; over the
    limit."""
    refused_share: float
    """Part of the time in which some workload was stopped."""
    least_used: float | None
    """The least that a period spent in which any action was in force, over what there was to spend: its limit, or what
    it spends without a budget if that is less; None when nothing was ever done."""
    suspensions: int
    """How often a workload was stopped that was not before."""
    needless: int
    """Those of them after which the cheaper actions alone would have kept the period, as it came, within its limit."""
    free_periods: int
    """Periods with suspensions that the cheaper actions, in force from the first hour on, would have kept within the
    limit."""
    finished_share: float
    """Jobs that were finished, over those that are without a budget."""
    hours_by_action: dict[str, float]

    def to_json(self) -> dict[str, object]:
        """As it stands in result.json."""
        return asdict(self)


def day_of_load(arrivals: Arrivals) -> FloatArray:
    """The load of a day by minute, as a share of its peak: a short trace of requests, stretched over a day."""
    counts, _ = np.histogram(arrivals.seconds, bins=_BINS)
    # Over three bins: what is shorter is noise of the stretching, not the course of a day.
    smooth = np.convolve(np.concatenate((counts[-1:], counts, counts[:1])), np.ones(3) / 3.0, mode="valid")
    return np.repeat(smooth / smooth.max(), _MINUTES // _BINS)


def every(trace: JobTrace, stride: int) -> JobTrace:
    """Every so many-th job of a trace, which keeps its course with fewer jobs."""
    return replace(
        trace,
        arrival_hours=trace.arrival_hours[::stride],
        length_hours=trace.length_hours[::stride],
        units=trace.units[::stride],
        lines=trace.lines[::stride],
    )


def study(base: BudgetRun, units: Iterable[Unit], shares: Iterable[float]) -> Iterator[StudyRow]:
    """Run each budget, and what would be spent without it; rows come as they are done.

    Args:
        base: The run; its limit and unit are set by the study.
        units: What the budgets count.
        shares: Limits, over the mean of what a whole period spends without a budget.

    Raises:
        ValueError: The run is too short for one whole period.
    """
    wanted = tuple(shares)
    for unit in units:
        free = run_budget(replace(base, unit=unit, limit=math.inf))
        if not free.whole:
            raise ValueError(f"{base.hours:g} hours are no whole {base.period.lower()}; simulate for longer")
        mean = float(np.mean([p.spent for p in free.whole]))
        for share in wanted:
            yield _row(unit, share, share * mean, run_budget(replace(base, unit=unit, limit=share * mean)), free)


def _row(unit: Unit, share: float, limit: float, result: BudgetResult, free: BudgetResult) -> StudyRow:
    whole = result.whole
    refused = [p for p in whole if p.refused_at_end]
    first = [p.first_refused_share for p in whole if p.first_refused_share is not None]
    acted = [(p, q) for p, q in zip(whole, free.whole, strict=True) if set(p.actions) - {"none"} and q.spent > 0.0]
    hours = sum(sum(p.actions.values()) for p in whole)
    return StudyRow(
        unit=unit,
        share=share,
        limit=limit,
        periods=len(whole),
        most_spent=max(p.spent / p.limit for p in whole),
        least_used_when_refused=min((p.spent / p.limit for p in refused), default=None),
        least_before_refusal=min(first, default=None),
        refused_share=sum(p.refused_hours for p in whole) / hours if hours else 0.0,
        least_used=min((p.spent / min(p.limit, q.spent) for p, q in acted), default=None),
        suspensions=sum(p.suspensions for p in whole),
        needless=sum(p.needless for p in whole),
        free_periods=sum(p.could_be_free for p in whole),
        finished_share=result.finished / max(1, free.finished),
        hours_by_action=_by_action(whole),
    )


def _by_action(periods: tuple[PeriodResult, ...]) -> dict[str, float]:
    total: dict[str, float] = {}
    for period in periods:
        for name, hours in period.actions.items():
            total[name] = round(total.get(name, 0.0) + hours, 1)
    return total
