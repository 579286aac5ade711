"""What the live metrics of a serving workload say: the load, whether its target is broken, how fast it really
serves.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from trimtab.api.serving import Percentile
from trimtab.plan.fleet.control import SETTLE_SECONDS
from trimtab.plan.serving_facts import LateShare
from trimtab.plan.snapshot import ServingState

__all__ = [
    "QUANTILES",
    "SETTLE_SECONDS",
    "ObservedLoad",
    "capacity_correction",
    "latency_quantile",
    "observe_load",
    "recent_latency_ms",
]

QUANTILES = {Percentile.P50: 0.5, Percentile.P90: 0.9, Percentile.P95: 0.95, Percentile.P99: 0.99}
STILL_BROKEN = 0.8
"""Above this part of the bound, the recent estimate agrees with a breach that Triton's window of a minute shows."""
_LEAST_BUSY = 0.15
"""Below this utilization, a measured capacity is mostly noise."""
_CORRECTION_BOUNDS = (0.1, 4.0)


@dataclass(frozen=True)
class ObservedLoad:
    """The load as far as it is known."""

    fresh: bool
    """The metrics are there and recent; if not, nothing below may lower a scale."""
    requests_per_second: float
    """Arrivals, as far as they are answered."""
    recent_requests_per_second: tuple[float, ...]
    """The same over past intervals, the newest last; empty while too little is known to forecast from."""
    recent_interval_seconds: float
    """Length of these intervals."""
    pending_requests: float
    """Backlog."""
    breached: bool
    """The latency target is broken now."""
    latency_ms: float | None
    """The target's percentile as Triton reports it, or the recent estimate where that is higher."""
    late_share: float | None = None
    """Share of an hour's requests that missed the target; what is not known of it counts as just allowed."""


def recent_latency_ms(state: ServingState) -> float | None:
    """Estimate of the target's percentile over the last scrapes, from rates of queue and compute time.

    Triton's own quantiles are over a sliding window of a minute and go on showing a breach that is over.
    """
    metrics = state.metrics
    if metrics is None or metrics.mean_queue_ms is None or metrics.mean_compute_ms is None:
        return None
    quantile = QUANTILES[state.spec.targets.latency.percentile]
    return latency_quantile(metrics.mean_queue_ms, metrics.mean_compute_ms, quantile)


def latency_quantile(mean_wait: float, mean_work: float, quantile: float) -> float:
    """A quantile of latency, from the mean times that requests wait and are worked on, in their unit.

    A wait that is near exponential has its q-quantile at -ln(1 - q) times its mean; the work takes its mean.
    """
    return mean_work - math.log1p(-quantile) * mean_wait


def observe_load(state: ServingState, now: datetime, stale_seconds: float) -> ObservedLoad:
    """Read the load out of the metrics."""
    metrics = state.metrics
    if metrics is None or (now - metrics.observed_at).total_seconds() > stale_seconds:
        return ObservedLoad(False, 0.0, (), 10.0, 0.0, False, None)
    bound = state.spec.targets.latency.milliseconds
    recent, reported = recent_latency_ms(state), metrics.latency_ms
    breached = (recent is not None and recent > bound) or (
        reported is not None and reported > bound and (recent is None or recent > STILL_BROKEN * bound)
    )
    known = [value for value in (recent, reported) if value is not None]
    busy_with_requests = metrics.requests_per_second > 0.0 or metrics.pending_requests > 0.0
    latency_ms = max(known) if known and busy_with_requests else None
    return ObservedLoad(
        fresh=True,
        requests_per_second=metrics.requests_per_second,
        recent_requests_per_second=metrics.recent_requests_per_second,
        recent_interval_seconds=metrics.recent_interval_seconds,
        pending_requests=metrics.pending_requests,
        breached=breached and busy_with_requests,
        latency_ms=latency_ms,
        late_share=_late_share(metrics.late, QUANTILES[state.spec.targets.latency.percentile]),
    )


def _late_share(late: LateShare | None, quantile: float) -> float | None:
    """What is known, filled up to an hour with what is just allowed: a quiet minute is no unspent budget of an hour."""
    if late is None:
        return None
    return late.known_share * late.share + (1.0 - late.known_share) * (1.0 - quantile)


def switched_within(state: ServingState, now: datetime, seconds: float) -> bool:
    """Whether the variant was changed less than so long ago."""
    at = state.status.switched_at
    return bool(at) and (now - datetime.fromisoformat(at)).total_seconds() < seconds


def is_switching(state: ServingState, variant: str) -> bool:
    """Whether a ready replica still serves another variant."""
    wanted = {v.name: v.version for v in state.status.variants}.get(variant)
    loaded = (pod.loaded_version for pod in state.pods if pod.ready and not pod.deleting)
    return any(version is not None and version != wanted for version in loaded)


def capacity_correction(state: ServingState, profile_items_per_second: float | None, now: datetime) -> float | None:
    """Measured over profiled capacity of a replica, half the new measurement and half what was learned before.

    The profile is of the bare model; a live server also parses, copies and batches, and shares its CPU. These overheads
    are much the same for each variant: what is learned of the one that serves is the best guess for the others. Nothing
    is learned while pods come or versions change, as the figures are then of several things at once.

    Args:
        state: The workload.
        profile_items_per_second: Capacity by the profile of the variant that serves; None when that is not known.
        now: The instant of the decision.

    Returns:
        None while nothing was learned.
    """
    metrics = state.metrics
    learned = state.status.observed.capacity_correction if state.status.observed else None
    ready = sum(1 for pod in state.pods if pod.ready and not pod.deleting)
    if metrics is None or profile_items_per_second is None or metrics.pods != ready or ready == 0:
        return learned
    unsettled = is_switching(state, state.status.active_variant) or switched_within(state, now, SETTLE_SECONDS)
    if unsettled or metrics.busy_share is None or metrics.busy_share < _LEAST_BUSY:
        return learned
    measured = metrics.items_per_second / metrics.pods / min(1.0, metrics.busy_share) / profile_items_per_second
    low, high = _CORRECTION_BOUNDS
    bounded = min(high, max(low, measured))
    return bounded if learned is None else 0.5 * (bounded + learned)
