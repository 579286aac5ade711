"""How many replicas to run of the option taken: up at once, down when it has been enough for a while."""

from dataclasses import dataclass
from datetime import datetime

from trimtab.api.common import Reason
from trimtab.plan.serving_load import SETTLE_SECONDS, Load, is_switching
from trimtab.plan.serving_options import ServingOption
from trimtab.plan.snapshot import ServingState


@dataclass(frozen=True)
class Scale:
    """The number of replicas, and why."""

    replicas: int
    low_since: datetime | None
    """Since when fewer would have been enough."""
    reason: Reason | None = None


def current_replicas(state: ServingState, hardware_class: str) -> int:
    """Replicas that the class's Deployment is asked for now; 0 when it does not exist."""
    return next((d.replicas for d in state.deployments if d.hardware_class == hardware_class), 0)


def _low_since(state: ServingState, now: datetime) -> datetime:
    return datetime.fromisoformat(state.status.low_since) if state.status.low_since else now


def _settled(state: ServingState, current: int, now: datetime) -> bool:
    """Whether all replicas are there, and for long enough that the metrics show what they do."""
    ready = [pod for pod in state.pods if pod.ready and not pod.deleting]
    young = (pod.started_at is not None and (now - pod.started_at).total_seconds() < SETTLE_SECONDS for pod in ready)
    return len(ready) >= current and not any(young)


def _step_up(option: ServingOption, wanted: int, current: int, most: int) -> int:
    """One more than now: the target is broken, so the model alone was too hopeful."""
    if current >= most:
        return max(wanted, min(current, most))
    more = option.candidate.with_replicas(current + 1)
    return wanted if more.over_limit else max(wanted, current + 1)


def scale(state: ServingState, option: ServingOption, load: Load, most: int, now: datetime) -> Scale:
    """Settle the number of replicas.

    Args:
        state: The workload.
        option: The way to serve that was chosen, with the replicas that the model wants.
        load: What was measured.
        most: Most replicas that there may be: the spec's and what capacity allows.
        now: The instant of the decision.
    """
    current = current_replicas(state, option.hardware_class)
    if state.spec.replicas is not None:
        text = f"spec.replicas is {state.spec.replicas}: the count is not trimtab's to choose"
        return Scale(option.replicas, None, Reason(code="ReplicasFixed", message=text))
    wanted = max(option.replicas, option.for_load(load.requests_per_second, most).replicas)
    switching = is_switching(state, option.variant)
    if load.breached and not switching:
        settled = _settled(state, current, now)
        wanted = _step_up(option, wanted, current, most) if settled else max(wanted, min(current, most))
    target = state.spec.targets.latency
    if wanted > current:
        if load.breached and load.latency_ms is not None:
            text = f"{target.percentile} is {load.latency_ms:.0f} ms, above the target of {target.milliseconds} ms"
            return Scale(wanted, None, Reason(code="LatencyBreach", message=text))
        text = f"{load.requests_per_second:.3g} requests/s need {wanted} replicas"
        return Scale(wanted, None, Reason(code="LoadRises", message=text))
    if wanted == current or current == 0:
        return Scale(wanted, None)
    if switching:
        text = f"keeps {current} replicas until each serves {option.variant}"
        return Scale(current, _low_since(state, now), Reason(code="SwitchesFirst", message=text))
    over = option.candidate.with_replicas(current).over_limit
    if over:
        fitting = (n for n in range(current - 1, wanted, -1) if not option.candidate.with_replicas(n).over_limit)
        kept = next(fitting, wanted)
        since = _low_since(state, now) if kept > wanted else None
        return Scale(kept, since, Reason(code="OverLimit", message=over))
    since = _low_since(state, now)
    patience = state.spec.scaling.scale_down_stabilization
    if now - since < patience:
        left = (patience - (now - since)).total_seconds()
        text = f"{wanted} replicas would do; keeps {current} for another {left:.0f} s"
        return Scale(min(current, most), since, Reason(code="Stabilizing", message=text))
    text = f"{load.requests_per_second:.3g} requests/s need only {wanted} of {current} replicas, for {patience} now"
    return Scale(wanted, None, Reason(code="LoadFell", message=text))
