"""What a server does with requests that have waited for too long: it serves those first that can still be in time.

Where more arrives than the replicas can do, serving in order of arrival makes every request late until the last of the
backlog is gone. Behind the others, only as many are late as are too many: an overload of a tenth costs a tenth. The
price is a longer wait of those few (adaptive LIFO serves the same end: B. Maurer, "Fail at scale", ACM Queue, 2015).
"""

QUEUE_TIMEOUT_SHARE = 0.75
"""Part of the latency target after which a request that still waits is taken to be late: the rest is for serving it."""


def queue_timeout_seconds(bound_seconds: float) -> float:
    """Time in the queue after which a request goes behind the others, for a latency target."""
    return bound_seconds * QUEUE_TIMEOUT_SHARE
