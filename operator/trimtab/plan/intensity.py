"""Carbon intensity of grid zones: now, over a stretch of time, and when it changes."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise

from trimtab.plan.snapshot import CarbonState, IntensityPoint


def points_by_zone(sources: Iterable[CarbonState]) -> dict[str, tuple[IntensityPoint, ...]]:
    """The series of each zone that has one. Where two sources name one zone, the first by name is used."""
    series: dict[str, tuple[IntensityPoint, ...]] = {}
    for source in sorted(sources, key=lambda s: s.meta.name):
        if source.points and source.spec.zone not in series:
            series[source.spec.zone] = source.points
    return series


def usable_series(sources: Iterable[CarbonState], now: datetime) -> dict[str, tuple[IntensityPoint, ...]]:
    """The series to decide on: a source in trouble counts only while what it gave reaches beyond the present."""
    return points_by_zone(s for s in sources if not s.problem or any(p.start > now for p in s.points))


def intensity_at(points: tuple[IntensityPoint, ...], at: datetime) -> float | None:
    """Intensity in force at an instant (gCO2e/kWh), or None before the first point or without any."""
    index = bisect_right(points, at, key=lambda point: point.start) - 1
    return points[index].grams_per_kwh if index >= 0 else None


def mean_intensity(points: tuple[IntensityPoint, ...], start: datetime, end: datetime) -> float | None:
    """Time-weighted mean intensity over [start, end] (gCO2e/kWh); the last point holds on beyond the series."""
    if not points or end <= start:
        return intensity_at(points, start)
    edges = [start, *(p.start for p in points if start < p.start < end), end]
    weighted = 0.0
    for left, right in pairwise(edges):
        value = intensity_at(points, left)
        if value is None:
            return None
        weighted += value * (right - left).total_seconds()
    return weighted / (end - start).total_seconds()


def current_intensities(series: Mapping[str, tuple[IntensityPoint, ...]], at: datetime) -> dict[str, float]:
    """Intensity of each zone that has a figure now."""
    present = {zone: intensity_at(points, at) for zone, points in series.items()}
    return {zone: value for zone, value in present.items() if value is not None}


def next_change(series: Mapping[str, tuple[IntensityPoint, ...]], at: datetime) -> datetime | None:
    """The next instant at which any zone's intensity changes."""
    starts = [point.start for points in series.values() for point in points if point.start > at]
    return min(starts, default=None)
