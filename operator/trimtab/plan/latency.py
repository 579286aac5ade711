"""Latency of a replica under load: service time, and the wait in its queue.

A replica is one server with Poisson arrivals. Its wait follows Kingman's heavy-traffic form (J. F. C. Kingman, "The
single server
queue in heavy traffic", 1961): who waits at all (a share equal to the utilization) waits an exponential time with mean
`s * (ca2 + cs2) / 2 / (1 - u)`. Dynamic batching only makes this better, so it is left out: the estimate is on the
safe side.
"""

import math
from dataclasses import dataclass

from trimtab.api.serving import Percentile

QUANTILES = {Percentile.P50: 0.5, Percentile.P90: 0.9, Percentile.P95: 0.95, Percentile.P99: 0.99}
_ARRIVAL_VARIABILITY = 1.0
"""Squared coefficient of variation of the times between arrivals: 1 for Poisson."""


@dataclass(frozen=True)
class ServiceProfile:
    """How one replica serves single requests, nothing else running on it."""

    seconds: float
    """Mean time that one request occupies it."""
    tail_seconds: float
    """The target's percentile of that time."""
    variability: float = 1.0
    """Squared coefficient of variation of the service time; 1 is on the safe side."""


def utilization(profile: ServiceProfile, requests_per_second: float) -> float:
    """Share of time that a replica is busy; 1 and above means that its queue grows without end."""
    return requests_per_second * profile.seconds


def latency_seconds(profile: ServiceProfile, requests_per_second: float, percentile: Percentile) -> float:
    """The percentile of a request's latency at a replica under this load; infinite when it cannot keep up."""
    busy = utilization(profile, requests_per_second)
    if busy >= 1.0:
        return math.inf
    tail = 1.0 - QUANTILES[percentile]
    mean_wait = profile.seconds * (_ARRIVAL_VARIABILITY + profile.variability) / 2.0 / (1.0 - busy)
    wait = mean_wait * math.log(busy / tail) if busy > tail else 0.0
    return profile.tail_seconds + wait


def replicas_needed(
    profile: ServiceProfile,
    requests_per_second: float,
    percentile: Percentile,
    bound_seconds: float,
    most: int,
) -> int | None:
    """Fewest replicas, the load split evenly, whose latency stays within the bound; None when `most` are not enough."""
    for count in range(1, most + 1):
        if latency_seconds(profile, requests_per_second / count, percentile) <= bound_seconds:
            return count
    return None
