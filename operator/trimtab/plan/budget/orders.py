"""All budgets of all policies at once: how they stand, and what each workload has to do without."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from trimtab.api.budget import Budget, BudgetAction, BudgetPeriod, BudgetStatus
from trimtab.api.common import Reason, Usage
from trimtab.api.policy import Mode, Preference
from trimtab.plan.budget.account import limit_of, roll_over, spent_of, unit_of
from trimtab.plan.budget.demands import BudgetView, serving_demand, training_demand
from trimtab.plan.budget.enforce import enforce
from trimtab.plan.budget.for_trainings import training_limit
from trimtab.plan.budget.members import followed
from trimtab.plan.budget.period import period_at
from trimtab.plan.budget.problem import Demand, Rates, Standing, Verdict
from trimtab.plan.budget.words import action_in_force, budget_message, saving_reason, stop_reason, wait_reason
from trimtab.plan.capacity import Capacity
from trimtab.plan.policy import EffectivePolicy, applies
from trimtab.plan.rates import units_per_replica
from trimtab.plan.snapshot import IntensityPoint, PolicyState, Snapshot
from trimtab.plan.training.options import TrainingOption
from trimtab.plan.training.spending import TrainingLimit

Rules = dict[str, EffectivePolicy]
"""What holds for each workload, by `Kind/namespace/name`."""
_MEMORY_HOURS = {
    BudgetPeriod.DAY: 8.0,
    BudgetPeriod.WEEK: 56.0,
    BudgetPeriod.MONTH: 240.0,
    BudgetPeriod.TOTAL: 24.0,
}
"""How long what was asked for counts in the forecast: a third of the period. What lies ahead is as long as that on the
way, and a mean over a shorter past follows every burst."""
Series = Mapping[str, tuple[IntensityPoint, ...]]


@dataclass(frozen=True)
class BudgetPlan:
    """What comes of all budgets."""

    rules: Rules
    """With what the budgets have in force."""
    statuses: dict[str, tuple[BudgetStatus, ...]]
    """By the policy's key."""
    limits: tuple[TrainingLimit, ...] = ()
    """Budgets whose LaterSlots is in force: the schedule of trainings puts off what they do not hold."""


def plan_budgets(snapshot: Snapshot, rules: Rules, series: Series) -> BudgetPlan:
    """Decide about all budgets.

    Args:
        snapshot: The world.
        rules: What holds for each workload without budgets.
        series: Carbon intensity by zone.
    """
    merged, statuses = dict(rules), dict[str, tuple[BudgetStatus, ...]]()
    world = _World(snapshot, rules, series, _left_by_services(snapshot), {}, [])
    for policy in snapshot.policies:
        known = {status.name: status for status in policy.status.budgets}
        shown = []
        for budget in policy.spec.budgets:
            account = roll_over(budget, known.get(budget.name), policy.meta.created_at, snapshot.taken_at)
            account = followed(policy, account, snapshot)
            if policy.spec.mode is Mode.OFF:
                shown.append(account.model_copy(update=_NOTHING_DONE))
                continue
            status, orders = _decided(policy, budget, account, world)
            shown.append(status)
            for key, order in orders.items():
                merged[key] = _with_order(merged[key], order)
        statuses[policy.meta.key] = tuple(shown)
    return BudgetPlan(merged, statuses, tuple(world.limits))


_NOTHING_DONE = {
    "action": "",
    "action_since": None,
    "forecast_spent": None,
    "forecast_exhaustion": None,
    "message": "the policy is Off: what is spent is metered, and nothing is done about it",
}


@dataclass(frozen=True)
class _World:
    """What all budgets of one plan look at."""

    snapshot: Snapshot
    rules: Rules
    series: Series
    capacity: Capacity
    options: dict[str, list[TrainingOption]]
    """Of trainings, as they are worked out."""
    limits: list[TrainingLimit]
    """Of budgets, as they are worked out."""


@dataclass(frozen=True)
class _Order:
    """What one budget has in force for one workload."""

    budget: Budget
    actions: tuple[BudgetAction, ...]
    saving: Reason
    stop: Reason | None
    cap_per_hour: float | None
    period_end: datetime | None


def standing_of(budget: Budget, account: BudgetStatus, now: datetime) -> Standing:
    """The budget as it stands now.

    When its period is over but not yet settled, what is spent now is of the next one, of which nothing is metered yet.
    """
    end, spent, until = account.period_end, spent_of(budget, account.usage), account.usage.accounted_until
    carried, start = account.carried_over, until or account.period_start
    if end is not None and now >= end:
        present = period_at(budget.period, budget.time_zone, now)
        end, spent, carried, start = present.end, 0.0, 0.0, max(start, present.start)
    actions = budget.actions
    level = next((i + 1 for i, a in enumerate(actions) if a.value == account.action), 0)
    return Standing(
        limit=limit_of(budget) + carried,
        spent=spent,
        accounted_until=start,
        now=now,
        period_end=end,
        actions=actions,
        level=level,
        level_since=account.action_since,
        asked=Rates(
            account.services_per_hour,
            account.trainings_per_hour,
            account.demand_at,
            account.demand_since,
            account.demand_spread,
        ),
        memory_hours=_MEMORY_HOURS[budget.period],
    )


