"""Whether a service that may go to no replicas sleeps now. Nothing is remembered for it but the last decision: how long
nobody asked is read from the metrics, so that a restart of the operator changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Reason
from trimtab.api.policy import Mode
from trimtab.api.quantity import format_duration
from trimtab.plan.snapshot import ServingState

ASLEEP = "Asleep"
_PROBE_SECONDS = 20.0
"""Each server is asked so often by its own liveness probe; Triton counts these requests with the others."""
_SPARE_PROBES = 2.0
"""More of them that a window may hold by its edges and by Prometheus' extrapolation."""


@dataclass(frozen=True)
class Sleep:
    """What sleeping has to say to a workload's decision."""

    possible: bool = False
    """It may sleep: its waker is there, or is to be made."""
    reason: Reason | None = None
    """Why it has no replicas now; None while it is awake."""


def sleep(state: ServingState, mode: Mode, now: datetime) -> Sleep:
    """Decide whether a workload sleeps.

    It falls asleep when nothing but probes asked for `scaling.scaleToZeroAfter`, its waker answers, and it has been
    awake for so long. It wakes when a connection waits, and also when nobody can say whether one does.

    Args:
        state: The workload.
        mode: Of its policies; under Recommend nothing is put to sleep.
        now: The instant of the decision.
    """
    spec, idle = state.spec, state.idleness
    if spec.min_replicas > 0 or spec.replicas is not None or mode is not Mode.ENFORCE:
        return Sleep()
    last = state.status.decision
    slept = last is not None and any(reason.code == ASLEEP for reason in last.reasons)
    if idle is None or idle.waiting_connections is None:
        return Sleep(possible=True)
    if idle.waiting_connections > 0.0:
        return Sleep(possible=True)
    if slept:
        return Sleep(True, _reason("nobody waits"))
    window = spec.scaling.scale_to_zero_after
    ready = [pod for pod in state.pods if pod.ready and not pod.deleting]
    probes = len(ready) * (window.total_seconds() / _PROBE_SECONDS + _SPARE_PROBES)
    quiet = idle.requests is not None and idle.requests <= probes
    if ready and quiet and _awake_for(state, now) >= window:
        return Sleep(True, _reason(f"nobody asked for {format_duration(window)}"))
    return Sleep(possible=True)


def _awake_for(state: ServingState, now: datetime) -> timedelta:
    """Since when the pod that has run the longest does."""
    started = [pod.started_at or pod.created_at for pod in state.pods if pod.ready and not pod.deleting]
    return now - min(started, default=now)


def _reason(why: str) -> Reason:
    return Reason(code=ASLEEP, message=f"{why}: no replicas, a request that comes waits until one is started for it")
