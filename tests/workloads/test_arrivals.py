"""When requests are due, and what is counted."""

from __future__ import annotations

import math
from itertools import islice

import pytest

pytest.importorskip("numpy")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trimtab_workloads.benchmark.arrivals import FileSchedule, arrivals, from_stages
from trimtab_workloads.benchmark.config import Stage
from trimtab_workloads.benchmark.stats import Quantiles, Stats


def due(stages, seed=0, loop=False):
    made = arrivals(from_stages([Stage(seconds=s, requests_per_second=r) for s, r in stages], loop), seed)
    return (arrival.at_seconds for arrival in made if arrival.is_request)


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(0, 200)), min_size=1, max_size=5), st.integers(0, 1000))
@settings(deadline=None)
def test_arrivals_are_in_order_repeatable_and_as_many_as_the_rates_say(stages, seed):
    times = list(due(stages, seed))
    assert times == sorted(times)
    assert times == list(due(stages, seed))
    assert all(0 < time <= sum(seconds for seconds, _ in stages) for time in times)
    mean = sum(seconds * rate for seconds, rate in stages)
    # Six standard deviations of a Poisson count, and a few for very small means.
    assert abs(len(times) - mean) <= 6 * math.sqrt(mean) + 6


def test_gaps_are_exponential_across_a_change_of_rate():
    stats = pytest.importorskip("scipy.stats")
    times = np.array(list(due([(50, 40), (20, 100)], seed=5)))
    # Stretched by the integral of the rate, it is one Poisson process of rate 1.
    stretched = np.where(times < 50, times * 40, 2000 + (times - 50) * 100)
    assert stats.kstest(np.diff(stretched), "expon").pvalue > 0.001


def test_a_loop_begins_again():
    times = list(islice(due([(1, 0), (1, 50)], loop=True), 400))
    assert times[-1] > 6
    assert all(int(time) % 2 == 1 for time in times)


def test_a_rate_of_zero_sends_nothing_and_ends():
    assert list(due([(3, 0)])) == []


def test_a_file_says_the_rate_and_when_to_stop(tmp_path, capsys):
    path = tmp_path / "stages.json"
    schedule = FileSchedule(path)
    assert schedule(0.0).requests_per_second == 0  # Not there yet: no load, and no end.
    path.write_text('{"requestsPerSecond": 20}')
    assert schedule(1.0).requests_per_second == 20
    path.write_text('{"requestsPerSecond": -1}')
    assert schedule(2.0).requests_per_second == 20
    path.write_text('{"stages": [{"seconds": 2, "requestsPerSecond": 5}, {"seconds": 1, "requestsPerSecond": 7}]}')
    assert [schedule(t).requests_per_second for t in (3.0, 4.0, 5.0, 6.0, 60.0)] == [5, 5, 7, 7, 7]
    path.write_text('{"stop": true}')
    assert schedule(61.0) is None
    assert capsys.readouterr().out.count("stages_file_bad") == 2


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_within_a_hundredth(values, quantile):
    sketch = Quantiles()
    for value in values:
        sketch.add(value)
    exact = np.quantile(values, quantile, method="lower") * 1000
    assert sketch.milliseconds(quantile) == pytest.approx(exact, rel=0.0101, abs=0.002)


def test_a_second_is_taken_once_and_the_total_keeps_everything():
    registry = CollectorRegistry()
    stats = Stats(registry)
    for _ in range(3):
        stats.due()
    stats.succeed(0.01, "1", 2, 1)
    stats.succeed(0.02, "2", 2, 2)
    stats.fail("UNAVAILABLE: " + "x" * 500)
    assert stats.take_second()["ok"] == 2
    assert stats.take_second()["ok"] == 0
    total = stats.total.summary()
    assert (total["sent"], total["ok"], total["failed"]) == (3, 2, 1)
    assert (total["accuracy"], total["byVersion"]) == (0.75, {"1": 1, "2": 1})
    assert all(len(reason) <= 160 for reason in total["errors"])
    assert registry.get_sample_value("trimtab_load_requests_total", {"outcome": "error", "version": ""}) == 1
    assert registry.get_sample_value("trimtab_load_correct_total") == 3
