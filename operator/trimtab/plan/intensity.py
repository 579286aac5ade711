"""Carbon intensity of grid zones: now, over a stretch of time, and when it changes."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise

from trimtab.plan.snapshot import CarbonState, IntensityPoint


def ranked(sources: Iterable[CarbonState]) -> dict[str, tuple[CarbonState, ...]]:
    """The sources of each zone in the order in which they are asked: by priority, then by name."""
    zones: dict[str, list[CarbonState]] = {}
    for source in sorted(sources, key=lambda s: (s.spec.rank, s.meta.name)):
        zones.setdefault(source.spec.zone, []).append(source)
    return {zone: tuple(found) for zone, found in zones.items()}


def is_fresh(source: CarbonState, now: datetime) -> bool:
    """Whether a source has a figure for the present and nothing is wrong with it."""
    return not source.problem and intensity_at(source.points, now) is not None


def in_force(sources: Iterable[CarbonState], now: datetime) -> dict[str, CarbonState]:
    """The source that each zone is decided by: the first fresh one.

    Where none is fresh: the first that can be used all the same, that is, one without trouble that says something of
    later, or one in trouble while what it gave before reaches beyond the present. Zones without either are left out.
    """
    chosen: dict[str, CarbonState] = {}
    for zone, chain in ranked(sources).items():
        usable = (s for s in chain if s.points and (not s.problem or s.points[-1].start > now))
        source = next((s for s in chain if is_fresh(s, now)), None) or next(usable, None)
        if source is not None:
            chosen[zone] = source
    return chosen


def usable_series(sources: Iterable[CarbonState], now: datetime) -> dict[str, tuple[IntensityPoint, ...]]:
    """The series to decide on, by zone: that of the source in force, and of no other.

    Sources are not joined here: where one ends and a dirtier or cleaner one begins, the step between them would look
    like a change of the grid that is worth waiting for.
    """
    return {zone: source.points for zone, source in in_force(sources, now).items()}


def points_by_zone(sources: Iterable[CarbonState]) -> dict[str, tuple[IntensityPoint, ...]]:
    """The series to account with, by zone: at each instant the first source of the chain that knows it.

    So what a source measured counts although another one is in force by now, and a gap of one is filled by the next.
    An instant that none knows takes the last figure before it.
    """
    series = {zone: _spliced([s for s in chain if s.points]) for zone, chain in ranked(sources).items()}
    return {zone: points for zone, points in series.items() if points}


def _spliced(chain: list[CarbonState]) -> tuple[IntensityPoint, ...]:
    if len(chain) < 2:
        return chain[0].points if chain else ()
    edges = {point.start for source in chain for point in source.points}
    edges |= {source.known_until for source in chain if source.known_until is not None}
    joined: list[IntensityPoint] = []
    for at in sorted(edges):
        knowing = (s for s in chain if s.points[0].start <= at and (s.known_until is None or at < s.known_until))
        source = next(knowing, None)
        grams = intensity_at(source.points, at) if source is not None else None
        if grams is not None and (not joined or joined[-1].grams_per_kwh != grams):
            joined.append(IntensityPoint(start=at, grams_per_kwh=grams))
    # Where all have ended before they begin to be known (clocks that disagree), the first one is better than nothing.
    return tuple(joined) or chain[0].points


def intensity_at(points: tuple[IntensityPoint, ...], at: datetime) -> float | None:
    """Intensity in force at an instant (gCO2e/kWh), or None before the first point or without any."""
    index = bisect_right(points, at, key=lambda point: point.start) - 1
    return points[index].grams_per_kwh if index >= 0 else None


HOPE_SHARE = 0.2
"""Of the distance from a forecast to the lower end of its interval by which later hours are taken to be cleaner.

Who waits for an hour may still choose otherwise when it has come nearer and the forecast has changed: waiting is worth
more than the forecast's mean says, and the more so the less sure it is. On the hours of 2022 this brings carbon nearer
to the optimum with trimtab's own forecast (docs/results.md); to be careful instead, and to ask of a later hour that it
gains more than the forecast's error, brings it further away.
"""


def hoped(grams: float, low: float | None) -> float:
    """What a later hour is weighed at (gCO2e/kWh): its forecast, or lower where an interval says how sure it is."""
    return grams if low is None else grams - HOPE_SHARE * max(grams - low, 0.0)


def hoped_at(points: tuple[IntensityPoint, ...], at: datetime, now: datetime) -> float | None:
    """The intensity that an instant is weighed at; that of the present point is known.

    Args:
        points: In order of time.
        at: The instant.
        now: The present.
    """
    index = bisect_right(points, at, key=lambda point: point.start) - 1
    if index < 0:
        return None
    point = points[index]
    return point.grams_per_kwh if point.start <= now else hoped(point.grams_per_kwh, point.low)


def mean_intensity(points: tuple[IntensityPoint, ...], start: datetime, end: datetime) -> float | None:
    """Time-weighted mean intensity over [start, end] (gCO2e/kWh); the last point holds on beyond the series."""
    if not points or end <= start:
        return intensity_at(points, start)
    # By bisection: a series in five-minute steps has hundreds of points, of which a metered step meets one or two.
    first = bisect_right(points, start, key=lambda point: point.start)
    last = bisect_left(points, end, lo=first, key=lambda point: point.start)
    edges = [start, *(p.start for p in points[first:last]), end]
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
