"""A budget's own account: its limit, what of it is spent, and how a period follows the other."""

import math
from datetime import datetime

from trimtab.api.budget import Budget, BudgetStatus
from trimtab.api.common import Rate, Usage
from trimtab.plan.budget.period import period_at


def unit_of(budget: Budget) -> str:
    """The budget's unit, for messages."""
    if budget.cost_usd is not None:
        return "USD"
    return "kWh" if budget.energy_kwh is not None else "kgCO2e"


def limit_of(budget: Budget) -> float:
    """What may be spent in a period, in the budget's unit, without what is carried over; infinite without a limit."""
    given = (budget.cost_usd, budget.energy_kwh, budget.carbon_kilograms)
    return next((value for value in given if value is not None), math.inf)


def spent_of(budget: Budget, usage: Usage) -> float:
    """What an account says was spent, in the budget's unit."""
    if budget.cost_usd is not None:
        return usage.cost_usd
    return (usage.energy_watt_hours if budget.energy_kwh is not None else usage.carbon_grams) / 1000.0


def rate_in(budget: Budget, rate: Rate) -> float:
    """A rate, in the budget's unit an hour."""
    if budget.cost_usd is not None:
        return rate.cost_usd_per_hour
    return (rate.power_watts if budget.energy_kwh is not None else rate.carbon_grams_per_hour) / 1000.0


def with_usage(budget: Budget, status: BudgetStatus, usage: Usage) -> BudgetStatus:
    """The status with the account as it stands, and the figures that follow from it."""
    limit = limit_of(budget) + status.carried_over
    spent = spent_of(budget, usage)
    share = spent / limit if 0.0 < limit < math.inf else 0.0
    update = {"usage": usage, "limit": _finite(limit), "spent": spent, "spent_share": share}
    return status.model_copy(update=update)


def roll_over(budget: Budget, before: BudgetStatus | None, created_at: datetime, now: datetime) -> BudgetStatus:
    """The account that is open now: the first, the present one, or the next once the last is settled to its end.

    A period ends for the account when everything until its end is in it: what the meter brings late still counts
    where it was spent. Then the next begins, with its share of what was left. A period of another length begins anew
    where the account ends when it would have begun already; else it ends when the new one does.

    Args:
        budget: As the policy says it.
        before: Its status; None for one that is new.
        created_at: When the policy was made: nothing before it counts.
        now: The present.
    """
    if before is None:
        present = period_at(budget.period, budget.time_zone, now)
        start = max(present.start, created_at) if present.end is not None else created_at
        return _opened(budget, start, 0.0)
    settled = before.usage.accounted_until
    due = period_at(budget.period, budget.time_zone, before.period_start).end
    if due != before.period_end:
        present = period_at(budget.period, budget.time_zone, now)
        if due is not None and due < now and present.start > before.period_start:
            return _opened(budget, settled or now, 0.0)
        before = before.model_copy(update={"period_end": due})
    if before.period_end is None or settled is None or settled < before.period_end:
        return with_usage(budget, before, before.usage)
    left = max(0.0, limit_of(budget) + before.carried_over - spent_of(budget, before.usage))
    carried = min(limit_of(budget), budget.roll_over * left)
    return _opened(budget, before.period_end, carried, before)


def _opened(budget: Budget, start: datetime, carried: float, before: BudgetStatus | None = None) -> BudgetStatus:
    status = BudgetStatus(
        name=budget.name,
        period_start=start,
        period_end=period_at(budget.period, budget.time_zone, start).end,
        carried_over=carried,
        # What is known of the demand outlives the period; what is done about it begins anew.
        services_per_hour=before.services_per_hour if before is not None else (),
        trainings_per_hour=before.trainings_per_hour if before is not None else (),
        demand_at=before.demand_at if before is not None else None,
        demand_since=before.demand_since if before is not None else None,
        demand_spread=before.demand_spread if before is not None else 0.0,
        members=before.members if before is not None else (),
        deleted=before.deleted if before is not None else (),
    )
    return with_usage(budget, status, Usage(accounted_until=start))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