def shown_status(
    policy: str, mode: Mode, budget: Budget, account: BudgetStatus, standing: Standing, verdict: Verdict
) -> BudgetStatus:
    """The status of a budget with what was decided about it.

    Args:
        policy: The policy's key.
        mode: The policy's mode.
        budget: The budget.
        account: As it stood before.
        standing: As it stands now.
        verdict: What is done.
    """
    return account.model_copy(
        update={
            "forecast_spent": verdict.forecast[verdict.planned] if standing.period_end is not None else None,
            "forecast_exhaustion": verdict.exhaustion,
            "action": action_in_force(standing, verdict),
            "action_since": verdict.level_since,
            "message": budget_message(policy, budget, standing, verdict, mode.value),
            "services_per_hour": verdict.asked.services,
            "trainings_per_hour": verdict.asked.trainings,
            "demand_at": verdict.asked.at,
            "demand_since": verdict.asked.since,
            "demand_spread": verdict.asked.spread,
        }
    )


def _decided(
    policy: PolicyState, budget: Budget, account: BudgetStatus, world: _World
) -> tuple[BudgetStatus, dict[str, _Order]]:
    standing = standing_of(budget, account, world.snapshot.taken_at)
    view = BudgetView(
        world.snapshot,
        world.series,
        world.rules,
        budget,
        standing.period_end,
        standing.accounted_until,
        standing.level,
        world.options,
    )
    demands = _demands(policy, view, world.capacity)
    verdict = enforce(standing, demands)
    status = shown_status(policy.meta.key, policy.spec.mode, budget, account, standing, verdict)
    holds, why = sum(d.holds_per_hour for d in demands), _reasons(policy, budget, standing, verdict, demands)
    limit = training_limit(policy.meta.key, budget, standing, verdict, holds, why)
    world.limits.extend([limit] if limit is not None else ())
    if not verdict.level:
        return status, {}
    return status, {d.key: _order(policy, budget, standing, verdict, d) for d in demands}


def _reasons(
    policy: PolicyState, budget: Budget, standing: Standing, verdict: Verdict, demands: tuple[Demand, ...]
) -> dict[str, Reason]:
    """By key of the trainings: why one is put off, if the schedule does."""
    return {
        d.key.partition("/")[2]: wait_reason(policy.meta.key, budget, standing, verdict, _rate(verdict, d))
        for d in demands
        if not d.service
    }


def _rate(verdict: Verdict, demand: Demand) -> float:
    return demand.per_hour[verdict.level] or max(demand.per_hour)


def _demands(policy: PolicyState, view: BudgetView, capacity: Capacity) -> tuple[Demand, ...]:
    snapshot = view.snapshot
    variants = {v.meta.key: v for v in snapshot.variants}
    asked: Iterable[Demand | None] = (
        *(serving_demand(view, s, variants) for s in snapshot.serving if applies(policy, s.meta)),
        *(training_demand(view, t, capacity) for t in snapshot.training if applies(policy, t.meta)),
    )
    return tuple(d for d in asked if d is not None)


def _left_by_services(snapshot: Snapshot) -> Capacity:
    capacity = Capacity(snapshot.hardware)
    classes = {h.meta.name: h for h in snapshot.hardware}
    for state in snapshot.serving:
        for deployment in state.deployments:
            if deployment.hardware_class in classes:
                units = units_per_replica(state.spec.resources, classes[deployment.hardware_class])
                capacity.take(deployment.hardware_class, units * deployment.replicas)
    return capacity


def _order(policy: PolicyState, budget: Budget, standing: Standing, verdict: Verdict, demand: Demand) -> _Order:
    name, rate = policy.meta.key, _rate(verdict, demand)
    said = (name, budget, standing, verdict)
    return _Order(
        budget=budget,
        actions=standing.actions[: verdict.level],
        saving=saving_reason(*said),
        stop=stop_reason(*said, rate) if demand.key in verdict.stopped else None,
        cap_per_hour=verdict.caps_per_hour.get(demand.key),
        period_end=standing.period_end,
    )


_CAPS = {"USD": ("max_cost_usd_per_hour", 1.0), "kWh": ("max_power_watts", 1000.0)}


def _with_order(rules: EffectivePolicy, order: _Order) -> EffectivePolicy:
    """What holds for a workload with what a budget has in force on top."""
    taken = {*rules.actions, *order.actions}
    update: dict[str, object] = {
        "actions": tuple(a for a in BudgetAction if a in taken),
        "saving": (*rules.saving, order.saving),
        "stop": rules.stop or order.stop,
    }
    if BudgetAction.CHEAPER_VARIANT in taken:
        update["prefer"] = Preference.COST
    if BudgetAction.LATER_SLOTS in order.actions and order.period_end is not None:
        update["shift_until"] = min(rules.shift_until or order.period_end, order.period_end)
    if order.cap_per_hour is not None:
        field, scale = _CAPS.get(unit_of(order.budget), ("max_carbon_grams_per_hour", 1000.0))
        before, cap = getattr(rules, field), order.cap_per_hour * scale
        update[field] = cap if before is None else min(before, cap)
    return rules.model_copy(update=update)


def newest_usage(before: BudgetStatus | None, planned: BudgetStatus, usage: Usage | None) -> Usage:
    """The account to be written: what was settled in this pass, unless a new period began meanwhile."""
    same = before is None or before.period_start == planned.period_start
    return usage if usage is not None and same else planned.usage
