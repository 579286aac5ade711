"""What was fetched from a source, as a series around the present. Pure."""

from bisect import bisect_right
from datetime import datetime, timedelta

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.observe.carbon import Series
from trimtab.observe.signals.background import Held
from trimtab.observe.signals.signal import Reason, Signal
from trimtab.plan.snapshot import IntensityPoint


def live_series(spec: CarbonSourceSpec, held: Held, since: datetime, now: datetime) -> Series:
    """The series of a source on the network, with what is wrong with it.

    Args:
        spec: Says when it is stale, and how far the forecast reaches.
        held: What is known of it.
        since: How far back points are needed.
        now: The present.
    """
    if held.signal is None:
        if held.failure is None:
            return Series(problem="it is being fetched for the first time", reason=Reason.NO_DATA)
        problem = f"{held.failure.message}; {_next_try(held)}"
        return Series(problem=problem, reason=held.failure.reason, next_fetch=held.next_at)
    signal = held.signal
    points = _between(held.points, spec, since, now)
    newest = newest_data(signal, held.fetched_at or now, now)
    problem, reason, note = _health(spec, held, newest, now)
    return Series(
        points=points,
        problem=problem,
        reason=reason,
        note=note,
        known_until=_known_until(points, signal.step, newest, spec),
        newest_data=newest,
        forecast_by=("Own" if held.own else "Source") if points and points[-1].start > now else "",
        forecast_error_percent=held.own.error_percent if held.own else None,
        next_fetch=held.next_at if held.failure else None,
    )


def newest_data(signal: Signal, fetched_at: datetime, now: datetime) -> datetime | None:
    """The end of what was measured, or when the forecast was made that covers the present, if that is later.

    It stays the same until there is something new, for it stands in status: while the last interval runs, its end is
    still to come.
    """
    step, instants = signal.step, []
    if signal.history:
        instants.append(signal.history[-1].start + step)
    covers = signal.forecast and signal.forecast[0].start - step <= now < signal.forecast[-1].start + step
    if covers:
        instants.append(signal.forecast_made_at or fetched_at)
    return max(instants, default=None)


def _between(
    points: tuple[IntensityPoint, ...], spec: CarbonSourceSpec, since: datetime, now: datetime
) -> tuple[IntensityPoint, ...]:
    """From the point that is in force at `since` to the forecast's end."""
    first = bisect_right(points, min(since, now), key=_start) - 1
    last = bisect_right(points, now + spec.forecast_horizon, key=_start)
    return points[max(0, first) : last]


def _start(point: IntensityPoint) -> datetime:
    return point.start


def _health(spec: CarbonSourceSpec, held: Held, newest: datetime | None, now: datetime) -> tuple[str, str, str]:
    """Problem, its reason, and a note: a source that cannot be asked is in trouble only once its data is too old."""
    failure, signal = held.failure, held.signal
    if newest is None:
        return "the source has no figure for the present", Reason.NO_DATA, ""
    if now - newest > spec.stale_after:
        stale = f"the newest figure is of {_minute(newest)}: older than staleAfter ({_hours(spec.stale_after)})"
        if failure is None:
            return stale, Reason.STALE, ""
        return f"{stale}; {failure.message}; {_next_try(held)}", failure.reason, ""
    if failure is not None:
        return "", "", f"the last fetch failed, its data is still fresh: {failure.message}; {_next_try(held)}"
    return "", "", signal.note if signal else ""


def _known_until(
    points: tuple[IntensityPoint, ...], step: timedelta, newest: datetime | None, spec: CarbonSourceSpec
) -> datetime | None:
    if not points or newest is None:
        return newest
    # A last measured figure holds until it is stale; a forecast counts no longer than what it was made from.
    return (
        newest + spec.stale_after
        if points[-1].start <= newest
        else min(points[-1].start + step, newest + spec.stale_after)
    )


def _next_try(held: Held) -> str:
    return f"next try at {held.next_at:%H:%M:%S} UTC" if held.next_at else "it is tried again"


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:g} h"
