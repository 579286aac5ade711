"""Periods of budgets tile the time, and an account follows the other without losing or counting twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW
from trimtab.api.budget import Budget, BudgetPeriod, BudgetStatus
from trimtab.api.common import Usage
from trimtab.plan.budget.account import roll_over, with_usage
from trimtab.plan.budget.period import period_at

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Madrid",
        "America/New_York",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "Australia/Lord_Howe",
        "Asia/Tehran",
    ]
)
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
ENDING = st.sampled_from([BudgetPeriod.DAY, BudgetPeriod.WEEK, BudgetPeriod.MONTH])


def budget(**given_: object) -> Budget:
    return Budget.model_validate({"name": "b", "costUSD": "100", **given_})


def spent(usd: float, until: datetime) -> Usage:
    return Usage(cost_usd=usd, accounted_until=until)


@given(period=ENDING, zone=ZONES, instant=INSTANTS)
def test_periods_tile_the_time(period: BudgetPeriod, zone: str, instant: datetime) -> None:
    found = period_at(period, zone, instant)
    assert found.end is not None
    assert found.start <= instant < found.end
    assert period_at(period, zone, found.start) == found
    following = period_at(period, zone, found.end)
    assert following.start == found.end
    local = found.start.astimezone(ZoneInfo(zone))
    assert local.day == 1 or period is not BudgetPeriod.MONTH
    assert local.weekday() == 0 or period is not BudgetPeriod.WEEK


@pytest.mark.parametrize(
    ("period", "zone", "instant", "hours"),
    [
        # Madrid's clocks go forward on 2026-03-29 and back on 2026-10-25.
        ("Day", "Europe/Madrid", "2026-03-29T12:00Z", 23),
        ("Day", "Europe/Madrid", "2026-10-25T12:00Z", 25),
        ("Week", "Europe/Madrid", "2026-10-25T12:00Z", 169),
        ("Month", "Europe/Madrid", "2026-03-15T12:00Z", 743),
        ("Month", "UTC", "2028-02-15T12:00Z", 29 * 24),
        # Cairo skips midnight itself on 2026-04-24: the day begins at 01:00.
        ("Day", "Africa/Cairo", "2026-04-24T12:00Z", 23),
    ],
)
def test_a_day_of_the_clock_change_is_as_long_as_it_is(period: str, zone: str, instant: str, hours: int) -> None:
    found = period_at(BudgetPeriod(period), zone, datetime.fromisoformat(instant))
    assert found.end is not None
    assert found.end - found.start == timedelta(hours=hours)


def test_a_policy_in_the_middle_of_a_month_counts_from_its_creation() -> None:
    made = NOW - timedelta(hours=2)
    first = roll_over(budget(), None, made, NOW)
    assert (first.period_start, first.usage.accounted_until) == (made, made)
    assert first.period_end == datetime(2026, 12, 1, tzinfo=UTC)
    assert first.limit == 100.0


def test_the_next_period_waits_for_the_last_one_to_be_settled() -> None:
    end = datetime(2026, 11, 24, tzinfo=UTC)
    day = budget(period="Day", rollOver="0.5")
    before = BudgetStatus(name="b", period_start=end - timedelta(days=1), period_end=end)
    late = with_usage(day, before, spent(60.0, end - timedelta(seconds=25)))
    assert roll_over(day, late, end, end + timedelta(seconds=5)).period_end == end
    settled = with_usage(day, before, spent(60.0, end))
    following = roll_over(day, settled, end, end + timedelta(seconds=30))
    assert (following.period_start, following.period_end) == (end, end + timedelta(days=1))
    assert following.usage == Usage(accounted_until=end)
    assert (following.carried_over, following.limit, following.spent) == (20.0, 120.0, 0.0)


def test_what_is_carried_over_is_never_more_than_a_limit_and_never_a_debt() -> None:
    end = datetime(2026, 11, 24, tzinfo=UTC)
    day = budget(period="Day", rollOver="1")
    status = BudgetStatus(name="b", period_start=end - timedelta(days=1), period_end=end, carried_over=90.0)
    unused = roll_over(day, with_usage(day, status, spent(5.0, end)), end, end)
    assert unused.carried_over == 100.0
    overdrawn = roll_over(day, with_usage(day, status, spent(250.0, end)), end, end)
    assert overdrawn.carried_over == 0.0


def test_a_period_that_is_made_shorter_begins_anew_where_the_account_ends() -> None:
    start, until = datetime(2026, 11, 1, tzinfo=UTC), NOW - timedelta(seconds=30)
    month = BudgetStatus(name="b", period_start=start, period_end=datetime(2026, 12, 1, tzinfo=UTC))
    day = budget(period="Day")
    found = roll_over(day, with_usage(budget(), month, spent(80.0, until)), start, NOW)
    assert (found.period_start, found.spent) == (until, 0.0)
    assert found.period_end == datetime(2026, 11, 25, tzinfo=UTC)


def test_a_period_that_is_made_longer_goes_on() -> None:
    start, until = datetime(2026, 11, 24, tzinfo=UTC), NOW - timedelta(seconds=30)
    day = BudgetStatus(name="b", period_start=start, period_end=start + timedelta(days=1))
    found = roll_over(budget(), with_usage(budget(), day, spent(8.0, until)), start, NOW)
    assert (found.period_start, found.spent, found.period_end) == (start, 8.0, datetime(2026, 12, 1, tzinfo=UTC))


@given(
    zone=ZONES,
    period=ENDING,
    made=INSTANTS,
    steps=st.lists(st.tuples(st.floats(0.0, 400.0), st.floats(0.0, 500.0)), min_size=1, max_size=30),
)
def test_nothing_is_lost_or_counted_twice_over_many_periods(
    zone: str, period: BudgetPeriod, made: datetime, steps: list[tuple[float, float]]
) -> None:
    """Whatever the hours between passes, each stretch of time is in exactly one period, in order."""
    spec = budget(period=period.value, timeZone=zone, rollOver="0.3")
    now, status, until, total, closed, rounded = made, roll_over(spec, None, made, made), made, 0.0, 0.0, 0
    for hours, usd in steps:
        now += timedelta(hours=hours)
        while True:
            assert status.usage.accounted_until == until
            end = min(now, status.period_end) if status.period_end else now
            usage = Usage(cost_usd=status.usage.cost_usd + usd * (end - until).total_seconds(), accounted_until=end)
            total, rounded = total + usd * (end - until).total_seconds(), rounded + 1
            status, until = with_usage(spec, status, usage), end
            following = roll_over(spec, status, made, now)
            if following.period_start == status.period_start:
                break
            closed += status.usage.cost_usd
            status = following
    # Each account is rounded to whole billionths whenever it is carried on.
    assert closed + status.usage.cost_usd == pytest.approx(total, rel=1e-9, abs=1e-9 * rounded)
