"""Forecast of the load up to the moment at which a replica that is started now would serve, with its interval.

Damped exponential smoothing with trend (E. S. Gardner and E. McKenzie, "Forecasting trends in time series", Management
Science, 1985). Its weights are those that would have forecast the window itself best, at the distance that matters. The
interval is not that of a model: it is the quantile of the errors which that forecast made in the window, each measured
in square roots of the level, as the noise of counted arrivals grows with it. So bursts that are wilder than Poisson
arrivals, and levels that wander, are in the interval as far as the window has seen them.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

FloatArray = npt.NDArray[np.float64]

_LEVEL_WEIGHTS = (0.02, 0.035, 0.06, 0.1, 0.2, 0.4, 1.0)
_TREND_WEIGHTS = (0.0, 0.1)
_DAMPING = 0.9
_FEW_ERRORS = 12
"""With fewer errors than this, the interval is that of Poisson arrivals at least."""
_MOST_INTERVALS = 360
"""Older intervals than this many are not looked at."""
_LEAST_COUNT = 0.5
"""Half an arrival: keeps the scale of errors from vanishing where nothing arrived."""


@dataclass(frozen=True)
class Forecast:
    """The load of several workloads, some intervals ahead. Arrays have one row for each workload."""

    mean: FloatArray
    """Requests a second."""
    scaled_errors: FloatArray
    """(rows, n): errors made in the window, in square roots of the level; n is 0 where the window is too short."""
    interval_seconds: float

    def quantile(self, confidence: float) -> FloatArray:
        """Load that is not exceeded with this probability, never below the mean of the forecast for 0.5 and above.

        A window of a single interval says nothing of the spread: its rate is taken as it is.
        """
        if not 0.0 < confidence < 1.0:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        scale = np.sqrt(np.maximum(self.mean, _LEAST_COUNT / self.interval_seconds))
        errors = self.scaled_errors
        if errors.shape[1] == 0:
            return self.mean.copy()
        spread = np.quantile(errors, confidence, axis=1)
        if errors.shape[1] < _FEW_ERRORS:
            spread = np.maximum(spread, NormalDist().inv_cdf(confidence) / math.sqrt(self.interval_seconds))
        if confidence >= 0.5:
            spread = np.maximum(spread, 0.0)
        return np.asarray(np.maximum(0.0, self.mean + spread * scale))


def forecast(
    requests_per_second: FloatArray, interval_seconds: float, ahead_seconds: float, mean_over_seconds: float = 0.0
) -> Forecast:
    """Forecast the mean rate over the `mean_over_seconds` that end `ahead_seconds` from now.

    Args:
        requests_per_second: (rows, intervals) rates of past intervals, the newest last; not negative, finite.
        interval_seconds: Length of an interval.
        ahead_seconds: How far ahead; the next interval at least, and no less than what the mean is over.
        mean_over_seconds: What the mean is over: one interval at least.

    Raises:
        ValueError: The window is empty, or holds what is no rate.
    """
    window = np.atleast_2d(np.asarray(requests_per_second, dtype=np.float64))[:, -_MOST_INTERVALS:]
    if window.shape[1] == 0:
        raise ValueError("a forecast needs the rate of one interval at least")
    if not np.all(np.isfinite(window)) or np.any(window < 0.0):
        raise ValueError("rates must be finite and not negative")
    if window.shape[1] == 1:
        return Forecast(window[:, 0].copy(), np.zeros((len(window), 0)), interval_seconds)
    over = max(1, round(mean_over_seconds / interval_seconds))
    steps = max(over, math.ceil(ahead_seconds / interval_seconds))
    forecasts = _forecasts(window, steps)
    made = max(0, window.shape[1] - steps)
    if made == 0:
        # Not one forecast can be judged yet: all rates but the first are errors of "it stays as it was".
        changes = np.diff(window, axis=1)
        return Forecast(window.mean(axis=1), _scaled(changes, window[:, :-1], interval_seconds), interval_seconds)
    actual = sliding_window_view(window, over, axis=1).mean(axis=2)[:, steps - over + 1 :]
    errors = actual[:, None, :] - forecasts[:, :, :made]
    best = np.argmin((errors**2).mean(axis=2), axis=1)
    rows = np.arange(len(window))
    chosen = forecasts[rows, best]
    return Forecast(chosen[:, -1], _scaled(errors[rows, best], chosen[:, :made], interval_seconds), interval_seconds)


def _scaled(errors: FloatArray, levels: FloatArray, interval_seconds: float) -> FloatArray:
    return np.asarray(errors / np.sqrt(np.maximum(levels, _LEAST_COUNT / interval_seconds)))


def _forecasts(window: FloatArray, steps: int) -> FloatArray:
    """What each pair of weights would have forecast `steps` intervals ahead, at the end of each interval.

    Returns:
        (rows, pairs, intervals).
    """
    pairs = [(a, b) for a in _LEVEL_WEIGHTS for b in _TREND_WEIGHTS]
    alpha = np.array([a for a, _ in pairs])
    beta = np.array([b for _, b in pairs])
    reach = _DAMPING * (1.0 - _DAMPING**steps) / (1.0 - _DAMPING)
    level = np.repeat(window[:, :1], len(pairs), axis=1)
    trend = np.zeros_like(level)
    made = np.empty((*level.shape, window.shape[1]))
    made[:, :, 0] = level
    for i in range(1, window.shape[1]):
        expected = level + _DAMPING * trend
        before, level = level, expected + alpha * (window[:, i, None] - expected)
        trend = _DAMPING * trend * (1.0 - beta) + beta * (level - before)
        made[:, :, i] = level + reach * trend
    return np.asarray(np.maximum(0.0, made))
