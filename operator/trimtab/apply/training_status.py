"""Status of a TrainingWorkload: pure, from what was, what is, and what was decided."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from trimtab.api import labels
from trimtab.api.common import AccuracyFigure, FigureSource, Usage
from trimtab.api.policy import Mode
from trimtab.api.training import (
    Progress,
    ScheduleSlot,
    TrainingAction,
    TrainingDecisionStatus,
    TrainingWorkloadStatus,
)
from trimtab.apply.conditions import calmed, merged, ready_reason
from trimtab.apply.figures import rounded, rounded_rate
from trimtab.plan.decisions import ConditionValue, TrainingDecision
from trimtab.plan.snapshot import TrainingState

_SCHEDULE_MOVES: Final = timedelta(minutes=1)
"""By less than this a slot of the schedule may move and still be shown as it was."""


def _done(state: TrainingState) -> bool:
    return state.status.completion_time is not None or (state.job is not None and state.job.complete)


def _progress(state: TrainingState, decision: TrainingDecision) -> Progress | None:
    """Work done. It never goes down: a restart from a checkpoint repeats nothing that counts."""
    before = state.status.progress or Progress()
    declared = state.spec.work.total_samples if state.spec.work else 0
    total = max(before.total_samples, declared)
    completed, speed = before.completed_samples, before.samples_per_second
    source = FigureSource.SIMULATED if decision.simulated else FigureSource.MEASURED
    visits_min, visits_max = before.visits_min, before.visits_max
    if state.metrics is not None:
        total = int(state.metrics.total_samples or total)
        completed = max(completed, int(state.metrics.completed_samples or 0))
        speed = rounded(state.metrics.samples_per_second) or speed
        source = state.metrics.source
    if state.result is not None:
        total = state.result.total_samples or total
        completed = max(completed, state.result.completed_samples)
        if not state.result.stopped:
            visits_min, visits_max = state.result.visits_min, state.result.visits_max
    if _done(state):
        completed = total
    if total == 0:
        return None
    percent = 100 if _done(state) else min(99, 100 * completed // total)
    return Progress(
        completed_samples=min(completed, total),
        total_samples=total,
        percent=percent,
        samples_per_second=speed,
        scaling=tuple(
            p.model_copy(update={"samples_per_second": rounded(p.samples_per_second)}) for p in decision.scaling
        ),
        visits_min=visits_min,
        visits_max=visits_max,
        source=source.value,
    )


def _accuracy(state: TrainingState) -> AccuracyFigure | None:
    result = state.result
    if result is None or result.stopped or result.accuracy is None:
        return state.status.accuracy
    return AccuracyFigure(
        value=result.accuracy,
        low=result.accuracy_low if result.accuracy_low is not None else result.accuracy,
        high=result.accuracy_high if result.accuracy_high is not None else result.accuracy,
        samples=result.held_out_samples,
    )


def _run_times(state: TrainingState, now: datetime) -> tuple[datetime | None, float]:
    """Since when the present run goes, and the length of those before it."""
    before, job = state.status, state.job
    runs = job is not None and not job.suspended and not job.complete and job.active > 0
    if runs and job is not None:
        started = [pod.started_at for pod in state.pods if pod.started_at is not None and not pod.deleting]
        return before.running_since or (min(started) if started else None), before.running_seconds
    if before.running_since is None:
        return None, before.running_seconds
    ended = (job.completed_at if job is not None and job.completed_at else None) or now
    return None, before.running_seconds + max(0.0, (ended - before.running_since).total_seconds())


def _suspensions(state: TrainingState, decision: TrainingDecision) -> int:
    before = state.status.decision
    stops = (
        decision.action is TrainingAction.SUSPEND
        and decision.mode is Mode.ENFORCE
        and before is not None
        and before.action is TrainingAction.RUN
        and state.job is not None
    )
    return state.status.suspensions + int(stops)


def _slots(decision: TrainingDecision, before: TrainingDecisionStatus | None) -> tuple[ScheduleSlot, ...]:
    """The schedule to be shown. Each pass draws it anew from the present; while it says the same, the old one stays:
    moved by seconds, it would be written for every workload in every period.
    """
    new, old = decision.schedule, before.schedule if before is not None else ()
    return old if _what(old) == _what(new) and all(map(_close, old, new)) else new


def _what(slots: tuple[ScheduleSlot, ...]) -> list[tuple[int, str]]:
    return [(slot.replicas, slot.hardware_class) for slot in slots]


def _close(old: ScheduleSlot, new: ScheduleSlot) -> bool:
    return abs(old.end - new.end) <= _SCHEDULE_MOVES and old.start <= new.start + _SCHEDULE_MOVES


def training_status(
    state: TrainingState,
    decision: TrainingDecision,
    conditions: Iterable[ConditionValue],
    usage: Usage | None,
    now: datetime,
) -> TrainingWorkloadStatus:
    """The status to be written.

    Args:
        state: The workload with the status that was written last.
        decision: What was decided.
        conditions: The decision's, or those after a failure to apply it.
        usage: The account, when it was carried on in this pass.
        now: The instant of writing.
    """
    values, done = tuple(conditions), _done(state)
    running_since, running_seconds = _run_times(state, now)
    simulated = decision.simulated
    completed_at = state.status.completion_time
    if completed_at is None and done:
        completed_at = (state.job.completed_at if state.job else None) or now
    return TrainingWorkloadStatus(
        observed_generation=state.meta.generation,
        state=ready_reason(values),
        conditions=merged(state.status.conditions, values, state.meta.generation, now),
        decision=TrainingDecisionStatus(
            action=decision.action,
            replicas=decision.replicas,
            hardware_class=decision.hardware_class,
            mode=decision.mode.value,
            reasons=decision.reasons,
            schedule=_slots(decision, state.status.decision),
            rate=rounded_rate(decision.rate),
            source=FigureSource.SIMULATED.value if simulated else "",
        ),
        progress=_progress(state, decision),
        accuracy=_accuracy(state),
        usage=usage or state.status.usage,
        replicas=state.job.ready if state.job else 0,
        selector=f"{labels.WORKLOAD}={state.meta.name},{labels.WORKLOAD_KIND}=TrainingWorkload",
        suspensions=_suspensions(state, decision),
        start_time=state.status.start_time or running_since,
        completion_time=completed_at,
        running_since=running_since,
        running_seconds=running_seconds,
        artifact=f"training/{state.meta.name}/model.pt" if done and state.spec.torch else "",
        message=decision.message[:1024],
    )


def quiet_training_status(new: TrainingWorkloadStatus, old: TrainingWorkloadStatus) -> TrainingWorkloadStatus:
    """`new` without what changes all the time: equal to `old` when nothing else has changed."""
    decision = new.decision
    if decision is not None and old.decision is not None:
        # The schedule begins at the present, and messages carry the present figures.
        kept = {"schedule": old.decision.schedule, "rate": old.decision.rate, "reasons": old.decision.reasons}
        codes = [r.code for r in decision.reasons], [r.code for r in old.decision.reasons]
        decision = decision.model_copy(update=kept) if codes[0] == codes[1] else decision
    return new.model_copy(
        update={
            "usage": old.usage,
            "progress": old.progress,
            "decision": decision,
            "conditions": calmed(new.conditions, old.conditions),
            "message": old.message,
        }
    )
