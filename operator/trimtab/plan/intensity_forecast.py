"""A forecast of carbon intensity from its own past, where a source gives none. Pure.

Grids repeat themselves by the day, and what is unusual about the last hours fades over the next ones. So the model is
an autoregression with a mean for each hour of the day (`statsmodels.tsa.ar_model.AutoReg`). It is back-tested on the
days just past: how much it erred there by lead time is the width of its interval. `docs/carbon.md` has the errors on a
year of twelve grids, against "as at this hour yesterday".
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from trimtab.plan.snapshot import IntensityPoint

FloatArray = NDArray[np.float64]

DAY = 24
LONGEST_HISTORY = timedelta(days=28)
"""Older figures are of another season."""
COVERAGE = 0.9
"""Share of hours that intervals are meant to hold."""
_LEAST_DAYS_TO_FIT = 3
_DAYS_FOR_ALL_LAGS = 8
_MOST_ORIGINS = 10
_LEAST_ORIGINS = 3
_LEADS_POOLED = 3
"""Errors of so many lead hours before and after are taken together: a handful of days gives too few of each."""
_LEAST_FILLED = 0.75

Method = Callable[[FloatArray, int], FloatArray]
"""Hourly values up to now, and how many hours ahead are wanted."""


@dataclass(frozen=True)
class OwnForecast:
    """A forecast, and how well it would have done."""

    points: tuple[IntensityPoint, ...]
    """Hourly, from the hour after the last figure; with low and high where there was enough past to know them."""
    error_percent: float | None
    """Mean absolute error over the first 24 hours ahead, as a share of the mean intensity; None when the past is too
    short for a back-test."""
    method: str
    """`AutoRegression`, or `Yesterday` while there are only a few days of past."""


def own_forecast(history: tuple[IntensityPoint, ...], horizon: timedelta) -> OwnForecast | None:
    """Forecast a series from its own past.

    Args:
        history: Points in order of time, each of which holds until the next one starts, an hour as a rule.
        horizon: How far ahead from the last point.

    Returns:
        The forecast, or None when there is less than a day of past, or too much of it is missing.
    """
    hours = int(horizon / timedelta(hours=1))
    start, values = hourly(history)
    if len(values) < DAY or hours < 1:
        return None
    chosen = "AutoRegression" if len(values) >= _LEAST_DAYS_TO_FIT * DAY else "Yesterday"
    ahead = METHODS[chosen](values, hours)
    errors = back_test(METHODS[chosen], values, min(hours, 2 * DAY))
    half_widths = _half_widths(errors, hours)
    first = start + timedelta(hours=len(values))
    points = tuple(
        IntensityPoint(
            start=first + timedelta(hours=lead),
            grams_per_kwh=float(value),
            low=None if half_widths is None else max(0.0, float(value - half_widths[lead])),
            high=None if half_widths is None else float(value + half_widths[lead]),
        )
        for lead, value in enumerate(ahead)
    )
    return OwnForecast(points, None if errors is None else _percent(errors, values), chosen)


def hourly(history: tuple[IntensityPoint, ...]) -> tuple[datetime, FloatArray]:
    """Time-weighted means of whole hours, up to the hour that the last point is in; at most `LONGEST_HISTORY`.

    Hours without any figure of their own are interpolated.

    Returns:
        Start of the first hour, and the values; no values when more than a quarter would have to be made up.
    """
    if not history:
        return datetime.min, np.empty(0)
    last = _whole_hour(history[-1].start)
    begin = max(_whole_hour(history[0].start), last - LONGEST_HISTORY + timedelta(hours=1))
    count = int((last - begin) / timedelta(hours=1)) + 1
    sums, weights = np.zeros(count), np.zeros(count)
    holds = _holds(history)
    for index, point in enumerate(history):
        # What is missing after a point is a gap, not the same figure for days.
        until = point.start + holds
        if index + 1 < len(history):
            until = min(until, history[index + 1].start)
        at = point.start
        while at < until:
            edge = min(until, _whole_hour(at) + timedelta(hours=1))
            hour = int((_whole_hour(at) - begin) / timedelta(hours=1))
            if 0 <= hour < count:
                seconds = (edge - at).total_seconds()
                sums[hour] += point.grams_per_kwh * seconds
                weights[hour] += seconds
            at = edge
    filled = weights > 0
    if filled.mean() < _LEAST_FILLED:
        return begin, np.empty(0)
    known = np.flatnonzero(filled)
    return begin, np.interp(np.arange(count), known, sums[known] / weights[known])


def _holds(history: tuple[IntensityPoint, ...]) -> timedelta:
    """How long a point stands for: an hour, or the usual distance of points where that is up to three hours."""
    gaps = [(after.start - before.start).total_seconds() for before, after in pairwise(history)]
    return timedelta(seconds=min(max(3600.0, median(gaps)), 10_800.0)) if gaps else timedelta(hours=1)


def yesterday(values: FloatArray, hours: int) -> FloatArray:
    """As at this hour yesterday: the forecast to beat."""
    return np.resize(values[-DAY:], hours)


def auto_regression(values: FloatArray, hours: int) -> FloatArray:
    """A mean for each hour of the day, and what is unusual now fading out."""
    # Here, for importing statsmodels takes a second and 100 MB that an operator without such a source need not spend.
    from statsmodels.tsa.ar_model import AutoReg  # type: ignore[import-untyped]

    if np.allclose(values[DAY:], values[:-DAY]):
        return yesterday(values, hours)  # Every day is the same: there is nothing to fit.
    lags = [1, 2, DAY, DAY + 1] if len(values) >= _DAYS_FOR_ALL_LAGS * DAY else [1]
    fit = AutoReg(values, lags=lags, seasonal=True, period=DAY).fit()
    ahead = np.asarray(fit.predict(len(values), len(values) + hours - 1), dtype=np.float64)
    # A fit on few days may run away; no grid does.
    return np.clip(ahead, 0.5 * float(values.min()), 1.5 * float(values.max()))


METHODS: dict[str, Method] = {"AutoRegression": auto_regression, "Yesterday": yesterday}


def back_test(method: Method, values: FloatArray, hours: int) -> FloatArray | None:
    """Errors that a method would have made on the days just past.

    Returns:
        Forecast less truth, one row for each origin (a day apart) and one column for each hour ahead; None when the
        past is too short for `_LEAST_ORIGINS`.
    """
    latest = len(values) - hours
    origins = [latest - DAY * day for day in range(_MOST_ORIGINS)]
    origins = [origin for origin in origins if origin >= _LEAST_DAYS_TO_FIT * DAY]
    if len(origins) < _LEAST_ORIGINS:
        return None
    return np.array([method(values[:origin], hours) - values[origin : origin + hours] for origin in origins])


def _half_widths(errors: FloatArray | None, hours: int) -> FloatArray | None:
    """Half widths of intervals by lead hour; what lies beyond the back-test is as wide as its end."""
    if errors is None:
        return None
    sizes, tested = np.abs(errors), errors.shape[1]
    widths = [
        np.quantile(sizes[:, max(0, lead - _LEADS_POOLED) : lead + _LEADS_POOLED + 1], COVERAGE)
        for lead in range(min(hours, tested))
    ]
    # An interval never narrows with time: that one day was easy to foresee says nothing of the next.
    grown = np.maximum.accumulate(np.array(widths))
    return np.concatenate([grown, np.full(max(0, hours - tested), grown[-1])])


def _percent(errors: FloatArray, values: FloatArray) -> float:
    day = np.abs(errors[:, :DAY])
    mean = float(values[-day.shape[0] * DAY :].mean())
    return 100.0 * float(day.mean()) / mean if mean > 0 else 0.0


def _whole_hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
