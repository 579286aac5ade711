"""Which minutes are read, what they tell, and what becomes of them over an hour."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW, meta, serving
from trimtab.api.serving import LatenessSource
from trimtab.observe.lateness import LatenessMemory, Minute, Read, late_share, lateness_query, read_minutes
from trimtab.observe.series import Series
from trimtab.plan.snapshot import ServingState

T = NOW.timestamp()
"""A whole minute."""
LAG = 5.0


def row(figure: str, value: float, *, at: float = T, pod: str = "p", version: str = "1", **labels: str) -> Series:
    named = {"figure": figure, "model": "digits", "version": version, "pod": pod, **labels}
    return Series(named, ((at, value),))


def summary(values: Mapping[str, float], pod: str = "p", at: float = T) -> list[Series]:
    return [row("quantile", value * 1000.0, pod=pod, at=at, quantile=level) for level, value in values.items()]


def minute(*rows: Series, bound: float = 50.0, begin: float = 0.0) -> Minute:
    return read_minutes(rows, "digits", bound, begin)[T]


FAST = {"0.5": 5.0, "0.9": 10.0, "0.95": 50.0, "0.99": 80.0}
"""Milliseconds: 5 % above 50."""


def test_quantiles_say_how_many_were_late() -> None:
    told = minute(row("answered", 200.0), *summary(FAST))
    assert (told.requests, told.late) == (200.0, pytest.approx(10.0))
    assert dict(told.by_source) == {LatenessSource.SUMMARY: 200.0}


def test_each_pod_is_judged_by_its_own_and_counts_by_its_requests() -> None:
    slow = {level: 10.0 * value for level, value in FAST.items()}
    told = minute(
        row("answered", 900.0, pod="a"), *summary(FAST, "a"), row("answered", 100.0, pod="b"), *summary(slow, "b")
    )
    assert told.late == pytest.approx(900 * 0.05 + 100 * 0.5)


def test_without_quantiles_the_mean_times_are_what_there_is() -> None:
    told = minute(row("answered", 100.0), row("queue", 100 * 10_000.0), row("compute", 100 * 20_000.0))
    assert told.late == pytest.approx(100 * math.exp(-3.0))
    assert dict(told.by_source) == {LatenessSource.ESTIMATE: 100.0}


def test_a_histogram_is_better_than_quantiles() -> None:
    buckets = {"100": 70.0, "500": 90.0, "+Inf": 100.0}
    rows = [row("bucket", value, le=edge) for edge, value in buckets.items()]
    told = minute(row("answered", 40.0), *summary(FAST), *rows, bound=300.0)
    assert (told.requests, told.late) == (100.0, pytest.approx(20.0))
    assert dict(told.by_source) == {LatenessSource.HISTOGRAM: 100.0}


def test_what_the_server_rejected_was_late() -> None:
    told = minute(row("answered", 90.0), *summary(FAST), row("rejected", 10.0))
    assert (told.requests, told.late) == (100.0, pytest.approx(90 * 0.05 + 10))
    (only,) = read_minutes([row("rejected", 10.0)], "digits", 50.0, 0.0).values()
    found = late_share([only], 60.0)
    assert found is not None
    assert found.share == 1.0


def test_other_models_and_what_was_before_the_workload_do_not_count() -> None:
    other = Series({**row("answered", 9.0).labels, "model": "other"}, ((T, 9.0),))
    assert read_minutes([other], "digits", 50.0, 0.0) == {}
    assert read_minutes([row("answered", 9.0)], "digits", 50.0, T) == {}


def test_an_idle_minute_is_known_and_counts_nothing() -> None:
    busy = minute(row("answered", 60.0), *summary(FAST))
    idle = read_minutes([row("answered", 0.0, at=T - 60)], "digits", 50.0, 0.0)[T - 60]
    found = late_share([busy, idle], 60.0)
    assert found is not None
    assert found.share == pytest.approx(0.05)
    assert found.known_share == pytest.approx(2 / 60)
    assert late_share([idle], 60.0) is None
    assert late_share([], 60.0) is None


numbers = st.floats(min_value=0.0, max_value=1e9)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, st.lists(numbers, max_size=5)), max_size=8))
def test_whatever_servers_tell_the_share_is_one(told: list[tuple[float, float, float, float, list[float]]]) -> None:
    rows = []
    for i, (answered, rejected, queue, compute, quantiles) in enumerate(told):
        figures = {"answered": answered, "rejected": rejected, "queue": queue, "compute": compute}
        rows += [row(name, value, at=T - 60 * i) for name, value in figures.items()]
        rows += [row("quantile", v, at=T - 60 * i, quantile=str(0.1 + 0.2 * k)) for k, v in enumerate(quantiles)]
    minutes = read_minutes(rows, "digits", 50.0, 0.0)
    assert all(0.0 <= m.late <= m.requests * (1 + 1e-9) for m in minutes.values())
    found = late_share(minutes.values(), 60.0)
    assert found is None or (0.0 <= found.share <= 1.0 and 0.0 <= found.known_share <= 1.0)


def service(name: str = "digits", milliseconds: int = 50, uid: str = "u") -> ServingState:
    state = serving(targets={"latency": {"milliseconds": milliseconds}})
    return state.model_copy(update={"meta": meta(name).model_copy(update={"uid": uid})})


def told_at(read: Read, answered: float = 60.0) -> dict[str, list[Series]]:
    ends = [read.end_seconds - 60.0 * i for i in range(read.steps)]
    rows = [one for at in ends for one in (row("answered", answered, at=at), *summary(FAST, at=at))]
    return {"demo/digits": rows}


def test_each_minute_is_read_once_the_newest_first_and_some_in_each_pass() -> None:
    memory, states = LatenessMemory(60.0), [service()]
    seen: list[float] = []
    for _ in range(12):
        read = memory.due(states, T + LAG + 1, LAG)
        assert read is not None
        assert read.steps == 5
        seen += [read.end_seconds - 60.0 * i for i in range(read.steps)]
        memory.take(read, states, told_at(read))
    assert seen == [T - 60.0 * i for i in range(60)]
    assert memory.due(states, T + 59, LAG) is None
    assert memory.due(states, T + 60 + LAG, LAG) == Read(T + 60, 1)
    found = memory.share("demo/digits")
    assert found is not None
    # Made five minutes ago: the rest of the hour is a namesake's.
    assert found.known_share == pytest.approx(5 / 60)


def test_the_hour_moves_on() -> None:
    memory, states = LatenessMemory(60.0), [service()]
    read = Read(T, 5)
    memory.due(states, T + LAG, LAG)
    memory.take(read, states, told_at(read))
    assert memory.share("demo/digits") is not None
    memory.due(states, T + 3700, LAG)
    assert memory.share("demo/digits") is None


def test_samples_that_are_not_in_prometheus_yet_are_waited_for() -> None:
    memory = LatenessMemory(60.0)
    first = memory.due([service()], T + 1, LAG)
    assert first is not None
    assert first.end_seconds == T - 60.0


@pytest.mark.parametrize("changed", [service(milliseconds=40), service(uid="another")])
def test_another_target_has_the_past_judged_anew(changed: ServingState) -> None:
    memory, read = LatenessMemory(60.0), Read(T, 5)
    memory.due([service()], T + LAG, LAG)
    memory.take(read, [service()], told_at(read))
    assert memory.due([service()], T + LAG, LAG) != Read(T, 5)
    assert memory.due([changed], T + LAG, LAG) == Read(T, 5)
    assert memory.share("demo/digits") is None


def test_what_was_deleted_is_forgotten_and_others_are_not() -> None:
    memory, read, both = LatenessMemory(60.0), Read(T, 5), [service(), service("other")]
    memory.due(both, T + LAG, LAG)
    told = told_at(read)
    memory.take(read, both, {**told, "demo/other": told["demo/digits"]})
    memory.due([service("other")], T + LAG, LAG)
    assert memory.share("demo/digits") is None
    assert memory.share("demo/other") is not None


def test_after_a_failure_a_step_passes_before_it_is_tried_again() -> None:
    memory, states = LatenessMemory(60.0), [service()]
    assert memory.due(states, T + LAG, LAG) is not None
    memory.failed(T + LAG)
    assert memory.due(states, T + LAG + 59, LAG) is None
    assert memory.due(states, T + LAG + 60, LAG) == Read(T + 60, 2), "a smaller one"
    for _ in range(5):
        memory.failed(T + LAG)
    smallest = Read(T + 60, 1)
    assert memory.due(states, T + LAG + 60, LAG) == smallest
    memory.take(smallest, states, told_at(smallest))
    assert memory.due(states, T + LAG + 60, LAG) == Read(T, 2)


def test_nothing_is_asked_while_nothing_is_served() -> None:
    assert LatenessMemory(60.0).due([], T, LAG) is None


def test_there_is_one_query_however_many_workloads() -> None:
    promql = lateness_query(60.0, 10)
    assert promql.endswith("[600000ms:60000ms]")
    assert "demo" not in promql
