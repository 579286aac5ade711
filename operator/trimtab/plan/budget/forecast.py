"""How much will have been spent at the end of a period, by the plan ahead and by what was asked for lately."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from trimtab.plan.budget.problem import METER_DOUBT, Demand, Rates, Standing

TOTAL_HOURS = 24.0
"""How far ahead a Total is looked at: it has no end, and whatever runs on exhausts it some day."""

_LEAST_DOUBT, _MOST_DOUBT = 0.05, 0.5


def hours_left(standing: Standing) -> float:
    """Hours until the period ends."""
    if standing.period_end is None:
        return TOTAL_HOURS
    return max(0.0, (standing.period_end - standing.now).total_seconds() / 3600.0)


def spent_by_now(standing: Standing, demands: Iterable[Demand]) -> float:
    """What is metered, and on top what the pods that run have spent since, at most."""
    gap_hours = max(0.0, (standing.now - standing.accounted_until).total_seconds() / 3600.0)
    since = sum(d.holds_per_hour * gap_hours if d.unmetered is None else d.unmetered for d in demands)
    return standing.spent + since * (1.0 + METER_DOUBT)


def carry_on(standing: Standing, demands: tuple[Demand, ...]) -> Rates:
    """The mean rates with what is asked for now.

    Args:
        standing: The budget, with the means as they stood.
        demands: What is asked for now.
    """
    rates, now, levels = standing.asked, standing.now, len(standing.actions) + 1
    services, trainings = _sums(demands, levels, service=True), _sums(demands, levels, service=False)
    if rates.at is None or len(rates.services) != levels or len(rates.trainings) != levels:
        return Rates(services, trainings, now, now)
    weight = _weight(standing, rates, now)
    off = services[0] + trainings[0] - rates.services[0] - rates.trainings[0]
    return Rates(
        _mixed(rates.services, services, weight),
        _mixed(rates.trainings, trainings, weight),
        now,
        rates.since,
        # West's update of a weighted variance.
        math.sqrt((1.0 - weight) * (rates.spread**2 + weight * off**2)),
    )


def _weight(standing: Standing, rates: Rates, now: datetime) -> float:
    """Of what is asked for now in the means: all that is known counts alike until it is as long as the memory."""
    passed = max(0.0, (now - (rates.at or now)).total_seconds() / 3600.0)
    fading = -math.expm1(-passed / standing.memory_hours)
    known = (now - rates.since).total_seconds() / 3600.0 if rates.since is not None else math.inf
    return max(fading, passed / known) if known > 0.0 else fading


def _sums(demands: tuple[Demand, ...], levels: int, *, service: bool) -> tuple[float, ...]:
    """What services ask for, or what the trainings that run do: those that queue are in what is known of the work."""
    counted = [d for d in demands if d.service is service and (service or d.holds_per_hour > 0.0)]
    return tuple(sum(d.per_hour[k] for d in counted) for k in range(levels))


def _mixed(old: tuple[float, ...], new: tuple[float, ...], weight: float) -> tuple[float, ...]:
    return tuple(a + (b - a) * weight for a, b in zip(old, new, strict=True))


def needs(standing: Standing, demands: tuple[Demand, ...], rates: Rates) -> tuple[float, ...]:
    """What is asked for from now to the end of the period, by level, whether or not the budget has it.

    Services go on at their mean rate. Trainings need what the work that is known takes; where more work was asked for
    lately than is known now, more will come.
    """
    hours, known = hours_left(standing), tuple(d for d in demands if not d.service)
    result = []
    for level in range(len(standing.actions) + 1):
        planned = sum(d.ahead[level] for d in known)
        usual = rates.trainings[level] * hours if standing.period_end is not None else 0.0
        result.append(rates.services[level] * hours + max(planned, usual))
    return tuple(result)


def doubt(standing: Standing, rates: Rates) -> float:
    """How far the need until the period's end may be off, as a part of it: one standard deviation.

    What is asked for hangs together over a tenth of the memory. The mean of the hours to come then scatters by what
    is left of the spread over so many independent stretches, and the mean of the past, which stands for it, by the
    same over the memory: the variance of the mean of a correlated series.
    """
    mean = rates.services[0] + rates.trainings[0]
    if mean <= 0.0:
        return _LEAST_DOUBT
    hours, memory = hours_left(standing), standing.memory_hours
    together = memory / 10.0
    ahead = min(1.0, 2.0 * together / hours) if hours > 0.0 else 1.0
    scatter = rates.spread / mean * math.sqrt(ahead + together / memory)
    return min(_MOST_DOUBT, max(_LEAST_DOUBT, scatter))


def exhausted_at(standing: Standing, spent_now: float, need: float) -> datetime | None:
    """When the limit is reached if so much is spent evenly until the period ends; None when it is not."""
    left = standing.limit - spent_now
    if left <= 0.0:
        return standing.now
    hours = hours_left(standing)
    if need <= left * (1 + 1e-9) or hours <= 0.0:
        return None
    return standing.now + timedelta(hours=hours * left / need)
