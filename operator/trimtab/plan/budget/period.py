"""The periods of a budget: calendar days, weeks and months in a time zone, daylight saving time kept."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from trimtab.api.budget import BudgetPeriod


@dataclass(frozen=True)
class Period:
    """From `start` until `end` (UTC); `end` is None for a Total, which is never over."""

    start: datetime
    end: datetime | None


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins in the zone, in UTC. Where the clock skips midnight, it begins with the skip."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def period_at(period: BudgetPeriod, time_zone: str, instant: datetime) -> Period:
    """The period that an instant lies in.

    Args:
        period: Day, Week (from Monday), Month or Total.
        time_zone: IANA name of the zone whose midnights count.
        instant: An aware instant.
    """
    if period is BudgetPeriod.TOTAL:
        return Period(instant.astimezone(UTC), None)
    zone = ZoneInfo(time_zone)
    today = instant.astimezone(zone).date()
    if period is BudgetPeriod.DAY:
        first, after = today, today + timedelta(days=1)
    elif period is BudgetPeriod.WEEK:
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    else:
        first = today.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return Period(midnight(first, zone), midnight(after, zone))
