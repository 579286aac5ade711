"""How far back the load of a service is looked at, and when that is enough to forecast from."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.api.serving import ServingWorkloadSpec
from trimtab.observe.load_history import LoadMemory, history_query, interval_seconds, load_history
from trimtab.observe.series import Series

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def spec(stabilization: str) -> ServingWorkloadSpec:
    return ServingWorkloadSpec.model_validate(
        {
            "model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 50}},
            "scaling": {"scaleDownStabilization": stabilization},
        }
    )  # fmt: skip


def rates(*values: float | None, interval: float = 10.0) -> list[Series]:
    """One rate for each interval up to now; None is a hole."""
    first = NOW.timestamp() - interval * (len(values) - 1)
    points = tuple((first + i * interval, v) for i, v in enumerate(values) if v is not None)
    return [Series({"namespace": "demo", "workload": "digits"}, points)]


@pytest.mark.parametrize("stabilization", ["2m", "5m", "3h"])
def test_the_window_is_an_hour_whatever_the_stabilization(stabilization: str) -> None:
    given = rates(*(float(i) for i in range(400)))
    assert load_history(given, spec(stabilization), 10.0, NOW) == tuple(float(i) for i in range(39, 400))


def test_who_lets_the_past_count_only_shortly_is_forecast_nothing() -> None:
    assert history_query([spec("20s")], 10.0) is None
    assert load_history(rates(*([1.0] * 60)), spec("20s"), 10.0, NOW) == ()


def test_the_window_is_asked_for_once_for_all() -> None:
    promql = history_query([spec("5m"), spec("20s"), spec("10m")], 10.0)
    assert promql is not None
    assert promql.endswith("[3600000ms:10000ms]")


def test_after_a_hole_only_what_came_since_counts() -> None:
    values = [5.0] * 10 + [None] * 4 + [7.0] * 15
    assert load_history(rates(*values), spec("5m"), 10.0, NOW) == (7.0,) * 15


def test_too_little_or_too_old_is_nothing() -> None:
    assert load_history(rates(*([1.0] * 8)), spec("5m"), 10.0, NOW) == ()
    assert load_history(rates(*([1.0] * 20), None, None, None), spec("5m"), 10.0, NOW) == ()
    assert load_history([], spec("5m"), 10.0, NOW) == ()


def series_until(now: datetime, rate: Callable[[float], float], span: float) -> Mapping[str, list[Series]]:
    """What Prometheus gives of a span that ends at `now`: points at whole multiples of the interval."""
    last = now.timestamp() // 10.0 * 10.0
    times = [last - 10.0 * i for i in range(int(span // 10.0)) if last - 10.0 * i > now.timestamp() - span]
    return {"demo/digits": [Series({}, tuple((at, rate(at)) for at in reversed(times)))]}


def span_of(promql: str | None) -> float:
    assert promql is not None
    return float(promql.rsplit("[", 1)[1].split("ms", 1)[0]) / 1000.0


@given(st.lists(st.floats(min_value=1.0, max_value=300.0), min_size=1, max_size=30))
@example([50.0])
def test_what_is_read_bit_by_bit_is_what_is_read_at_once(gaps: list[float]) -> None:
    """Also where the newest interval was read before its last samples were there."""
    memory, now = LoadMemory(10.0), NOW
    for gap in gaps:
        span = span_of(memory.query([spec("5m")], now))
        newest = now.timestamp() // 10.0 * 10.0

        def rate(at: float, newest: float = newest) -> float:
            return at % 7919.0 if at < newest else 0.0

        memory.take(series_until(now, rate, span), now)
        now += timedelta(seconds=gap)
    span = span_of(memory.query([spec("5m")], now))
    memory.take(series_until(now, lambda at: at % 7919.0, span), now)
    whole = series_until(now, lambda at: at % 7919.0, 3600.0)
    assert memory.rates("demo/digits", spec("5m"), now) == load_history(whole["demo/digits"], spec("5m"), 10.0, now)


def test_the_hour_is_asked_for_once_and_then_what_is_new() -> None:
    memory = LoadMemory(10.0)
    assert span_of(memory.query([spec("5m")], NOW)) == 3600.0
    memory.take({}, NOW)
    assert span_of(memory.query([spec("5m")], NOW + timedelta(seconds=12))) == 50.0
    assert span_of(memory.query([spec("5m")], NOW + timedelta(hours=3))) == 3600.0
    assert memory.query([spec("20s")], NOW) is None


def test_a_service_that_is_gone_is_forgotten() -> None:
    memory = LoadMemory(10.0)
    memory.query([spec("5m")], NOW)
    memory.take({"demo/digits": rates(*([1.0] * 20))}, NOW)
    assert memory.rates("demo/digits", spec("5m"), NOW) == (1.0,) * 20
    later = NOW + timedelta(hours=2)
    memory.take({}, later)
    assert memory.rates("demo/digits", spec("5m"), later) == ()


def test_a_service_with_the_defaults_has_a_past_however_seldom_prometheus_scrapes() -> None:
    plain = spec("5m")
    assert history_query([plain], interval_seconds(30.0)) is not None
    assert len(load_history(rates(*([1.0] * 39), interval=90.0), plain, 90.0, NOW)) == 39


def test_intervals_hold_several_scrapes() -> None:
    assert interval_seconds(2.0) == 10.0
    assert interval_seconds(15.0) == 45.0
