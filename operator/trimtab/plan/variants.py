"""Decides for one ModelVariant: whether it is to be made, and whether what was made may serve."""

import hashlib
import json

from trimtab.api.common import AccuracyFigure
from trimtab.api.variant import GateFigures, ModelVariantStatus
from trimtab.plan.accuracy_gate import Pairs, Shown, accuracy_above, drop_below
from trimtab.plan.conditions import condition
from trimtab.plan.decisions import ConditionValue, EventNote, VariantDecision
from trimtab.plan.rates import offers
from trimtab.plan.snapshot import HardwareState, Snapshot, TrainingState, VariantState

_PARITY_FAILED = "ParityFailed"
"""The optimizer's word for outputs that an exported or rewritten model should not give."""


def spec_hash(variant: VariantState, source: TrainingState) -> str:
    """Names what the figures belong to: how the variant is made, and the run of training that made the source model.

    Not the gate: figures are judged anew when it changes, not measured anew, unless a search chose by it. Not what is
    unset either, so that fields which a later release adds rebuild nothing.
    """
    left_out = {"gate"} if variant.spec.search is None else set[str]()
    finished = source.status.completion_time or (source.job.completed_at if source.job else None)
    spec = variant.spec.model_dump(mode="json", by_alias=True, exclude=left_out, exclude_defaults=True)
    parts = [spec, source.meta.uid, finished.isoformat() if finished else ""]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def gate(variant: VariantState) -> tuple[ConditionValue, GateFigures | None]:
    """`AccuracyGatePassed` and the tests behind it, from the figures in status."""
    figure, rules = variant.status.accuracy, variant.spec.gate
    if figure is None:
        return condition("AccuracyGatePassed", None, "NotMeasured"), None
    floor = margin = None
    if rules.min_accuracy is not None:
        right = round(figure.value * figure.samples)
        floor = accuracy_above(right, figure.samples, rules.min_accuracy, rules.significance)
    pairs = _pairs(variant.status, figure)
    if rules.max_accuracy_drop is not None and pairs is not None:
        margin = drop_below(pairs, rules.max_accuracy_drop, rules.significance)
    tested = [shown for shown in (floor, margin) if shown]
    if not tested:
        if rules.max_accuracy_drop is not None:
            return condition("AccuracyGatePassed", None, "NotMeasured", "there are no figures of the source"), None
        return condition("AccuracyGatePassed", True, "Passed", _interval(figure)), None
    needed = [shown.samples_needed for shown in tested if shown.samples_needed is not None]
    figures = GateFigures(
        significance=rules.significance,
        p_value=max(shown.p_value for shown in tested),
        samples=figure.samples,
        samples_needed=max(needed) if len(needed) == len(tested) else None,
        accuracy_at_least=floor.bound if floor else None,
        drop_at_most=margin.bound if margin else None,
    )
    return _judged(variant, figure, pairs, (floor, margin)), figures


def _judged(
    variant: VariantState, figure: AccuracyFigure, pairs: Pairs | None, shown: tuple[Shown | None, Shown | None]
) -> ConditionValue:
    rules, (floor, margin) = variant.spec.gate, shown
    least, most, level = rules.min_accuracy, rules.max_accuracy_drop, rules.significance
    if least is not None and figure.value < least:
        text = f"accuracy {figure.value:.4f} is below gate.minAccuracy {least:g}"
        return condition("AccuracyGatePassed", False, "BelowMinimum", text)
    if most is not None and pairs is not None and pairs.drop > most:
        text = f"loses {pairs.drop:.4f} against the source, gate.maxAccuracyDrop is {most:g}"
        return condition("AccuracyGatePassed", False, "DropTooLarge", text)
    if least is not None and floor is not None and floor.p_value > level:
        text = f"accuracy {figure.value:.4f} is not shown to be above gate.minAccuracy {least:g}: "
        return condition("AccuracyGatePassed", False, "NotShown", text + _too_few(floor, figure.samples, level))
    if most is not None and margin is not None and margin.p_value > level and pairs is not None:
        text = f"a loss of {pairs.drop:.4f} is not shown to be below gate.maxAccuracyDrop {most:g}: "
        return condition("AccuracyGatePassed", False, "NotShown", text + _too_few(margin, figure.samples, level))
    bounds = [f"above {floor.bound:.4f}"] if floor else []
    bounds += [f"loses less than {margin.bound:.4f}"] if margin else []
    text = f"{_interval(figure)}; shown at significance {level:g}: {' and '.join(bounds)}"
    return condition("AccuracyGatePassed", True, "Passed", text)


