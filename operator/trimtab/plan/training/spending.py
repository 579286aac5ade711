"""What trainings may spend together, as the schedule sees it: what is left of each budget in its periods."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from trimtab.api.common import Reason
from trimtab.plan.schedule.problem import Budget, FloatArray, Overrun

_FAR_SLOTS = 48
"""Slots for the time beyond the forecast in which work may be put off."""
_LEAST_SLOT_HOURS = 1.0 / 60.0
"""Edges that are closer than this are one."""


@dataclass(frozen=True)
class LimitPeriod:
    """A period of a budget."""

    start: datetime
    """The present, for the period that is under way."""
    end: datetime
    left: float
    """What trainings may spend in it, in the unit of the budget: services and what is spent already are taken off."""


@dataclass(frozen=True)
class TrainingLimit:
    """A budget whose action LaterSlots is in force: the schedule puts off what its periods do not hold."""

    name: str
    """For messages: budget and policy."""
    unit: str
    """USD, kWh or kgCO2e."""
    periods: tuple[LimitPeriod, ...]
    """The present one, and some that follow."""
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    """By key of the trainings that it counts: why one that waits is put off."""

    def puts_off(self, key: str, deadline_hours: float, now: datetime) -> bool:
        """Whether a training has time beyond the present period."""
        return key in self.reasons and _hours(self.periods[0].end, now) < deadline_hours < math.inf


def with_periods(
    edges: FloatArray, limits: Iterable[TrainingLimit], latest_hours: float, needed_hours: float, now: datetime
) -> FloatArray:
    """Edges of the slots that are edges of the budgets' periods too, as far ahead as work may be put off.

    Args:
        edges: Without budgets, in hours from now.
        limits: The budgets.
        latest_hours: The latest deadline of the trainings that they count.
        needed_hours: Time that all the work takes, one after another.
        now: The start.
    """
    given = tuple(limits)
    ends = sorted({_hours(period.end, now) for limit in given for period in limit.periods})
    if not ends:
        return edges
    far = max(float(edges[-1]), min(latest_hours, ends[-1] + needed_hours))
    step = max(1.0, (far - float(edges[-1])) / _FAR_SLOTS)
    later = np.arange(float(edges[-1]) + step, far + 0.5 * step, step)
    merged = [0.0]
    bounds = [end for end in ends if end < far]
    for at in sorted({*edges.tolist(), *later.tolist(), *bounds}):
        if at - merged[-1] >= _LEAST_SLOT_HOURS:
            merged.append(at)
        elif at in bounds and len(merged) > 1:
            merged[-1] = at
    return np.array(merged)


def budgets_of(
    limits: Iterable[TrainingLimit], keys: frozenset[str], edges: FloatArray, now: datetime
) -> tuple[Budget, ...]:
    """The budgets of the scheduling problem.

    Args:
        limits: The budgets.
        keys: Trainings whose work and speed are known.
        edges: Of the slots.
        now: Start of the horizon.
    """
    found = []
    for limit in limits:
        jobs = keys & limit.reasons.keys()
        for period in limit.periods if jobs else ():
            start, end = _edge(edges, _hours(period.start, now)), _edge(edges, _hours(period.end, now))
            if start < edges[-1]:
                found.append(_budget(limit, jobs, period.left, start, end))
    return tuple(found)


def _budget(limit: TrainingLimit, jobs: frozenset[str], left: float, start: float, end: float) -> Budget:
    money, energy = limit.unit == "USD", limit.unit == "kWh"
    return Budget(
        jobs=jobs,
        usd=left if money else math.inf,
        grams=math.inf if money or energy else left * 1000.0,
        kilowatt_hours=left if energy else math.inf,
        name=limit.name,
        from_hours=start,
        until_hours=end,
        cuts=False,
    )


def overrun_reasons(budgets: tuple[Budget, ...], overruns: Iterable[Overrun]) -> dict[str, Reason]:
    """By key of the trainings: that a budget cannot hold all that has to be done, and what it lacks."""
    found: dict[str, Reason] = {}
    for over in overruns:
        budget = budgets[over.budget]
        lacks = (over.usd, "USD") if over.usd else (over.kilowatt_hours, "kWh")
        amount, unit = (over.grams / 1000.0, "kgCO2e") if over.grams else lacks
        text = f"{budget.name} lacks {amount:.3g} {unit} for what its trainings have to do until their deadlines"
        for key in budget.jobs:
            found.setdefault(key, Reason(code="BudgetTooSmall", message=text))
    return found


def _hours(at: datetime, now: datetime) -> float:
    return (at - now).total_seconds() / 3600.0


def _edge(edges: FloatArray, hours: float) -> float:
    """The edge that is meant by an instant; the instant itself beyond the last edge."""
    nearest = float(edges[np.abs(edges - hours).argmin()])
    return nearest if abs(nearest - hours) <= _LEAST_SLOT_HOURS else hours
