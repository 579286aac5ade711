"""What is measured of serving workloads."""

from datetime import datetime

from trimtab.api.serving import LatenessSource
from trimtab.plan.fact import Fact


class LateShare(Fact):
    """How many of the last hour's requests missed the latency target."""

    share: float
    """Of the requests in the part of the hour that is known, 0..1."""
    known_share: float
    """That part, 0..1."""
    source: LatenessSource
    """What most of them were judged by."""


class ServingMetrics(Fact):
    """What Prometheus says of a serving workload's Triton pods."""

    requests_per_second: float
    items_per_second: float
    """Inferences (a request with a batch of 8 is 8 items)."""
    latency_ms: float | None = None
    """The target's percentile (request latency inside the server), of the slowest pod; None while idle."""
    mean_compute_ms: float | None = None
    """Mean compute time of an execution."""
    mean_queue_ms: float | None = None
    mean_batch: float | None = None
    pending_requests: float = 0.0
    busy_share: float | None = None
    """Share of time that the mean instance was executing, 0..1."""
    failures_per_second: float = 0.0
    pods: int = 1
    """Pods that these figures are of; one that is just ready has none yet."""
    recent_requests_per_second: tuple[float, ...] = ()
    """Rates over past intervals, the newest last; empty while too little is known to forecast from."""
    recent_interval_seconds: float = 10.0
    """Length of these intervals."""
    late: LateShare | None = None
    """None when nothing is known of any request of the last hour."""
    observed_at: datetime


class Idleness(Fact):
    """What is known of a service that may sleep."""

    waiting_connections: float | None = None
    """Connections that are held for want of a server; None when nobody says."""
    requests: float | None = None
    """Answered in the last `scaling.scaleToZeroAfter`, the servers' own probes among them."""


class RolloutCounts(Fact):
    """What the replicas of one variant did in an interval."""

    requests: float = 0.0
    failures: float = 0.0
    latency_ms: float | None = None
    """Estimate of the target's percentile, from mean queue and compute time; None without requests."""

    def late(self, bound_milliseconds: float) -> bool | None:
        """Whether the target was broken; None where that is not known."""
        return None if self.latency_ms is None else self.latency_ms > bound_milliseconds


class RolloutInterval(Fact):
    """An interval in which a candidate served beside the variant that serves."""

    ends_at: datetime
    candidate: RolloutCounts
    stable: RolloutCounts
