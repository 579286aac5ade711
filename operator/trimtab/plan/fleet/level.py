"""The level of a load whose bursts are absorbed, and the headroom above it: for services that plan for a mean.

A language model's slots and a patient latency target swallow what lasts seconds. What breaks such a service is a level
that rises while replicas start. So the level is a moving average, and the headroom is the quantile of the relative
errors which that average made in the window as a forecast: of the mean over a shorter time that ended when a replica
started then would have served. Errors of overlapping times say little that is new; until there are enough independent
ones, a surge is assumed. Assumed and measured quantile are averaged by weight (K. C. Lichtendahl, Y. Grushka-Cockayne,
R. L. Winkler, "Is it better to average probabilities or quantiles?", Management Science, 2013).

A step does not wait for the average: what is made ready for is no less than what the arrivals of the last seconds
prove, as a lower bound of a Poisson rate (Knative's panic window overrides its stable one by a ratio; here it is by
evidence).

The constants were chosen on the Azure conversation trace of 2023: at one, two, four and eight times its load, and with
its halves exchanged or time reversed, so that it begins with a step; the Mooncake trace had no part in it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trimtab.plan.fleet.forecast import FloatArray

LEVEL_WINDOWS = 3
"""The level is the mean over so many times what a load is forecast over."""
SURGE_MEAN = 0.218
"""By so much of itself a load is taken to rise on average while a replica starts, as far as its own past does not tell;
the rise is taken to be exponential, as one that is as likely to go on however far it came."""
SURGE_WEIGHT = 24.0
"""The past tells as much as that assumption once it is so many times as long as the start of a replica."""
PRESENT_HEADROOM = 0.5
"""A present above the level is a rise that the level follows late: this part of the headroom is kept above it too."""
PROOF_DEVIATIONS = 2.0
"""Standard deviations of a count below which the rate that it proves lies."""
PROOF_HEADROOM = 0.1
"""What is proven is a rise that may go on: so much more of it is made ready for."""
_MOST_INTERVALS = 360
"""Older intervals than this many are not looked at."""
_LEAST_COUNT = 0.5
"""Half an arrival: keeps relative errors finite where nothing arrived."""


@dataclass(frozen=True)
class Level:
    """The load of several workloads, one row for each (rows,)."""

    mean: FloatArray
    """Requests a second."""
    ready_for: FloatArray
    """With the headroom."""


def level(
    requests_per_second: FloatArray,
    interval_seconds: float,
    ahead_seconds: float,
    over: float,
    confidence: float,
    waits_seconds: float = 0.0,
) -> Level:
    """The level of a load, and what to be ready for.

    Args:
        requests_per_second: (rows, intervals) rates of past intervals, the newest last.
        interval_seconds: Length of an interval.
        ahead_seconds: From now until a replica that is started now serves.
        over: Seconds over which bursts are absorbed: errors are those of means over this time.
        confidence: Quantile of the errors.
        waits_seconds: A burst that is shorter may wait in a queue: it proves nothing that replicas are needed for.
    """
    window = requests_per_second[:, -_MOST_INTERVALS:]
    short = max(1, round(over / interval_seconds))
    past = _means(window, min(window.shape[1], LEVEL_WINDOWS * short))
    mean = past[:, -1]
    unknown = unknown_share(window.shape[1] * interval_seconds, ahead_seconds)
    surge = -SURGE_MEAN * math.log1p(-confidence)
    headroom = unknown * surge + (1.0 - unknown) * _error(
        window, past, short, max(short, round(ahead_seconds / interval_seconds)), confidence, interval_seconds
    )
    present = _means(window, min(window.shape[1], short))[:, -1]
    ready = np.maximum(mean * (1.0 + headroom), present * (1.0 + headroom * PRESENT_HEADROOM))
    proven = _proven(window, short, interval_seconds, waits_seconds)
    return Level(mean, np.maximum(ready, proven * (1.0 + PROOF_HEADROOM)))


def _proven(window: FloatArray, over: int, interval_seconds: float, waits_seconds: float) -> FloatArray:
    """The highest rate that the arrivals of the last intervals prove, of up to `over` and no fewer than may wait.

    Counts vary by their index of dispersion, taken from the differences of neighbouring intervals: those say how much
    arrivals scatter about their level, wherever that moves.
    """
    counts = window * interval_seconds
    first = max(1, math.ceil(waits_seconds / interval_seconds))
    if counts.shape[1] < 2 or first > min(over, counts.shape[1]):
        return np.zeros(len(counts))
    scatter = (np.diff(counts, axis=1) ** 2).mean(axis=1) / 2.0
    dispersion = np.maximum(1.0, scatter / np.maximum(counts.mean(axis=1), _LEAST_COUNT))[:, None]
    recent = np.cumsum(counts[:, : -over - 1 : -1], axis=1)
    lengths = np.arange(1, recent.shape[1] + 1) * interval_seconds
    proven = (recent - PROOF_DEVIATIONS * np.sqrt(dispersion * (recent + 1.0))) / lengths
    return np.asarray(proven[:, first - 1 :].max(axis=1))


def unknown_share(past_seconds: float, ahead_seconds: float) -> float:
    """How little a past tells of its own errors, 1 for nothing: they are independent a start of a replica apart."""
    return SURGE_WEIGHT / (SURGE_WEIGHT + past_seconds / ahead_seconds)


def _means(window: FloatArray, width: int) -> FloatArray:
    return np.asarray(sliding_window_view(window, width, axis=1).mean(axis=2))


def _error(
    window: FloatArray, past: FloatArray, short: int, steps: int, confidence: float, interval_seconds: float
) -> FloatArray:
    """Quantile of the relative errors of `past` as a forecast `steps` intervals ahead; 0 where none can be told."""
    made = past.shape[1] - steps
    if made <= 0:
        return np.zeros(len(window))
    actual = _means(window, short)[:, -made:]
    least = _LEAST_COUNT / interval_seconds
    errors = actual / np.maximum(past[:, :made], least) - 1.0
    return np.maximum(0.0, np.quantile(errors, confidence, axis=1))
