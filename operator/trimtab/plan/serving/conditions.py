"""Conditions of a serving workload."""

from trimtab.api.common import Reason
from trimtab.api.rollout import RolloutPhase, RolloutStatus
from trimtab.plan.conditions import carbon_condition, condition, metrics_condition
from trimtab.plan.decisions import ConditionValue
from trimtab.plan.fleet.problem import Decision
from trimtab.plan.intensity import intensity_at, usable_series
from trimtab.plan.serving.load import ObservedLoad
from trimtab.plan.snapshot import ServingState, Snapshot


def _pod_trouble(state: ServingState) -> tuple[str, str] | None:
    for deployment in state.deployments:
        if deployment.problem:
            return "DeploymentFailing", f"Deployment {deployment.name}: {deployment.problem}"
    for pod in state.pods:
        if pod.unschedulable and not pod.deleting:
            return "Unschedulable", f"pod {pod.name}: {pod.unschedulable}"
        if pod.waiting and not pod.deleting:
            return "PodsFailing", f"pod {pod.name}: {pod.waiting}"
    return None


def _ready(
    state: ServingState, load: ObservedLoad, replicas: int, variant: str, reasons: tuple[Reason, ...]
) -> ConditionValue:
    ready = sum(1 for pod in state.pods if pod.ready and not pod.deleting)
    if not variant and replicas == 0:
        return condition("Ready", False, reasons[0].code, reasons[0].message)
    trouble = _pod_trouble(state)
    if ready == 0:
        return condition("Ready", False, *(trouble or ("Starting", f"0 of {replicas} replicas are ready")))
    serving = f"{ready} replicas serve"
    if load.breached:
        target = state.spec.targets.latency
        text = f"{target.percentile} is {load.latency_ms or 0:.0f} ms, the target is {target.milliseconds} ms"
        return condition("Ready", True, "LatencyBreach", text)
    if state.status.active_variant and state.status.active_variant != variant:
        return condition("Ready", True, "Switching", f"{serving}; {state.status.active_variant} -> {variant}")
    if trouble is not None:
        return condition("Ready", True, trouble[0], f"{serving}; {trouble[1]}")
    if ready < replicas:
        return condition("Ready", True, "ScalingUp", f"{ready} of {replicas} replicas are ready")
    return condition("Ready", True, "Serving", f"{serving} {variant}")


def stopped_conditions(
    state: ServingState, snapshot: Snapshot, load: ObservedLoad, reason: Reason
) -> tuple[ConditionValue, ...]:
    """Conditions of a workload that a policy has at no replicas: it says that requests fail."""
    leaving = sum(1 for pod in state.pods if pod.ready and not pod.deleting)
    text = f"no replicas, requests fail: {reason.message}"
    budget = reason.code.startswith("Budget")
    return (
        condition("Ready", False, "ScalingToZero" if leaving else "ScaledToZero", text),
        metrics_condition(snapshot, state.metrics is not None, load.fresh, expected=False),
        condition(
            "WithinBudget", not budget, reason.code if budget else "WithinLimits", reason.message if budget else ""
        ),
        condition("TargetsFeasible", False, reason.code, text),
    )


def asleep_conditions(
    state: ServingState, snapshot: Snapshot, load: ObservedLoad, reason: Reason
) -> tuple[ConditionValue, ...]:
    """Conditions of a workload that sleeps: it is ready, as requests are answered, though later."""
    return (
        condition("Ready", True, reason.code, reason.message),
        metrics_condition(snapshot, state.metrics is not None, load.fresh, expected=False),
        condition("WithinBudget", True, "WithinLimits"),
        condition("TargetsFeasible", None, reason.code, "no replica, no latency: the first request waits for a start"),
    )


def rollout_conditions(rollout: RolloutStatus | None) -> tuple[ConditionValue, ...]:
    """How the last roll-out went; nothing where there was none."""
    if rollout is None:
        return ()
    value = {RolloutPhase.RUNNING: None, RolloutPhase.PROMOTED: True, RolloutPhase.RETURNED: False}[rollout.phase]
    return (condition("RolloutSucceeded", value, rollout.reason, f"{rollout.candidate}: {rollout.message}"),)


def serving_conditions(
    state: ServingState,
    snapshot: Snapshot,
    load: ObservedLoad,
    decided: Decision | None,
    grid_zone: str,
    replicas: int,
    variant: str,
    reasons: tuple[Reason, ...],
    missing: tuple[str, ...],
) -> tuple[ConditionValue, ...]:
    """All conditions of the workload under this decision.

    Args:
        state: The workload.
        snapshot: The world.
        load: What was measured.
        decided: What was chosen anew; None when nothing could be.
        grid_zone: Where that runs.
        replicas: Replicas that are asked for.
        variant: Variant that is asked for.
        reasons: Why.
        missing: Variants that do not exist.
    """
    runs = any(pod.ready for pod in state.pods)
    conditions = [
        _ready(state, load, replicas, variant, reasons),
        metrics_condition(snapshot, state.metrics is not None, load.fresh, expected=runs),
        condition("VariantsFound", False, "VariantNotFound", f"no ModelVariant named {', '.join(missing)}")
        if missing
        else condition("VariantsFound", True, "AllFound"),
    ]
    if decided is None:
        conditions.append(condition("TargetsFeasible", False, reasons[0].code, reasons[0].message))
        return tuple(conditions)
    over = decided.over_limit
    conditions.append(condition("WithinBudget", not over, "OverLimit" if over else "WithinLimits", over))
    if not load.fresh:
        conditions.append(condition("TargetsFeasible", None, "LoadUnknown"))
    elif decided.holds:
        where = " and ".join(f"{p.replicas} x {decided.variant} on {p.pool}" for p in decided.placements)
        text = f"predicted {decided.latency_seconds * 1000.0:.0f} ms with {where}"
        conditions.append(condition("TargetsFeasible", True, "TargetsHold", text))
    else:
        binding = next((r for r in reasons if r.code == "CapacityShort"), reasons[0])
        conditions.append(condition("TargetsFeasible", False, binding.code, binding.message))
    points = usable_series(snapshot.carbon, snapshot.taken_at).get(grid_zone, ())
    conditions.append(carbon_condition(snapshot, grid_zone, intensity_at(points, snapshot.taken_at) is not None))
    return tuple(conditions)