def parity(variant: VariantState, *, failed: bool = False) -> ConditionValue:
    """`NumericalParity`: whether the exported model computes what the trained one does.

    Args:
        variant: With the steps of what was made last, and with why a newer build ended.
        failed: Whether the build of what is wanted now has failed.
    """
    if failed and variant.failure_reason == _PARITY_FAILED:
        return condition("NumericalParity", False, _PARITY_FAILED, variant.result_error)
    measured = [(s.name, s.relative_error, s.tolerance) for s in variant.status.steps]
    # Status keeps six decimals.
    said = ", ".join(
        f"{name} {f'{error:.2g}' if error >= 1e-6 else 'below 1e-06'} of {limit:g}"
        for name, error, limit in measured
        if error is not None and limit is not None
    )
    if not said:
        return condition("NumericalParity", None, "NotMeasured")
    return condition("NumericalParity", True, "WithinTolerance", f"relative error of the outputs: {said}")


def _too_few(shown: Shown, samples: int, significance: float) -> str:
    """Why a figure on the right side of its limit does not pass, and what would help."""
    text = f"p {shown.p_value:.2g} with {samples} samples, gate.significance is {significance:g}; "
    if shown.samples_needed is None:
        return text + "no number of samples shows a figure that lies on the limit"
    return text + f"with these figures it takes about {shown.samples_needed} held-out samples"


def _interval(figure: AccuracyFigure) -> str:
    return f"{figure.value:.4f} (95 %: {figure.low:.4f} to {figure.high:.4f}, {figure.samples} samples)"


def _pairs(status: ModelVariantStatus, figure: AccuracyFigure) -> Pairs | None:
    """Where variant and source differ; None where the source was not measured.

    What an optimizer of an earlier release reported has no such counts. Then all differing answers count as differing
    in being right, which is the most that they can: the test passes less easily, never more.
    """
    if status.baseline_only_right is not None and status.variant_only_right is not None:
        return Pairs(figure.samples, status.baseline_only_right, status.variant_only_right)
    if status.baseline_accuracy is None:
        return None
    balance = round((status.baseline_accuracy - figure.value) * figure.samples)
    # Answers that differ, and answers that are wrong: no more than either can be right on one side only.
    differing = round((2 - status.baseline_accuracy - figure.value) * figure.samples)
    if status.agreement is not None:
        differing = min(differing, round((1 - status.agreement) * figure.samples))
    won = max(0, (differing - balance + 1) // 2, -balance)
    return Pairs(figure.samples, won + balance, won)


def _class_for(variant: VariantState, hardware: tuple[HardwareState, ...]) -> str:
    """The first real class with nodes that fits: variants are measured, and a simulated node measures nothing."""
    for candidate in sorted(hardware, key=lambda h: h.meta.name):
        if candidate.nodes and not candidate.spec.simulated and offers(variant.spec.resources, candidate):
            return candidate.meta.name
    return ""


def _waiting(variant: VariantState, reason: str, message: str) -> VariantDecision:
    kept = bool(variant.status.artifact)
    ready = condition("Ready", kept, reason, message)
    passed, figures = gate(variant)
    return VariantDecision(
        key=variant.meta.key, build=False, spec_hash=variant.status.spec_hash,
        accepted=kept and passed.status == "True", conditions=(ready, passed, parity(variant)), gate=figures,
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
    passed, figures = gate(variant)
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
        gate=figures,
        conditions=(ready, passed, parity(variant, failed=reason == "BuildFailed")),
        events=_event(variant, reason, ready.message, warning=reason in ("BuildFailed", "GateFailed", "NoClass")),
        message=ready.message,
    )
