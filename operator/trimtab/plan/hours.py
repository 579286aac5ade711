"""Rules of policies that hold for a time: windows of the week, and eco mode."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from trimtab.api.policy_rules import EcoMode, EcoModeStatus, Weekday, Window, WindowSide

_DAYS = tuple(Weekday)


def _instant(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """When a clock on the wall shows this time; one that it skips is the instant of the skip."""
    if clock == "24:00":
        return _instant(day + timedelta(days=1), "00:00", zone)
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=zone).astimezone(UTC)


def _openings(window: Window, around: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of a window from the day before an instant until eight days after it, in order."""
    zone = ZoneInfo(window.time_zone)
    today = around.astimezone(zone).date()
    past_midnight = window.end <= window.start
    for offset in range(-1, 9):
        day = today + timedelta(days=offset)
        if _DAYS[day.weekday()] in window.days:
            last = day + timedelta(days=1) if past_midnight else day
            yield _instant(day, window.start, zone), _instant(last, window.end, zone)


@lru_cache(maxsize=512)
def acts(window: Window, now: datetime) -> bool:
    """Whether a window's action holds now."""
    inside = any(start <= now < end for start, end in _openings(window, now))
    return inside is (window.when is WindowSide.INSIDE)


@lru_cache(maxsize=512)
def next_edge(window: Window, now: datetime) -> datetime | None:
    """When the window opens or closes next. None for one that is always open (its end is the next one's start)."""
    edges = sorted({edge for stretch in _openings(window, now) for edge in stretch if edge > now})
    here = acts(window, now)
    return next((edge for edge in edges if acts(window, edge) is not here), None)


def eco_status(eco: EcoMode | None, before: EcoModeStatus | None, now: datetime) -> EcoModeStatus | None:
    """Who switched eco mode on and until when.

    Args:
        eco: As the policy says it.
        before: What was written last: it keeps the instant at which eco mode without `since` was first seen.
        now: The present.
    """
    if eco is None:
        return None
    since = eco.since or (before.since if before is not None else now)
    until = since + eco.max_duration
    return EcoModeStatus(enabled_by=eco.enabled_by, since=since, until=until, active=since <= now < until)
