"""Who else scales, queues or writes what trimtab decides, and what would be right. Pure.

Two writers of one field undo each other's work for as long as both run. That is said as the condition
`ScalingConflict` of the workload, and as an event when it begins.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from trimtab.api.common import Condition
from trimtab.api.schema import API_VERSION, GROUP
from trimtab.api.serving import ServingWorkloadSpec
from trimtab.api.training import TrainingWorkloadSpec
from trimtab.plan.conditions import condition
from trimtab.plan.decisions import ConditionValue, EventNote, ServingDecision, TrainingDecision
from trimtab.plan.snapshot import DeploymentState, JobState, ObjectMeta, ScalerState, Snapshot

CONDITION: Final = "ScalingConflict"
KUEUE_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""Kueue's label for what it shall queue."""
_REMEMBERED: Final = timedelta(minutes=10)
_MOST_SAID: Final = 4

Scalers = Mapping[tuple[str, str, str], list[ScalerState]]
"""By namespace, kind and name of what they scale."""


@dataclass(frozen=True)
class Conflict:
    """Somebody else who decides the same thing."""

    reason: str
    message: str


def scalers_by_target(scalers: Iterable[ScalerState]) -> Scalers:
    """The scalers of each target. A HorizontalPodAutoscaler that KEDA made goes by the name of its ScaledObject."""
    found: dict[tuple[str, str, str], list[ScalerState]] = defaultdict(list)
    given = tuple(scalers)
    made = {(s.namespace, s.name) for s in given if s.kind == "ScaledObject"}
    for scaler in given:
        if not (scaler.made_by and (scaler.namespace, scaler.made_by) in made):
            found[scaler.namespace, scaler.target_kind, scaler.target_name].append(scaler)
    return found


def _of_workload(
    kind: str, meta: ObjectMeta, spec: ServingWorkloadSpec | TrainingWorkloadSpec, scalers: Scalers
) -> Iterator[Conflict]:
    """Scalers of the workload itself: welcome, as long as the API server lets them."""
    own = [s for s in scalers.get((meta.namespace, kind, meta.name), ()) if s.target_group == GROUP]
    counting = [s for s in own if s.most is not None]
    for scaler in own:
        who = _name(scaler)
        if scaler.most is None:
            yield _vertical(scaler, f"this {kind}")
        elif spec.replicas is None:
            text = (
                f"{who} targets this {kind}, but spec.replicas is unset, and an autoscaler first reads the count that "
                f"it is to change: set spec.replicas once, such as {spec.min_replicas}; trimtab then leaves the count "
                "to it"
            )
            yield Conflict("NoCount", text)
        if scaler.least is not None and scaler.most is not None:
            outside = scaler.least < spec.min_replicas or scaler.most > spec.max_replicas
            if outside:
                text = (
                    f"{who} scales from {scaler.least} to {scaler.most}, but the API server refuses counts that are "
                    f"not from minReplicas {spec.min_replicas} to maxReplicas {spec.max_replicas}: give both the same "
                    "bounds"
                )
                yield Conflict("BoundsDiffer", text)
    if len(counting) > 1:
        names = " and ".join(_name(s) for s in counting)
        yield Conflict("SeveralScalers", f"{names} scale the same {kind} and undo each other's work: keep one")


def _name(scaler: ScalerState) -> str:
    kind, name = ("ScaledObject", scaler.made_by) if scaler.made_by else (scaler.kind, scaler.name)
    return f"{kind} {name!r}"


def _vertical(scaler: ScalerState, what: str) -> Conflict:
    text = (
        f"{_name(scaler)} changes what the pods of {what} ask for, and evicts them for it; trimtab plans with "
        "spec.resources: set its updatePolicy.updateMode to Off and take its recommendation over by hand"
    )
    return Conflict("VerticalScaler", text)


def _of_child(kind: str, owner_kind: str, meta: ObjectMeta, name: str, scalers: Scalers) -> Iterator[Conflict]:
    """Scalers of a child: they write what trimtab writes."""
    for scaler in scalers.get((meta.namespace, kind, name), ()):
        if scaler.target_group == GROUP:
            continue
        if scaler.most is None:
            yield _vertical(scaler, f"{kind} {name!r}")
            continue
        text = (
            f"{_name(scaler)} scales {kind} {name!r}, whose replicas trimtab sets: point its scaleTargetRef to "
            f"{{apiVersion: {API_VERSION}, kind: {owner_kind}, name: {meta.name}}} and give spec.replicas a first "
            "value, or delete it"
        )
        yield Conflict("ScalesChild", text)


