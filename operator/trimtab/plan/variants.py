"""Decides for one ModelVariant: whether it is to be made, and whether what was made may serve."""

import hashlib
import json

from trimtab.plan.conditions import condition
from trimtab.plan.decisions import ConditionValue, EventNote, VariantDecision
from trimtab.plan.rates import offers
from trimtab.plan.snapshot import HardwareState, Snapshot, TrainingState, VariantState


def spec_hash(variant: VariantState, source: TrainingState) -> str:
    """Names what the figures belong to: the variant's spec, and the run of training that made the source model."""
    finished = source.status.completion_time or (source.job.completed_at if source.job else None)
    parts = [variant.spec.to_manifest(), source.meta.uid, finished.isoformat() if finished else ""]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def gate(variant: VariantState) -> ConditionValue:
    """`AccuracyGatePassed`, from the figures in status."""
    figure, rules = variant.status.accuracy, variant.spec.gate
    if figure is None:
        return condition("AccuracyGatePassed", None, "NotMeasured")
    if rules.min_accuracy is not None and figure.value < rules.min_accuracy:
        text = f"accuracy {figure.value:.4f} is below gate.minAccuracy {rules.min_accuracy:g}"
        return condition("AccuracyGatePassed", False, "BelowMinimum", text)
    drop = (variant.status.baseline_accuracy or figure.value) - figure.value
    if rules.max_accuracy_drop is not None and drop > rules.max_accuracy_drop:
        text = f"loses {drop:.4f} against the source, gate.maxAccuracyDrop is {rules.max_accuracy_drop:g}"
        return condition("AccuracyGatePassed", False, "DropTooLarge", text)
    interval = f"{figure.value:.4f} (95 %: {figure.low:.4f} to {figure.high:.4f}, {figure.samples} samples)"
    return condition("AccuracyGatePassed", True, "Passed", interval)


def _class_for(variant: VariantState, hardware: tuple[HardwareState, ...]) -> str:
    """The first real class with nodes that fits: variants are measured, and a simulated node measures nothing."""
    for candidate in sorted(hardware, key=lambda h: h.meta.name):
        if candidate.nodes and not candidate.spec.simulated and offers(variant.spec.resources, candidate):
            return candidate.meta.name
    return ""


def _waiting(variant: VariantState, reason: str, message: str) -> VariantDecision:
    kept = bool(variant.status.artifact)
    ready = condition("Ready", kept, reason, message)
    return VariantDecision(
        key=variant.meta.key, build=False, spec_hash=variant.status.spec_hash,
        accepted=kept and gate(variant).status == "True", conditions=(ready, gate(variant)),
        events=_event(variant, reason, message, warning=reason.endswith("NotFound")), message=message,
    )  # fmt: skip


def _event(variant: VariantState, reason: str, message: str, *, warning: bool = False) -> tuple[EventNote, ...]:
    if variant.status.state == reason:
        return ()
    return (EventNote(reason=reason, message=message, warning=warning),)


def _trouble(variant: VariantState) -> str:
    for pod in variant.pods:
        text = pod.unschedulable or pod.waiting
        if text and not pod.deleting:
            return f"pod {pod.name}: {text}"
    return ""


def plan_variant(variant: VariantState, snapshot: Snapshot) -> VariantDecision:
    """Decide for one variant. An artifact that exists goes on serving while a new one is made."""
    name = variant.spec.source.training_workload
    key = f"{variant.meta.namespace}/{name}"
    source = next((t for t in snapshot.training if t.meta.key == key), None)
    if source is None:
        text = f"spec.source.trainingWorkload: there is no TrainingWorkload {name!r} in this namespace"
        return _waiting(variant, "SourceNotFound", text)
    if source.spec.checkpoint is None:
        return _waiting(variant, "SourceHasNoClaim", f"TrainingWorkload {name!r} has no spec.checkpoint.claimName")
    if source.status.completion_time is None:
        return _waiting(variant, "WaitsForSource", f"waits for TrainingWorkload {name!r} to succeed")
    wanted = spec_hash(variant, source)
    made = variant.status.spec_hash == wanted and variant.status.artifact is not None
    hardware_class = variant.status.hardware_class if made else _class_for(variant, snapshot.hardware)
    job = variant.job if variant.job and variant.job.spec_hash == wanted else None
    passed = gate(variant)
    if made:
        accepted = passed.status == "True"
        reason = "Ready" if accepted else "GateFailed"
        ready = condition("Ready", accepted, reason, passed.message)
    elif job is not None and (job.failure or (job.complete and variant.result_error)):
        text = variant.result_error or job.failure
        accepted, reason, ready = False, "BuildFailed", condition("Ready", False, "BuildFailed", text)
    elif not hardware_class:
        text = "no HardwareClass with ready, real nodes offers what spec.resources asks for"
        accepted, reason, ready = False, "NoClass", condition("Ready", False, "NoClass", text)
    else:
        trouble = _trouble(variant)
        reason = "BuildBlocked" if trouble else "Building"
        accepted = variant.status.artifact is not None and passed.status == "True"
        ready = condition("Ready", accepted, reason, trouble or f"is made and measured on {hardware_class}")
    return VariantDecision(
        key=variant.meta.key,
        build=not made and bool(hardware_class),
        spec_hash=wanted,
        hardware_class=hardware_class,
        claim_name=source.spec.checkpoint.claim_name,
        accepted=accepted,
        conditions=(ready, passed),
        events=_event(variant, reason, ready.message, warning=reason in ("BuildFailed", "GateFailed", "NoClass")),
        message=ready.message,
    )
