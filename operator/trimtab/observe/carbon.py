"""Carbon sources as series in wall-clock time. Pure: the text of a trace comes in, points come out."""

from dataclasses import dataclass
from datetime import datetime

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.observe.trace import Trace
from trimtab.plan.snapshot import IntensityPoint

_HELD_STEPS = 3
"""A figure is held over this many intervals when rows are missing; after that the intensity is not known."""


@dataclass(frozen=True)
class Series:
    """What a source says around the present."""

    points: tuple[IntensityPoint, ...] = ()
    trace_time: datetime | None = None
    problem: str = ""
    reason: str = ""
    """The problem in one word, where one is known."""
    note: str = ""
    """What is worth to know although the data is fresh."""
    known_until: datetime | None = None
    """Up to where it says something; None means that it holds for good, or that this is not known."""
    newest_data: datetime | None = None
    """How far what was measured reaches, or when the forecast was made that covers the present."""
    forecast_by: str = ""
    """`Source` or `Own`; empty without a forecast."""
    forecast_error_percent: float | None = None
    next_fetch: datetime | None = None
    """When it is asked again after a failure."""


@dataclass(frozen=True)
class _Clock:
    """Maps wall-clock time to the time of a trace and back."""

    wall_origin: datetime
    trace_origin: datetime
    speedup: float

    def to_trace(self, wall: datetime) -> datetime:
        return self.trace_origin + (wall - self.wall_origin) * self.speedup

    def to_wall(self, trace: datetime) -> datetime:
        return self.wall_origin + (trace - self.trace_origin) / self.speedup


def static_series(spec: CarbonSourceSpec, since: datetime) -> Series:
    """The series of a source with one figure for all times; no points when the source has none."""
    if spec.static is None:
        return Series(problem="names no source of intensity: set one, such as static or configMap")
    return Series((IntensityPoint(start=since, grams_per_kwh=float(spec.static.grams_per_kwh)),))


def trace_series(trace: Trace, spec: CarbonSourceSpec, created_at: datetime, since: datetime, now: datetime) -> Series:
    """The part of a trace from `since` until the forecast's end, in wall-clock time.

    Args:
        trace: The trace in its own time.
        spec: Says whether and how it is replayed, and how far the forecast reaches.
        created_at: Creation of the source: the instant at which `spec.replay.start` is played.
        since: How far back points are needed.
        now: The present.
    """
    clock = _clock(spec, created_at, now)
    try:
        present = clock.to_trace(now)
        first = max(0, trace.index_at(clock.to_trace(min(since, now))))
        last = trace.index_at(present + spec.forecast_horizon)
    except OverflowError:
        return Series(problem=f"the replay has left the calendar after {now - created_at}: lower replay.speedup")
    points = tuple(
        IntensityPoint(start=clock.to_wall(trace.starts[index]), grams_per_kwh=trace.grams_per_kwh[index])
        for index in range(first, last + 1)
    )
    index = trace.index_at(present)
    problem = _range_problem(trace, index, present, replayed=spec.replay is not None)
    return Series(
        points,
        None if index < 0 or problem else trace.starts[index],
        problem,
        known_until=clock.to_wall(trace.end),
        forecast_by="Source" if points and points[-1].start > now else "",
    )


def _clock(spec: CarbonSourceSpec, created_at: datetime, now: datetime) -> _Clock:
    if spec.replay is None:
        return _Clock(now, now, 1.0)
    # As for the rows of a trace, a time without a zone means UTC.
    start = spec.replay.start if spec.replay.start.tzinfo else spec.replay.start.replace(tzinfo=created_at.tzinfo)
    return _Clock(created_at, start, spec.replay.speedup)


def _range_problem(trace: Trace, index: int, present: datetime, *, replayed: bool) -> str:
    span = f"the trace reaches from {_minute(trace.starts[0])} to {_minute(trace.end)}"
    remedy = "choose replay.start (and a speedup) inside it" if replayed else "give a newer trace, or set replay.start"
    if index < 0 or present >= trace.end:
        return f"no figure for {_minute(present)}: {span}; {remedy}"
    if present - trace.starts[index] > trace.step * _HELD_STEPS:
        return (
            f"no figure for {_minute(present)}: {span}, but has no row after {_minute(trace.starts[index])} for a while"
        )
    return ""


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