def _writers(
    kind: str, child: DeploymentState | JobState, known: Iterable[Conflict], now: datetime
) -> Iterator[Conflict]:
    """Others who go on setting fields of a child. A single edit is put right without a word."""
    scaled = any(c.reason == "ScalesChild" for c in known)
    for write in child.foreign_writes:
        recent = [at for at in write.times if now - at <= _REMEMBERED]
        if len(recent) < 2 or (scaled and write.field == "spec.replicas"):
            continue
        if "kueue" in write.manager:
            text = (
                f"Kueue ({write.manager}) sets {write.field} of {kind} {child.name!r}, which trimtab sets as well: "
                "leave trimtab's Jobs out of Kueue (manageJobsWithoutQueueName: false, or managedJobsNamespaceSelector)"
            )
            yield Conflict("KueueManages", text)
        else:
            text = (
                f"{write.manager!r} set {write.field} of {kind} {child.name!r} {len(recent)} times in the last "
                f"{_REMEMBERED.total_seconds() / 60:.0f} minutes, and trimtab sets it back: change the workload "
                "instead, or have a policy with mode Recommend select it, and trimtab keeps its hands off"
            )
            yield Conflict("OtherWriter", text)


def _queue(meta: ObjectMeta, template_labels: Mapping[str, str]) -> Iterator[Conflict]:
    if KUEUE_QUEUE in template_labels:
        text = (
            f"the pod template has the label {KUEUE_QUEUE}: Kueue holds back the pods that trimtab starts, so that "
            "neither its schedule nor its account of time fits: take the label out of spec.template"
        )
        yield Conflict("KueueHoldsPods", text)
    if KUEUE_QUEUE in meta.labels:
        text = (
            f"the label {KUEUE_QUEUE} has no effect: trimtab decides itself when this workload runs and hands no Job "
            "to Kueue; use spec.priority and policies, or run it as a plain Job under Kueue"
        )
        yield Conflict("KueueQueue", text)


def conflict_condition(conflicts: Iterable[Conflict]) -> ConditionValue:
    """`ScalingConflict`: True with the first reason and all messages, else False."""
    found = tuple(dict.fromkeys(conflicts))
    if not found:
        return condition(CONDITION, False, "NoConflict")
    message = "; ".join(conflict.message for conflict in found[:_MOST_SAID])
    return condition(CONDITION, True, found[0].reason, message)


def _news(before: Iterable[Condition], now: ConditionValue) -> tuple[EventNote, ...]:
    """An event when a conflict begins, or becomes another one."""
    old = next((c for c in before if c.type == CONDITION), None)
    if now.status != "True" or (old is not None and (old.status, old.reason) == (now.status, now.reason)):
        return ()
    return (EventNote(reason=CONDITION, message=now.message, warning=True),)


def _template_labels(spec: TrainingWorkloadSpec) -> Mapping[str, str]:
    metadata = (spec.template or {}).get("metadata") or {}
    found = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def training_with_conflicts(
    decisions: tuple[TrainingDecision, ...], snapshot: Snapshot
) -> tuple[TrainingDecision, ...]:
    """The decisions, each with its condition `ScalingConflict`, and an event where one begins."""
    scalers, states = scalers_by_target(snapshot.scalers), {t.meta.key: t for t in snapshot.training}
    said = []
    for decision in decisions:
        state, kind = states[decision.key], "TrainingWorkload"
        conflicts = [*_of_workload(kind, state.meta, state.spec, scalers)]
        if state.job is not None:
            conflicts += _of_child("Job", kind, state.meta, state.job.name, scalers)
            conflicts += _writers("Job", state.job, conflicts, snapshot.taken_at)
        conflicts += _queue(state.meta, _template_labels(state.spec))
        value = conflict_condition(conflicts)
        events = (*decision.events, *_news(state.status.conditions, value))
        said.append(decision.model_copy(update={"conditions": (*decision.conditions, value), "events": events}))
    return tuple(said)


def serving_with_conflicts(decisions: tuple[ServingDecision, ...], snapshot: Snapshot) -> tuple[ServingDecision, ...]:
    """The decisions, each with its condition `ScalingConflict`, and an event where one begins."""
    scalers, states = scalers_by_target(snapshot.scalers), {s.meta.key: s for s in snapshot.serving}
    said = []
    for decision in decisions:
        state, kind = states[decision.key], "ServingWorkload"
        conflicts = [*_of_workload(kind, state.meta, state.spec, scalers)]
        for deployment in state.deployments:
            conflicts += _of_child("Deployment", kind, state.meta, deployment.name, scalers)
            conflicts += _writers("Deployment", deployment, conflicts, snapshot.taken_at)
        conflicts += _queue(state.meta, {})
        value = conflict_condition(conflicts)
        events = (*decision.events, *_news(state.status.conditions, value))
        said.append(decision.model_copy(update={"conditions": (*decision.conditions, value), "events": events}))
    return tuple(said)
