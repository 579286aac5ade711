"""The share of requests that took longer than a bound, from whatever a server tells of its latencies.

A server that publishes quantiles, or buckets that were not made for the bound, leaves a gap between what it tells and
what is asked. Between two known quantiles the share that is slower is taken to fall exponentially, as waits in a queue
do; whatever the course, the result lies between the two. Beyond the last one the fall goes on as it was before it.
"""

import math
from collections.abc import Mapping


def share_above_quantiles(quantiles: Mapping[float, float], bound: float) -> float | None:
    """Share of values above a bound, by quantiles of them.

    Args:
        quantiles: Value at each level, the levels in (0, 1).
        bound: In the unit of the values; above 0.

    Returns:
        In [0, 1], falling with the bound; None without a quantile.
    """
    points = _rising(quantiles)
    if not points:
        return None
    low, above_low, fall = 0.0, 1.0, 0.0
    for value, above in points:
        # Two levels at one value: what is known of the end of the distribution is that it is steep.
        fall = math.log(above_low / above) / (value - low) if value > low else math.inf
        if value > bound:
            return above_low * math.exp(-fall * (bound - low))
        low, above_low = value, above
    beyond = bound - low
    return above_low * math.exp(-fall * beyond) if beyond > 0.0 else above_low


def _rising(quantiles: Mapping[float, float]) -> list[tuple[float, float]]:
    """(value, share above) by level. An estimated quantile may lie below one of a lower level: then it is at that."""
    points: list[tuple[float, float]] = []
    for level in sorted(quantiles):
        value = max(quantiles[level], points[-1][0] if points else 0.0)
        points.append((value, 1.0 - level))
    return points


def share_above_buckets(counts: Mapping[float, float], bound: float) -> float | None:
    """Share of values above a bound, by a histogram.

    Within a bucket the values are taken to be spread evenly, as PromQL's `histogram_quantile` does. What lies above
    the last finite edge counts as above a bound that is above it too: it is not known better.

    Args:
        counts: Values at or below each edge, cumulative; the edge of the last is infinite.
        bound: In the unit of the edges.

    Returns:
        In [0, 1]; None without a value, or without the last edge.
    """
    total = counts.get(math.inf, 0.0)
    if total <= 0.0:
        return None
    below, edge, count = 0.0, 0.0, 0.0
    for upper in sorted(counts):
        # Increases of counters are extrapolated one by one: kept from falling.
        following = min(total, max(count, counts[upper]))
        if bound < upper:
            share = (bound - edge) / (upper - edge) if math.isfinite(upper) and upper > edge else 0.0
            below = count + (following - count) * max(0.0, share)
            break
        below, edge, count = following, upper, following
    return min(1.0, max(0.0, 1.0 - below / total))


def share_above_means(mean_wait: float, mean_work: float, bound: float) -> float:
    """Share of requests above a bound, by the mean times that they wait and are worked on.

    A wait that is near exponential exceeds `t` with a probability of exp(-t / mean); the work takes its mean. It is the
    inverse of how `trimtab.plan.serving.load` estimates a percentile from the same means.
    """
    left = bound - mean_work
    if left <= 0.0:
        return 1.0
    return math.exp(-left / mean_wait) if mean_wait > 0.0 else 0.0
