"""Status of a ModelVariant, and of the kinds about which nothing is decided: policies, classes, carbon sources."""

from collections.abc import Iterable
from datetime import datetime

from trimtab.api.carbon import CarbonSourceStatus
from trimtab.api.common import AccuracyFigure
from trimtab.api.hardware import HardwareClassStatus
from trimtab.api.policy import EfficiencyPolicyStatus
from trimtab.api.variant import Artifact, ModelVariantStatus, ProfilePoint
from trimtab.apply.children.variant import artifact_path
from trimtab.apply.conditions import merged, ready_reason
from trimtab.plan.decisions import ConditionValue, VariantDecision
from trimtab.plan.snapshot import CarbonState, HardwareState, PolicyState, VariantResult, VariantState


def _made(state: VariantState, decision: VariantDecision, result: VariantResult) -> ModelVariantStatus:
    """The figures of a report, with what they belong to."""
    profile = tuple(
        ProfilePoint(
            batch=point.batch,
            p50_milliseconds=point.p50_ms,
            p95_milliseconds=point.p95_ms,
            p99_milliseconds=point.p99_ms,
            items_per_second=point.items_per_second,
            cpu_seconds_per_item=point.cpu_seconds_per_item,
        )
        for point in result.profile
    )
    return ModelVariantStatus(
        spec_hash=decision.spec_hash,
        artifact=Artifact(
            claim_name=decision.claim_name,
            path=f"{artifact_path(state)}/{result.artifact}",
            sha256=result.sha256,
            size_bytes=result.size_bytes,
        ),
        accuracy=AccuracyFigure(
            value=result.accuracy,
            low=result.accuracy_low,
            high=result.accuracy_high,
            samples=result.held_out_samples,
        ),
        baseline_accuracy=result.baseline_accuracy,
        agreement=result.agreement,
        peak_memory_bytes=result.peak_memory_bytes,
        cpu_cores=state.spec.resources.cpu,
        hardware_class=decision.hardware_class,
        profile=profile,
    )


def variant_status(
    state: VariantState, decision: VariantDecision, conditions: Iterable[ConditionValue], now: datetime
) -> ModelVariantStatus:
    """The status to be written. Figures of an artifact stay until those of its successor are there."""
    values = tuple(conditions)
    reported = state.result is not None and state.job is not None and state.job.spec_hash == decision.spec_hash
    base = _made(state, decision, state.result) if reported and state.result else state.status
    return base.model_copy(
        update={
            "observed_generation": state.meta.generation,
            "state": ready_reason(values),
            "conditions": merged(state.status.conditions, values, state.meta.generation, now),
            "message": decision.message[:1024],
        }
    )


def policy_status(
    state: PolicyState, conditions: Iterable[ConditionValue], workloads: int, now: datetime
) -> EfficiencyPolicyStatus:
    """Whom a policy reaches."""
    return EfficiencyPolicyStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, conditions, state.meta.generation, now),
        workloads=workloads,
    )


def hardware_status(
    state: HardwareState, conditions: Iterable[ConditionValue], intensity: float | None, now: datetime
) -> HardwareClassStatus:
    """What there is of a class."""
    return HardwareClassStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, conditions, state.meta.generation, now),
        nodes=state.nodes,
        capacity=f"{state.capacity_units:g}",
        intensity_grams_per_kwh=f"{intensity:.0f}" if intensity is not None else "",
    )


def carbon_status(
    state: CarbonState, conditions: Iterable[ConditionValue], intensity: float | None, now: datetime
) -> CarbonSourceStatus:
    """What a source says now."""
    return CarbonSourceStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, conditions, state.meta.generation, now),
        grams_per_kwh=f"{intensity:.0f}" if intensity is not None else "",
        trace_time=state.trace_time,
        message=state.problem[:1024],
    )
