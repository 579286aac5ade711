"""Fetching in the background: never in the way, bounded, and honest about what failed."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.observe.signals.background import Held, SignalFetcher, failed, joined, merged
from trimtab.observe.signals.live_series import live_series, newest_data
from trimtab.observe.signals.signal import Reason, Signal, SignalError, series
from trimtab.plan.intensity import intensity_at
from trimtab.plan.snapshot import IntensityPoint

NOW = datetime(2026, 11, 24, 14, 20, tzinfo=UTC)
TOP = NOW.replace(minute=0)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def spec(**more: Any) -> CarbonSourceSpec:
    given = {"zone": "GB", "ukCarbonIntensity": {}, "refresh": "15m", "staleAfter": "3h", **more}
    return CarbonSourceSpec.model_validate(given)


def hours(start: datetime, *grams: float) -> tuple[IntensityPoint, ...]:
    return series((start + HOUR * i, g) for i, g in enumerate(grams))


@dataclass
class Source:
    """Gives what it is told to, when it is let."""

    answer: Callable[[datetime], Signal] = lambda now: Signal(history=hours(TOP - HOUR, 100.0, 200.0))
    gate: Event = field(default_factory=Event)
    calls: list[datetime] = field(default_factory=list)
    done: list[Event] = field(default_factory=list)

    def fetch(self, _: CarbonSourceSpec, now: datetime) -> Signal:
        self.calls.append(now)
        assert self.gate.wait(30)
        return self.answer(now)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def fetcher(source: Source) -> Iterator[SignalFetcher]:
    made = SignalFetcher(source.fetch, parallel=2)
    yield made
    source.gate.set()
    made.close()


def settle(fetcher: SignalFetcher) -> None:
    """Wait until nothing is under way."""
    while fetcher._running:
        Event().wait(0.002)


def test_a_slow_source_never_holds_up_a_look(fetcher: SignalFetcher, source: Source) -> None:
    for _ in range(100):
        held = fetcher.look("gb", spec(), NOW)
        assert (held.signal, held.failure) == (None, None)
    source.gate.set()
    settle(fetcher)
    assert len(source.calls) == 1, "one fetch at a time"
    held = fetcher.look("gb", spec(), NOW)
    assert held.signal is not None
    assert held.fetched_at == NOW


def test_it_is_fetched_again_after_its_refresh(fetcher: SignalFetcher, source: Source) -> None:
    source.gate.set()
    for at in (NOW, NOW + MINUTE, NOW + 14 * MINUTE, NOW + 17 * MINUTE, NOW + 18 * MINUTE):
        fetcher.look("gb", spec(), at)
        settle(fetcher)
    assert source.calls == [NOW, NOW + 17 * MINUTE]


def test_a_clock_that_was_set_back_does_not_put_the_next_fetch_off(fetcher: SignalFetcher, source: Source) -> None:
    source.gate.set()
    for at in (NOW + timedelta(days=2), NOW):
        fetcher.look("gb", spec(), at)
        settle(fetcher)
    assert len(source.calls) == 2


def test_failures_are_tried_again_ever_more_slowly_and_leave_what_is_known(
    fetcher: SignalFetcher, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.gate.set()
    fetcher.look("gb", spec(), NOW)
    settle(fetcher)

    def down(_: datetime) -> Signal:
        raise SignalError(Reason.UNREACHABLE, "nobody there")

    source.answer = down
    at, waits = NOW + HOUR, []
    for _ in range(8):
        fetcher.look("gb", spec(), at)
        settle(fetcher)
        held = fetcher.look("gb", spec(), at)
        assert held.signal is not None
        assert held.failure is not None
        assert held.failure.reason is Reason.UNREACHABLE
        assert held.next_at is not None
        waits.append(held.next_at - at)
        at = held.next_at
    assert timedelta(seconds=30) <= waits[0] <= timedelta(seconds=33)
    assert waits[1] > waits[0]
    assert max(waits) <= timedelta(minutes=16.5)
    assert waits[-1] >= timedelta(minutes=15)
    assert "CarbonSource gb: nobody there" in caplog.text
    source.answer = lambda now: Signal(history=hours(TOP, 50.0))
    fetcher.look("gb", spec(), at)
    settle(fetcher)
    held = fetcher.look("gb", spec(), at)
    assert (held.failure, held.failures) == (None, 0)


def test_an_unforeseen_error_is_a_failure_too(
    fetcher: SignalFetcher, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.answer = lambda now: 1 / 0  # type: ignore[assignment,return-value]
    source.gate.set()
    with caplog.at_level(logging.ERROR):
        fetcher.look("gb", spec(), NOW)
        settle(fetcher)
    assert "unforeseen" in caplog.text
    held = fetcher.look("gb", spec(), NOW)
    assert held.failure is not None
    assert held.failure.reason is Reason.BAD_ANSWER


@pytest.mark.parametrize(
    ("reason", "retry_after", "least"),
    [
        (Reason.RATE_LIMITED, timedelta(hours=2), timedelta(hours=2)),
        (Reason.RATE_LIMITED, None, timedelta(minutes=15)),
        (Reason.UNREACHABLE, timedelta(minutes=5), timedelta(minutes=5)),
        (Reason.UNREACHABLE, None, timedelta(seconds=30)),
    ],
)
def test_the_source_says_how_long_it_wants_to_be_left_alone(
    reason: Reason, retry_after: timedelta | None, least: timedelta
) -> None:
    held = failed("gb", Held(spec()), SignalError(reason, "no", retry_after), NOW)
    assert held.next_at is not None
    assert least <= held.next_at - NOW <= least * 1.1


def test_history_is_joined_over_fetches(fetcher: SignalFetcher, source: Source) -> None:
    source.gate.set()
    fetcher.look("gb", spec(), NOW)
    settle(fetcher)
    source.answer = lambda now: Signal(history=hours(TOP, 210.0, 300.0))
    fetcher.look("gb", spec(), NOW + HOUR)
    settle(fetcher)
    held = fetcher.look("gb", spec(), NOW + HOUR)
    assert held.signal is not None
    assert [p.grams_per_kwh for p in held.signal.history] == [100.0, 210.0, 300.0]


def test_what_another_spec_gave_is_forgotten(fetcher: SignalFetcher, source: Source) -> None:
    source.gate.set()
    fetcher.look("gb", spec(), NOW)
    settle(fetcher)
    assert fetcher.look("gb", spec(staleAfter="1h", priority=5), NOW).signal is not None, "the data is the same"
    assert fetcher.look("gb", spec(ukCarbonIntensity={"regionID": 3}), NOW).signal is None
    settle(fetcher)
    fetcher.forget(set())
    assert fetcher.look("gb", spec(), NOW).signal is None


def test_an_answer_to_an_old_spec_that_comes_late_is_dropped(fetcher: SignalFetcher, source: Source) -> None:
    fetcher.look("gb", spec(), NOW)
    fetcher.look("gb", spec(zone="GB-SCT"), NOW)
    source.gate.set()
    settle(fetcher)
    assert fetcher.look("gb", spec(zone="GB-SCT"), NOW).signal is None


def test_own_forecast_where_the_source_has_none(fetcher: SignalFetcher, source: Source) -> None:
    past = hours(TOP - 240 * HOUR, *(100.0 + 50.0 * (i % 24) for i in range(241)))
    source.answer = lambda now: Signal(history=past)
    source.gate.set()
    for name, chosen in (("own", spec()), ("none", spec(ownForecast=False))):
        fetcher.look(name, chosen, NOW)
        settle(fetcher)
        look = live_series(chosen, fetcher.look(name, chosen, NOW), NOW - HOUR, NOW)
        assert (look.forecast_by == "Own") == (name == "own")
        assert (look.points[-1].start > NOW) == (name == "own")
    own = live_series(spec(), fetcher.look("own", spec(), NOW), NOW, NOW)
    assert own.forecast_error_percent is not None
    assert own.points[-1].low is not None
    assert own.points[-1].start <= NOW + timedelta(hours=48)


def test_a_forecast_that_fails_does_not_cost_the_data(
    fetcher: SignalFetcher, source: Source, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ArithmeticError("SVD did not converge")

    monkeypatch.setattr("trimtab.observe.signals.background.own_forecast", broken)
    source.gate.set()
    fetcher.look("gb", spec(), NOW)
    settle(fetcher)
    shown = live_series(spec(), fetcher.look("gb", spec(), NOW), NOW, NOW)
    assert (shown.problem, len(shown.points)) == ("", 1)
    assert shown.note == "its own forecast failed: ArithmeticError, see the operator's log"
    assert "SVD did not converge" in caplog.text


# What is shown of it.


def seen(signal: Signal, fetched_at: datetime = NOW, error: SignalError | None = None, **more: Any) -> Held:
    points = merged(signal, None)
    again = fetched_at + HOUR
    held = Held(spec(**more), signal, points=points, fetched_at=fetched_at, tried_at=fetched_at, next_at=again)
    return held if error is None else failed("gb", held, error, fetched_at)


def test_the_first_fetch_under_way_is_no_data() -> None:
    shown = live_series(spec(), Held(spec()), NOW, NOW)
    assert (shown.reason, shown.points) == (Reason.NO_DATA, ())
    assert "first time" in shown.problem


def test_a_first_fetch_that_failed_says_why_and_when_next() -> None:
    held = failed("gb", Held(spec()), SignalError(Reason.UNAUTHORIZED, "HTTP 401"), NOW)
    shown = live_series(spec(), held, NOW, NOW)
    assert (shown.reason, shown.next_fetch) == (Reason.UNAUTHORIZED, held.next_at)
    assert "HTTP 401; next try at 14:20:" in shown.problem


def test_data_stays_fresh_over_a_short_outage_and_is_stale_after_a_long_one() -> None:
    down = SignalError(Reason.UNREACHABLE, "nobody there")
    held = seen(Signal(history=hours(TOP - HOUR, 100.0, 200.0)), error=down)
    short = live_series(spec(), held, NOW, NOW + HOUR)
    assert (short.problem, short.reason) == ("", "")
    assert "still fresh: nobody there" in short.note
    long = live_series(spec(), held, NOW, TOP + 4 * HOUR + MINUTE)
    assert long.reason == Reason.UNREACHABLE
    assert "the newest figure is of 2026-11-24 15:00 UTC: older than staleAfter (3 h); nobody there" in long.problem
    assert long.points


def test_a_source_that_answers_with_old_figures_is_stale() -> None:
    shown = live_series(spec(), seen(Signal(history=hours(TOP - 9 * HOUR, 100.0))), NOW, NOW)
    assert shown.reason == Reason.STALE


def test_a_forecast_is_as_new_as_it_was_made() -> None:
    ahead = hours(TOP, *range(100, 148))
    old = Signal(forecast=ahead, forecast_made_at=NOW - 5 * HOUR)
    assert live_series(spec(), seen(old), NOW, NOW).reason == Reason.STALE
    assert live_series(spec(), seen(Signal(forecast=ahead)), NOW, NOW).problem == ""
    later = Signal(forecast=hours(TOP + 3 * HOUR, 1.0, 2.0))
    assert live_series(spec(), seen(later), NOW, NOW).reason == Reason.NO_DATA


def test_what_was_measured_counts_before_what_was_expected() -> None:
    both = Signal(history=hours(TOP - HOUR, 100.0, 200.0), forecast=hours(TOP - HOUR, 1.0, 2.0, 3.0))
    shown = live_series(spec(), seen(both), NOW - 2 * HOUR, NOW)
    assert [p.grams_per_kwh for p in shown.points] == [100.0, 200.0, 3.0]
    assert shown.forecast_by == "Source"


GRAMS = st.floats(0, 1000)


@given(
    past=st.lists(GRAMS, max_size=30),
    ahead=st.lists(GRAMS, max_size=30),
    gap=st.integers(-5, 5),
    back=st.integers(0, 40),
)
def test_a_series_is_in_order_reaches_back_and_never_beyond_the_horizon(
    past: list[float], ahead: list[float], gap: int, back: int
) -> None:
    signal = Signal(history=hours(TOP - HOUR * len(past) + HOUR, *past), forecast=hours(TOP + HOUR * gap, *ahead))
    chosen = spec(forecastHorizon="10h")
    since = NOW - HOUR * back
    shown = live_series(chosen, seen(signal), since, NOW)
    starts = [p.start for p in shown.points]
    assert starts == sorted(set(starts))
    assert all(start <= NOW + timedelta(hours=10) for start in starts)
    for at in (since, NOW):
        expected = {p.start: p for p in (*signal.forecast, *signal.history)}
        known = [start for start in expected if start <= at]
        if known:
            assert intensity_at(shown.points, at) == expected[max(known)].grams_per_kwh
    newest, later = (newest_data(signal, NOW, at) for at in (NOW, NOW + timedelta(seconds=10)))
    assert newest == later, "status is not written again and again"
    assert newest is None or newest <= max(NOW, TOP + HOUR)


@given(st.lists(st.tuples(st.integers(0, 50), GRAMS), max_size=20), st.lists(st.tuples(st.integers(0, 50), GRAMS)))
def test_joining_keeps_all_and_prefers_the_later(a: list[tuple[int, float]], b: list[tuple[int, float]]) -> None:
    def points(pairs: list[tuple[int, float]]) -> tuple[IntensityPoint, ...]:
        return series((TOP + HOUR * at, grams) for at, grams in pairs)

    whole = joined(points(a), points(b), TOP + 10 * HOUR)
    assert {p.start: p.grams_per_kwh for p in whole} == {
        TOP + HOUR * at: grams for at, grams in {**dict(a), **dict(b)}.items() if at >= 10
    }
