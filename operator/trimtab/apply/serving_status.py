"""Status of a ServingWorkload: pure, from what was, what is, and what was decided."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from trimtab.api import labels
from trimtab.api.common import AccuracyFigure, FigureSource, Usage
from trimtab.api.policy import Mode
from trimtab.api.rollout import RolloutStatus
from trimtab.api.serving import Observed, ServingDecisionStatus, ServingWorkloadStatus
from trimtab.apply.conditions import calmed, merged, ready_reason
from trimtab.apply.figures import rounded, rounded_rate
from trimtab.plan.decisions import ConditionValue, ServingDecision
from trimtab.plan.snapshot import ServingState


def active_variant(state: ServingState, decision: ServingDecision) -> str:
    """The variant that every ready replica serves; empty while they differ, the last known while none can be asked; the
    stable one while another is tried beside it.
    """
    names = {v.version: v.name for v in decision.versions}
    if decision.canary_pods:
        return decision.variant  # Some pods try another one; this is what serves.
    loaded = {p.loaded_version for p in state.pods if p.ready and not p.deleting and p.loaded_version is not None}
    if not loaded:
        return state.status.active_variant if any(p.ready for p in state.pods) else ""
    return names.get(loaded.pop(), "") if len(loaded) == 1 else ""


def _observed(state: ServingState, decision: ServingDecision) -> Observed | None:
    correction = rounded(decision.capacity_correction, 2)
    metrics = state.metrics
    if metrics is None:
        return Observed(capacity_correction=correction) if correction is not None else None
    late = metrics.late
    return Observed(
        requests_per_second=rounded(metrics.requests_per_second),
        latency_milliseconds=rounded(metrics.latency_ms),
        percentile=state.spec.targets.latency.percentile.value,
        mean_batch=rounded(metrics.mean_batch),
        capacity_correction=correction,
        late_share=rounded(late.share) if late else None,
        late_share_known=rounded(late.known_share) if late else None,
        late_share_source=late.source.value if late else "",
    )


def _switches(state: ServingState, decision: ServingDecision) -> bool:
    before = state.status.decision
    return (
        before is not None
        and bool(before.variant)
        and bool(decision.variant)
        and before.variant != decision.variant
        and decision.mode is Mode.ENFORCE
    )


def serving_status(
    state: ServingState,
    decision: ServingDecision,
    conditions: Iterable[ConditionValue],
    usage: Usage | None,
    accuracies: Mapping[str, AccuracyFigure],
    now: datetime,
) -> ServingWorkloadStatus:
    """The status to be written.

    Args:
        state: The workload with the status that was written last.
        decision: What was decided.
        conditions: The decision's, or those after a failure to apply it.
        usage: The account, when it was carried on in this pass.
        accuracies: Of the variants, by name.
        now: The instant of writing.
    """
    values, active, switches = tuple(conditions), active_variant(state, decision), _switches(state, decision)
    live = [pod for pod in state.pods if not pod.deleting and pod.phase in ("Pending", "Running", "")]
    return ServingWorkloadStatus(
        observed_generation=state.meta.generation,
        state=ready_reason(values),
        conditions=merged(state.status.conditions, values, state.meta.generation, now),
        decision=ServingDecisionStatus(
            variant=decision.variant,
            hardware_class=decision.hardware_class,
            replicas=decision.replicas,
            mode=decision.mode.value,
            holds_requests=decision.holds_requests,
            reasons=decision.reasons,
            predicted_latency_milliseconds=rounded(decision.predicted_latency_ms),
            rate=rounded_rate(decision.rate),
            source=FigureSource.SIMULATED.value if decision.simulated else "",
        ),
        active_variant=active,
        variants=decision.versions,
        accuracy=accuracies.get(active),
        observed=_observed(state, decision),
        usage=usage or state.status.usage,
        replicas=len(live),
        ready_replicas=sum(1 for pod in live if pod.ready),
        selector=f"{labels.WORKLOAD}={state.meta.name},{labels.WORKLOAD_KIND}=ServingWorkload",
        switches=state.status.switches + int(switches),
        switched_at=now.replace(microsecond=0).isoformat() if switches else state.status.switched_at,
        low_since=decision.low_since.isoformat() if decision.low_since else "",
        low_most=decision.low_most,
        rollout=decision.rollout or state.status.rollout,
        rejected=decision.rejected,
        message=decision.message[:1024],
    )


def quiet_serving_status(new: ServingWorkloadStatus, old: ServingWorkloadStatus) -> ServingWorkloadStatus:
    """`new` without what changes all the time: equal to `old` when nothing else has changed."""
    decision = new.decision
    if decision is not None and old.decision is not None:
        kept = {
            "rate": old.decision.rate,
            "predicted_latency_milliseconds": old.decision.predicted_latency_milliseconds,
        }
        if [r.code for r in decision.reasons] == [r.code for r in old.decision.reasons]:
            kept["reasons"] = old.decision.reasons  # type: ignore[assignment]
        decision = decision.model_copy(update=kept)
    return new.model_copy(
        update={
            "rollout": _calm_rollout(new.rollout, old.rollout),
            "usage": old.usage,
            "observed": old.observed,
            "decision": decision,
            "conditions": calmed(new.conditions, old.conditions),
            "message": old.message,
        }
    )


def _calm_rollout(new: RolloutStatus | None, old: RolloutStatus | None) -> RolloutStatus | None:
    """The old one where only its figures moved."""
    if new is None or old is None:
        return new
    same = (new.started_at, new.phase, new.reason) == (old.started_at, old.phase, old.reason)
    return old if same else new
