"""Conditions of a training workload: what a person sees of it with `kubectl get` and `describe`."""

from datetime import timedelta

from trimtab.api.common import Reason
from trimtab.api.training import TrainingAction
from trimtab.plan.conditions import carbon_condition, condition, metrics_condition
from trimtab.plan.decisions import ConditionValue
from trimtab.plan.snapshot import Snapshot, TrainingState
from trimtab.plan.training.options import TrainingOption

_TO_BE_MENDED = ("HardwareClassNotFound", "NoNodes", "NoClass")
"""Why nothing can run that no waiting cures: somebody has to change something."""


def _trouble(state: TrainingState) -> tuple[str, str] | None:
    """Reason and message of what keeps existing pods from running."""
    for pod in state.pods:
        if pod.deleting:
            continue
        if pod.unschedulable:
            return "Unschedulable", f"pod {pod.name}: {pod.unschedulable}"
        if pod.waiting:
            return "PodsFailing", f"pod {pod.name}: {pod.waiting}"
    return None


def ready_condition(state: TrainingState, action: TrainingAction, reasons: tuple[Reason, ...]) -> ConditionValue:
    """`Ready`: its reason is the one word that `kubectl get` prints."""
    first = reasons[0]
    if action is TrainingAction.NONE:
        if first.code == "Completed":
            return _completed(state)
        return condition("Ready", False, "Failed" if first.code == "JobFailed" else first.code, first.message)
    if action is TrainingAction.SUSPEND:
        ending = state.job is not None and any(not p.deleting or p.phase == "Running" for p in state.pods)
        return condition("Ready", False, "Suspending" if ending else "Suspended", first.message)
    if action is TrainingAction.WAIT:
        return condition("Ready", False, first.code if first.code in _TO_BE_MENDED else "Waiting", first.message)
    trouble = _trouble(state)
    if trouble is not None:
        return condition("Ready", False, *trouble)
    if state.job is not None and not state.job.suspended and 0 < state.job.replicas <= state.job.ready:
        return condition("Ready", True, "Running", f"{state.job.ready} replicas on {state.job.hardware_class}")
    return condition("Ready", False, "Starting", first.message)


def _completed(state: TrainingState) -> ConditionValue:
    least = state.spec.targets.min_accuracy
    figure = state.result.accuracy if state.result else None
    if figure is None and state.status.accuracy is not None:
        figure = state.status.accuracy.value
    if least is not None and figure is not None and figure < least:
        text = f"held-out accuracy {figure:.4f} is below targets.minAccuracy {least:g}"
        return condition("Ready", False, "AccuracyTooLow", text)
    return condition("Ready", True, "Succeeded", "all work is done")


def _feasible(state: TrainingState, option: TrainingOption | None, need: timedelta | None, now_to_deadline: timedelta | None) -> ConditionValue:  # fmt: skip # noqa: E501
    if option is None or now_to_deadline is None:
        return condition(
            "TargetsFeasible", None if option is None else True, "Unknown" if option is None else "NoDeadline"
        )
    if need is None:
        return condition("TargetsFeasible", None, "SpeedUnknown", "neither measured nor declared in spec.profiles yet")
    if need <= now_to_deadline:
        return condition("TargetsFeasible", True, "DeadlineHolds", f"about {_minutes(need)} of work left")
    late = need - now_to_deadline
    text = (
        f"would be done {_minutes(late)} after targets.completeWithin, with {option.replicas} replicas on {option.name}"
    )
    return condition("TargetsFeasible", False, "DeadlineTooEarly", text)


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.1f} min"


def training_conditions(
    state: TrainingState,
    snapshot: Snapshot,
    action: TrainingAction,
    reasons: tuple[Reason, ...],
    option: TrainingOption | None,
    need: timedelta | None,
    *,
    known_zone: bool,
) -> tuple[ConditionValue, ...]:
    """All conditions of the workload under this decision."""
    now = snapshot.taken_at
    over = action is TrainingAction.NONE
    conditions = [ready_condition(state, action, reasons)]
    moving = action is TrainingAction.RUN and conditions[0].status == "True"
    conditions.append(condition("Progressing", moving, conditions[0].reason, conditions[0].message))
    limit = next((r for r in reasons if r.code == "OverLimit"), None)
    conditions.append(
        condition(
            "WithinBudget",
            limit is None,
            "OverLimit" if limit else "WithinLimits",
            limit.message if limit else "",
        )
    )
    if over:
        return tuple(conditions)
    deadline = state.spec.targets.complete_within
    to_deadline = None if deadline is None else state.meta.created_at + deadline - now
    conditions.append(_feasible(state, option, need, to_deadline))
    fresh = state.metrics is not None and (
        (now - state.metrics.observed_at).total_seconds() <= snapshot.metrics_stale_seconds
    )
    conditions.append(metrics_condition(snapshot, state.metrics is not None, fresh, expected=moving))
    if option is not None:
        conditions.append(carbon_condition(snapshot, option.hardware.spec.grid_zone, known_zone))
    return tuple(conditions)
