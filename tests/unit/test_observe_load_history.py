"""How far back the load of a service is looked at, and when that is enough to forecast from."""

from datetime import UTC, datetime

import pytest

from trimtab.api.serving import ServingWorkloadSpec
from trimtab.observe.load_history import history_query, interval_seconds, load_history
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


def test_intervals_hold_several_scrapes() -> None:
    assert interval_seconds(2.0) == 10.0
    assert interval_seconds(15.0) == 45.0
