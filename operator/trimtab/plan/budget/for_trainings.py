"""What is left of a budget for trainings, for the schedule that puts off what it does not hold."""

from collections.abc import Mapping
from datetime import datetime

from trimtab.api.budget import Budget, BudgetAction
from trimtab.api.common import Reason
from trimtab.plan.budget.account import limit_of, unit_of
from trimtab.plan.budget.forecast import hours_left
from trimtab.plan.budget.period import period_at
from trimtab.plan.budget.problem import METER_DOUBT, STOP_SECONDS, Standing, Verdict
from trimtab.plan.training.spending import LimitPeriod, TrainingLimit

_PERIODS_AHEAD = 6
"""Periods that are looked at after the present one."""


def training_limit(
    policy: str,
    budget: Budget,
    standing: Standing,
    verdict: Verdict,
    holds_per_hour: float,
    reasons: Mapping[str, Reason],
) -> TrainingLimit | None:
    """The budget as the schedule of trainings sees it; None while LaterSlots is neither in force nor planned, or where
    no period ends.

    What services ask for by the forecast is taken off, and what is spent until pods that stop are gone. Of the periods
    that follow nothing is known but the limit: what is carried over to them is not counted on.

    Args:
        policy: Key of the policy.
        budget: The budget.
        standing: As it stands.
        verdict: What is done about it.
        holds_per_hour: What all pods that count spend now for an hour.
        reasons: By key (`namespace/name`) of its trainings: why one is put off.
    """
    planned = standing.actions[: verdict.planned]
    if BudgetAction.LATER_SLOTS not in planned or standing.period_end is None or not reasons:
        return None
    services = verdict.asked.services[verdict.planned]
    stopping = holds_per_hour * STOP_SECONDS / 3600.0 * (1.0 + METER_DOUBT)
    left = standing.limit - verdict.spent_now - services * hours_left(standing) - stopping
    periods, end = [LimitPeriod(standing.now, standing.period_end, max(0.0, left))], standing.period_end
    for _ in range(_PERIODS_AHEAD):
        start = end
        following = period_at(budget.period, budget.time_zone, start)
        if following.end is None:
            break
        end = following.end
        periods.append(LimitPeriod(start, end, max(0.0, limit_of(budget) - services * _hours(start, end))))
    return TrainingLimit(f"budget {budget.name} of policy {policy}", unit_of(budget), tuple(periods), dict(reasons))


def _hours(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600.0
