"""Status of a ModelVariant, and of the kinds about which nothing is decided: policies, classes, carbon sources."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from trimtab.api.budget import BudgetStatus
from trimtab.api.carbon import CarbonSourceStatus
from trimtab.api.common import AccuracyFigure, Usage
from trimtab.api.hardware import HardwareClassStatus, NodeUsage
from trimtab.api.policy import EfficiencyPolicyStatus
from trimtab.api.variant import Artifact, ModelVariantStatus, ProfilePoint, SearchReport, StepReport
from trimtab.apply.children.variant import artifact_path
from trimtab.apply.conditions import calmed, merged, ready_reason
from trimtab.plan.budget.account import with_usage
from trimtab.plan.budget.orders import newest_usage
from trimtab.plan.decisions import ConditionValue, PolicyDecision, VariantDecision
from trimtab.plan.intensity import intensity_at
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
        baseline_only_right=result.baseline_only_right,
        variant_only_right=result.variant_only_right,
        peak_memory_bytes=result.peak_memory_bytes,
        cpu_cores=state.spec.resources.cpu,
        hardware_class=decision.hardware_class,
        steps=tuple(StepReport.model_validate(step.model_dump()) for step in result.steps),
        search=SearchReport.model_validate(result.search.model_dump()) if result.search else None,
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
            # Figures that are only just in are tested by the next pass: the decision was about those before.
            "gate": decision.gate if base.artifact == state.status.artifact else None,
            "conditions": merged(state.status.conditions, values, state.meta.generation, now),
            "message": decision.message[:1024],
        }
    )


def policy_status(
    state: PolicyState, decision: PolicyDecision, workloads: int, usages: Mapping[str, Usage], now: datetime
) -> EfficiencyPolicyStatus:
    """Whom a policy reaches, and how its budgets stand.

    Args:
        state: The policy with the status that was written last.
        decision: What it shows.
        workloads: How many it selects.
        usages: The accounts of its budgets that were carried on in this pass, by the budget's name.
        now: The instant of writing.
    """
    before = {b.name: b for b in state.status.budgets}
    specs = {b.name: b for b in state.spec.budgets}
    budgets = tuple(
        with_usage(specs[b.name], b, newest_usage(before.get(b.name), b, usages.get(b.name))) if b.name in specs else b
        for b in decision.budgets
    )
    return EfficiencyPolicyStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, decision.conditions, state.meta.generation, now),
        workloads=workloads,
        budgets=budgets,
        eco_mode=decision.eco_mode,
    )


def quiet_policy_status(new: EfficiencyPolicyStatus, old: EfficiencyPolicyStatus) -> EfficiencyPolicyStatus:
    """`new` without what changes all the time: equal to `old` when nothing else has changed."""
    before = {b.name: b for b in old.budgets}
    return new.model_copy(
        update={
            "conditions": calmed(new.conditions, old.conditions),
            "budgets": tuple(_quiet_budget(b, before[b.name]) if b.name in before else b for b in new.budgets),
        }
    )


def _quiet_budget(new: BudgetStatus, old: BudgetStatus) -> BudgetStatus:
    return old if _kept_at_once(new) == _kept_at_once(old) else new


def _kept_at_once(one: BudgetStatus) -> tuple[object, ...]:
    """What must not wait for the next writing."""
    return one.period_start, one.action, one.limit, one.members, one.deleted


def hardware_status(
    state: HardwareState,
    conditions: Iterable[ConditionValue],
    intensity: float | None,
    usage: Usage | None,
    now: datetime,
) -> HardwareClassStatus:
    """What there is of a class, and what its nodes spent: `usage` where that account was carried on in this pass."""
    return HardwareClassStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, conditions, state.meta.generation, now),
        nodes=state.nodes,
        capacity=f"{state.capacity_units:g}",
        intensity_grams_per_kwh=f"{intensity:.0f}" if intensity is not None else "",
        usage=usage if isinstance(usage, NodeUsage) else state.status.usage,
        paid_usd_per_hour=f"{state.spec.price.usd_per_hour:g}",
        figures=state.figures,
    )


def carbon_status(state: CarbonState, conditions: Iterable[ConditionValue], now: datetime) -> CarbonSourceStatus:
    """What a source says now."""
    intensity = intensity_at(state.points, now)
    return CarbonSourceStatus(
        observed_generation=state.meta.generation,
        conditions=merged(state.status.conditions, conditions, state.meta.generation, now),
        grams_per_kwh=f"{intensity:.0f}" if intensity is not None else "",
        trace_time=state.trace_time,
        newest_data=state.newest_data,
        forecast_until=state.points[-1].start if state.forecast_by else None,
        forecast_by=state.forecast_by,
        forecast_error_percent=state.forecast_error_percent,
        next_fetch=state.next_fetch,
        message=(state.problem or state.note)[:1024],
    )
