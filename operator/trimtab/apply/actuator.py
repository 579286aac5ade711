"""Applies one Plan: children, live switches, events and status, object by object; one failure never stops the rest."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from trimtab.api.common import Condition, Usage
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.policy import Mode
from trimtab.api.schema import StatusModel
from trimtab.api.serving import ServingWorkloadStatus
from trimtab.api.training import TrainingWorkloadStatus
from trimtab.api.variant import ModelVariantStatus
from trimtab.apply.child_applier import ChildApplier, OnWritten
from trimtab.apply.children.names import INVALID_TEMPLATE
from trimtab.apply.children.variant import variant_children
from trimtab.apply.conditions import failing_already, with_failure
from trimtab.apply.events import EventWriter
from trimtab.apply.other_status import (
    carbon_status,
    hardware_status,
    policy_status,
    quiet_policy_status,
    variant_status,
)
from trimtab.apply.serving_apply import apply_serving
from trimtab.apply.serving_status import quiet_serving_status, serving_status
from trimtab.apply.settings import ApplySettings
from trimtab.apply.status_writer import StatusWriter
from trimtab.apply.training_apply import apply_training, pod_lives
from trimtab.apply.training_status import quiet_training_status, training_status
from trimtab.apply.triton import TritonControl
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, Invalid, KubeError
from trimtab.kube.paths import OWN
from trimtab.plan.decisions import (
    ConditionValue,
    EventNote,
    Plan,
    PolicyDecision,
    ServingDecision,
    TrainingDecision,
    VariantDecision,
)
from trimtab.plan.snapshot import (
    HardwareState,
    ObjectMeta,
    PolicyState,
    ServingState,
    Snapshot,
    TrainingState,
    VariantState,
)

_WithConditions = TrainingWorkloadStatus | ServingWorkloadStatus | ModelVariantStatus
_SWITCH_FAILED = "SwitchFailed"
_FAILURES = ("Rejected", INVALID_TEMPLATE, "Forbidden", "ApplyFailed", _SWITCH_FAILED)


@dataclass
class ApplyReport:
    """What came of applying a plan."""

    errors: dict[str, str] = field(default_factory=dict)
    """By `Kind/namespace/name`: what could not be applied, and why."""


@dataclass(frozen=True)
class _Context:
    """What applying one object may need of the world."""

    snapshot: Snapshot
    plan: Plan
    hardware: dict[str, HardwareClassSpec]
    usage: Mapping[str, Usage]
    budget_usage: Mapping[tuple[str, str], Usage]
    now: datetime


def failure_reason(error: KubeError) -> str:
    """How a failure is named in conditions: the user's to mend, the administrator's, or an outage that passes."""
    if isinstance(error, Invalid):
        return error.reason if error.reason == INVALID_TEMPLATE else "Rejected"
    return "Forbidden" if isinstance(error, Forbidden) else "ApplyFailed"


class Actuator:
    """The only part that changes the cluster."""

    def __init__(
        self, kube: KubeClient, triton: TritonControl, settings: ApplySettings, on_written: OnWritten = lambda *_: None
    ) -> None:
        self._settings, self._triton = settings, triton
        self._children = ChildApplier(kube, on_written, settings.resync_seconds)
        self._status = StatusWriter(kube, on_written, settings.usage_write_seconds)
        self._events = EventWriter(kube)
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="apply")

    def apply(
        self,
        snapshot: Snapshot,
        plan: Plan,
        usage: Mapping[str, Usage],
        now: datetime,
        budget_usage: Mapping[tuple[str, str], Usage] = MappingProxyType({}),
    ) -> ApplyReport:
        """Apply everything.

        Args:
            snapshot: The world that was decided on.
            plan: The decisions.
            usage: Accounts that were carried on, by `Kind/namespace/name`.
            now: The instant of writing.
            budget_usage: Accounts of budgets that were carried on, by the policy's key and the budget's name.

        Raises:
            Exception: what is no answer of the API server is a bug and is raised, after all other objects are done.
        """
        classes = {h.meta.name: h.spec for h in snapshot.hardware}
        context = _Context(snapshot, plan, classes, usage, budget_usage, now)
        tasks = dict(self._tasks(context))
        futures = {key: self._pool.submit(task) for key, task in tasks.items()}
        report, bugs = ApplyReport(), list[Exception]()
        for key, future in futures.items():
            try:
                error = future.result()
            except KubeError as problem:
                error = problem
            except Exception as bug:
                bug.add_note(f"while applying {key}")
                bugs.append(bug)
                continue
            if error is not None:
                report.errors[key] = str(error)
        if bugs:
            raise bugs[0]
        self._status.forget_except(_uids(snapshot))
        self._children.forget_stale(now)
        return report

    def _tasks(self, context: _Context) -> list[tuple[str, Callable[[], KubeError | None]]]:
        training = {d.key: d for d in context.plan.training}
        serving = {d.key: d for d in context.plan.serving}
        variants = {d.key: d for d in context.plan.variants}
        snapshot = context.snapshot
        tasks: list[tuple[str, Callable[[], KubeError | None]]] = []
        for t in snapshot.training:
            tasks.append((f"TrainingWorkload/{t.meta.key}", _bound(self._training, t, training[t.meta.key], context)))
        for s in snapshot.serving:
            tasks.append((f"ServingWorkload/{s.meta.key}", _bound(self._serving, s, serving[s.meta.key], context)))
        for v in snapshot.variants:
            tasks.append((f"ModelVariant/{v.meta.key}", _bound(self._variant, v, variants[v.meta.key], context)))
        tasks.append(("policies, classes and sources", _bound(self._others, context)))
        return tasks

    def _training(self, state: TrainingState, decision: TrainingDecision, context: _Context) -> KubeError | None:
        error: KubeError | None = None
        conditions, notes = decision.conditions, decision.events
        if decision.mode is Mode.ENFORCE and not state.meta.deleting:
            try:
                apply_training(state, decision, context.hardware, self._settings.images, self._children, context.now)
            except KubeError as problem:
                error = problem
                conditions, notes = _failed(conditions, notes, problem)
        usage = context.usage.get(f"TrainingWorkload/{state.meta.key}")
        new = training_status(state, decision, conditions, usage, context.now)
        calm = quiet_training_status(new, state.status)
        return self._publish("TrainingWorkload", state.meta, state.status, new, calm, notes, context.now) or error

    def _serving(self, state: ServingState, decision: ServingDecision, context: _Context) -> KubeError | None:
        error: KubeError | None = None
        conditions, notes = decision.conditions, decision.events
        variants = {
            v.meta.name: v.status for v in context.snapshot.variants if v.meta.namespace == state.meta.namespace
        }
        artifacts = {name: variants[name].artifact for name in decision.available if name in variants}
        if decision.mode is Mode.ENFORCE and not state.meta.deleting:
            try:
                failed = apply_serving(
                    state, decision, {k: a for k, a in artifacts.items() if a}, context.hardware,
                    self._settings.images, self._children, self._triton, context.now,
                )  # fmt: skip
                if failed:
                    words = "; ".join(f"pod {pod}: {why}" for pod, why in sorted(failed.items()))
                    conditions = with_failure(conditions, _SWITCH_FAILED, words, passing=True)
                    notes = (*notes, EventNote(reason=_SWITCH_FAILED, message=words, warning=True))
            except KubeError as problem:
                error = problem
                conditions, notes = _failed(conditions, notes, problem)
        accuracies = {name: status.accuracy for name, status in variants.items() if status.accuracy is not None}
        usage = context.usage.get(f"ServingWorkload/{state.meta.key}")
        new = serving_status(state, decision, conditions, usage, accuracies, context.now)
        calm = quiet_serving_status(new, state.status)
        return self._publish("ServingWorkload", state.meta, state.status, new, calm, notes, context.now) or error

    def _variant(self, state: VariantState, decision: VariantDecision, context: _Context) -> KubeError | None:
        error: KubeError | None = None
        conditions, notes = decision.conditions, decision.events
        hardware = context.hardware.get(decision.hardware_class)
        if decision.build and hardware is not None and not state.meta.deleting:
            try:
                self._build(state, decision, hardware, context.now)
            except KubeError as problem:
                error = problem
                conditions, notes = _failed(conditions, notes, problem)
        new = variant_status(state, decision, conditions, context.now)
        return self._publish("ModelVariant", state.meta, state.status, new, new, notes, context.now) or error

    def _publish(
        self, kind: str, meta: ObjectMeta, old: _WithConditions, new: StatusModel, calm: StatusModel,
        notes: tuple[EventNote, ...], now: datetime,
    ) -> KubeError | None:  # fmt: skip
        """Write events, then status: an event that fails must not keep the operator from remembering."""
        error: KubeError | None = None
        try:
            self._events.write(meta, kind, _news(notes, old.conditions), now)
        except KubeError as problem:
            error = problem
        self._status.write(OWN[kind], meta, old, new, calm, now)
        return error

    def _build(
        self, state: VariantState, decision: VariantDecision, hardware: HardwareClassSpec, now: datetime
    ) -> None:
        if state.job is not None and state.job.spec_hash != decision.spec_hash:
            self._children.delete_job(state.meta.namespace, state.job.name, state.job.uid)
        elif state.job is None and not any(pod_lives(pod) for pod in state.pods):
            for manifest in variant_children(state, decision, hardware, self._settings.images):
                self._children.apply(manifest, now, drifted=True)

    def _others(self, context: _Context) -> KubeError | None:
        """Policies, classes and sources. The first error is reported, after all have been tried."""
        first: KubeError | None = None
        for write in self._other_writes(context):
            try:
                outcome = write()
            except KubeError as error:
                outcome = error
            first = first or (outcome if isinstance(outcome, KubeError) else None)
        return first

    def _other_writes(self, context: _Context) -> list[Callable[[], object]]:
        plan, now, writes = context.plan, context.now, list[Callable[[], object]]()
        shown = {(kind, one.key): one.conditions for kind in ("hardware", "carbon") for one in getattr(plan, kind)}
        decided = {decision.key: decision for decision in plan.policies}
        for p in context.snapshot.policies:
            writes.append(_bound(self._policy, p, decided[p.meta.key], context))
        for h in context.snapshot.hardware:
            nodes = context.usage.get(f"HardwareClass/{h.meta.name}")
            new_h = hardware_status(h, shown["hardware", h.meta.key], _intensity(plan, h), nodes, now)
            calm_h = new_h.model_copy(update={"usage": h.status.usage})
            writes.append(_bound(self._status.write, OWN["HardwareClass"], h.meta, h.status, new_h, calm_h, now))
        for c in context.snapshot.carbon:
            new_c = carbon_status(c, shown["carbon", c.meta.key], now)
            writes.append(_bound(self._status.write, OWN["CarbonSource"], c.meta, c.status, new_c, new_c, now))
        return writes

    def _policy(self, state: PolicyState, decision: PolicyDecision, context: _Context) -> KubeError | None:
        """Events, then status, as for workloads."""
        kind = "EfficiencyPolicy" if state.meta.namespace else "ClusterEfficiencyPolicy"
        error: KubeError | None = None
        try:
            self._events.write(state.meta, kind, decision.events, context.now)
        except KubeError as problem:
            error = problem
        key = state.meta.key
        usages = {name: usage for (policy, name), usage in context.budget_usage.items() if policy == key}
        new = policy_status(state, decision, context.plan.policy_workloads[key], usages, context.now)
        calm = quiet_policy_status(new, state.status)
        self._status.write(OWN[kind], state.meta, state.status, new, calm, context.now)
        return error

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
        self._triton.close()


def _intensity(plan: Plan, hardware: HardwareState) -> float | None:
    return plan.intensity_by_zone.get(hardware.spec.grid_zone)


def _uids(snapshot: Snapshot) -> set[str]:
    groups = (
        snapshot.training, snapshot.serving, snapshot.variants, snapshot.policies, snapshot.hardware, snapshot.carbon,
    )  # fmt: skip
    return {state.meta.uid for group in groups for state in group}


def _bound(call: Callable[..., object], *arguments: object) -> Callable[[], KubeError | None]:
    def bound() -> KubeError | None:
        result = call(*arguments)
        return result if isinstance(result, KubeError) else None

    return bound


def _failed(
    conditions: tuple[ConditionValue, ...], notes: tuple[EventNote, ...], error: KubeError
) -> tuple[tuple[ConditionValue, ...], tuple[EventNote, ...]]:
    reason = failure_reason(error)
    note = EventNote(reason=reason, message=error.message, warning=True)
    return with_failure(conditions, reason, error.message, passing=reason == "ApplyFailed"), (*notes, note)


def _news(notes: tuple[EventNote, ...], before: tuple[Condition, ...]) -> tuple[EventNote, ...]:
    """Failures are news when they begin, not on each pass while they last."""
    return tuple(n for n in notes if not (n.reason in _FAILURES and failing_already(before, n.reason)))
