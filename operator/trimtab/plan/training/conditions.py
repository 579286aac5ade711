"""Conditions of a training workload: what a person sees of it with `kubectl get` and `describe`."""

import math
from datetime import datetime, timedelta

from trimtab.api.common import Reason
from trimtab.api.training import TrainingAction
from trimtab.plan.conditions import carbon_condition, condition, metrics_condition
from trimtab.plan.decisions import ConditionValue
from trimtab.plan.schedule.problem import JobSchedule
from trimtab.plan.snapshot import Snapshot, TrainingState
from trimtab.plan.training.options import TrainingOption, remaining_samples

_TO_BE_MENDED = ("HardwareClassNotFound", "NoNodes", "NoClass")
"""Why nothing can run that no waiting cures: somebody has to change something."""

_NO_MONEY = ("BudgetExhausted", "BudgetNearlyExhausted")


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


def _feasible(
    state: TrainingState, option: TrainingOption | None, plan: JobSchedule | None, now: datetime
) -> ConditionValue:
    """`TargetsFeasible`: whether the plan is done before the deadline, and if not, which deadline it could hold."""
    deadline = state.spec.targets.complete_within
    if option is None:
        return condition("TargetsFeasible", None, "Unknown")
    if deadline is None:
        return condition("TargetsFeasible", True, "NoDeadline")
    if not option.speed_known or remaining_samples(state) is None:
        return condition("TargetsFeasible", None, "SpeedUnknown", "neither measured nor declared in spec.profiles yet")
    if plan is None or not math.isfinite(plan.finish_hours):
        return condition("TargetsFeasible", None, "NotPlanned", "no time to run in is planned")
    finish = timedelta(hours=plan.finish_hours)
    left = state.meta.created_at + deadline - now
    if finish <= left:
        return condition("TargetsFeasible", True, "DeadlineHolds", f"done in about {_minutes(finish)} by plan")
    nearest = deadline + (finish - left)
    text = (
        f"would be done {_minutes(finish - left)} after targets.completeWithin, with {option.replicas} replicas on "
        f"{option.name}; the nearest that can be held is {math.ceil(nearest.total_seconds() / 60)}m"
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
    plan: JobSchedule | None,
    *,
    known_zone: bool,
) -> tuple[ConditionValue, ...]:
    """All conditions of the workload under this decision."""
    now = snapshot.taken_at
    over = action is TrainingAction.NONE
    conditions = [ready_condition(state, action, reasons)]
    moving = action is TrainingAction.RUN and conditions[0].status == "True"
    conditions.append(condition("Progressing", moving, conditions[0].reason, conditions[0].message))
    stopped = action in (TrainingAction.SUSPEND, TrainingAction.WAIT)
    limit = next((r for r in reasons if r.code == "OverLimit" or (stopped and r.code in _NO_MONEY)), None)
    conditions.append(
        condition(
            "WithinBudget",
            limit is None,
            limit.code if limit else "WithinLimits",
            limit.message if limit else "",
        )
    )
    if over:
        return tuple(conditions)
    conditions.append(_feasible(state, option, plan, now))
    fresh = state.metrics is not None and (
        (now - state.metrics.observed_at).total_seconds() <= snapshot.metrics_stale_seconds
    )
    conditions.append(metrics_condition(snapshot, state.metrics is not None, fresh, expected=moving))
    if option is not None:
        conditions.append(carbon_condition(snapshot, option.hardware.spec.grid_zone, known_zone))
    return tuple(conditions)
