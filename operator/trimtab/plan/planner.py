"""The one decision for the whole cluster: Snapshot in, Plan out.

Workloads share capacity, so they are decided together, in this order: serving (it must hold its latency now), variants
being made, then all training workloads by one schedule over time.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from trimtab.api.common import Resources
from trimtab.api.training import TrainingAction
from trimtab.plan.budget.orders import plan_budgets
from trimtab.plan.budget.shown import shown_policy
from trimtab.plan.capacity import Capacity
from trimtab.plan.carbon_conditions import carbon_source_conditions
from trimtab.plan.conditions import condition
from trimtab.plan.conflicts import serving_with_conflicts, training_with_conflicts
from trimtab.plan.decisions import ConditionValue, ObjectConditions, Plan, TrainingDecision, VariantDecision
from trimtab.plan.intensity import current_intensities, next_change, usable_series
from trimtab.plan.policy import EffectivePolicy, applies, effective_policy, next_change_of
from trimtab.plan.rates import units_per_replica
from trimtab.plan.serving.decide import plan_serving
from trimtab.plan.snapshot import (
    HardwareState,
    IntensityPoint,
    ObjectMeta,
    ServingState,
    Snapshot,
    VariantState,
)
from trimtab.plan.training.decide import plan_training
from trimtab.plan.variants import plan_variant

_State = TypeVar("_State", ServingState, VariantState)


def plan(snapshot: Snapshot) -> Plan:
    """Decide everything. The same Snapshot always gives the same Plan."""
    series = usable_series(snapshot.carbon, snapshot.taken_at)
    intensities = current_intensities(series, snapshot.taken_at)
    capacity = Capacity(snapshot.hardware)
    variants = tuple(plan_variant(v, snapshot) for v in _by_age(snapshot.variants))
    accepted = {v.key: v.accepted for v in variants}
    served = _by_age(snapshot.serving)
    budgets = plan_budgets(snapshot, rules_of(snapshot), series)
    serving = plan_serving(
        served, snapshot, _of_kind(budgets.rules, "ServingWorkload"), intensities, capacity, accepted
    )
    _take_builds(variants, snapshot, capacity)
    training = plan_training(snapshot, series, capacity, _of_kind(budgets.rules, "TrainingWorkload"), budgets.limits)
    workloads = [*(t.meta for t in snapshot.training), *(s.meta for s in snapshot.serving)]
    return Plan(
        taken_at=snapshot.taken_at,
        training=training_with_conflicts(training, snapshot),
        serving=serving_with_conflicts(serving, snapshot),
        variants=variants,
        policies=tuple(shown_policy(p, budgets.statuses[p.meta.key], snapshot.taken_at) for p in snapshot.policies),
        policy_workloads={p.meta.key: sum(applies(p, w) for w in workloads) for p in snapshot.policies},
        hardware=tuple(_shown(h.meta, _hardware(h)) for h in snapshot.hardware),
        carbon=carbon_source_conditions(snapshot),
        intensity_by_zone=intensities,
        wake_at=_wake_at(snapshot, series, training),
    )


def rules_of(snapshot: Snapshot) -> dict[str, EffectivePolicy]:
    """What the policies say of each workload now, budgets aside; by `Kind/namespace/name`."""
    now = snapshot.taken_at
    rules = {
        f"TrainingWorkload/{t.meta.key}": effective_policy(snapshot.policies, t.meta, now, service=False)
        for t in snapshot.training
    }
    served = {
        f"ServingWorkload/{s.meta.key}": effective_policy(snapshot.policies, s.meta, now) for s in snapshot.serving
    }
    return rules | served


def _of_kind(rules: Mapping[str, EffectivePolicy], kind: str) -> dict[str, EffectivePolicy]:
    return {key.partition("/")[2]: rule for key, rule in rules.items() if key.startswith(f"{kind}/")}


def _wake_at(
    snapshot: Snapshot, series: Mapping[str, tuple[IntensityPoint, ...]], training: Iterable[TrainingDecision]
) -> datetime | None:
    """The next instant at which something known changes: an intensity, or what a training is planned to do."""
    planned = (s.start for d in training if d.action is not TrainingAction.NONE for s in d.schedule)
    timed = (next_change(series, snapshot.taken_at), next_change_of(snapshot.policies, snapshot.taken_at))
    instants = [at for at in (*timed, *planned) if at is not None]
    return min((at for at in instants if at > snapshot.taken_at), default=None)


def _shown(meta: ObjectMeta, value: ConditionValue) -> ObjectConditions:
    return ObjectConditions(key=meta.key, conditions=(value,))


def _by_age(states: Iterable[_State]) -> list[_State]:
    return sorted(states, key=_age)


def _age(state: ServingState | VariantState) -> tuple[datetime, str]:
    return (state.meta.created_at, state.meta.key)


def _take_builds(decisions: tuple[VariantDecision, ...], snapshot: Snapshot, capacity: Capacity) -> None:
    """Set aside what the jobs that make variants hold."""
    resources: dict[str, Resources] = {v.meta.key: v.spec.resources for v in snapshot.variants}
    classes = {h.meta.name: h for h in snapshot.hardware}
    for decision in decisions:
        hardware = classes.get(decision.hardware_class)
        if decision.build and hardware is not None:
            capacity.take(decision.hardware_class, units_per_replica(resources[decision.key], hardware))


def _hardware(state: HardwareState) -> ConditionValue:
    if state.nodes:
        return condition("Ready", True, "NodesReady", f"{state.nodes} ready nodes")
    selector = ", ".join(f"{k}={v}" for k, v in sorted(state.spec.node_selector.items()))
    return condition("Ready", False, "NoNodes", f"no ready node has the labels {selector}")
