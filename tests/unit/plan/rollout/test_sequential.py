"""Tests that may be looked at as often as one likes: what they promise is counted over many simulated roll-outs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.rollout.sequential import (
    Counts,
    failure_share_bounds,
    log_evidence_of_later,
    log_evidence_of_more_failures,
)

RUNS, LOOKS, SIGNIFICANCE = 300, 40, 0.05
# Of so many runs, more alarms than this come by chance once in a thousand at most (binomial, p = 0.05).
MOST_ALARMS = 28


def roll_out(rng: np.random.Generator, candidate: float, stable: float) -> list[Counts]:
    requests = rng.poisson(20, LOOKS), rng.poisson(80, LOOKS)
    failed = rng.binomial(requests[0], candidate), rng.binomial(requests[1], stable)
    return [
        Counts(*(float(v) for v in row)) for row in zip(requests[0], failed[0], requests[1], failed[1], strict=True)
    ]


def ever_fails_more(intervals: list[Counts]) -> bool:
    reached = (log_evidence_of_more_failures(intervals[: i + 1]) for i in range(len(intervals)))
    return max(reached) >= -math.log(SIGNIFICANCE)


@pytest.mark.parametrize("share", [0.002, 0.05, 0.4])
def test_an_equal_candidate_is_seldom_sent_back_though_every_interval_is_looked_at(share: float) -> None:
    rng = np.random.default_rng(1)
    assert sum(ever_fails_more(roll_out(rng, share, share)) for _ in range(RUNS)) <= MOST_ALARMS


@pytest.mark.parametrize(("candidate", "stable"), [(0.05, 0.0), (0.06, 0.01), (0.5, 0.2)])
def test_a_worse_candidate_is_found(candidate: float, stable: float) -> None:
    rng = np.random.default_rng(2)
    assert sum(ever_fails_more(roll_out(rng, candidate, stable)) for _ in range(100)) >= 95


def test_a_better_candidate_is_not_sent_back() -> None:
    rng = np.random.default_rng(3)
    assert not any(ever_fails_more(roll_out(rng, 0.01, 0.03)) for _ in range(100))


def test_an_outage_that_hits_both_is_not_held_against_the_candidate() -> None:
    calm, outage = Counts(20, 0, 80, 0), Counts(20, 20, 80, 80)
    assert log_evidence_of_more_failures([calm] * 10 + [outage] * 3 + [calm] * 10) <= 0.0


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_the_bounds_hold_at_all_times_together(share: float) -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(RUNS):
        failed = np.cumsum(rng.binomial(20, share, LOOKS))
        bounds = [failure_share_bounds(float(f), 20.0 * (i + 1), SIGNIFICANCE) for i, f in enumerate(failed)]
        missed += any(not low <= share <= high for low, high in bounds)
    assert missed <= MOST_ALARMS


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([0.001, 0.025, 0.2]))
def test_the_bounds_enclose_what_was_seen(failures: int, good: int, significance: float) -> None:
    requests = failures + good
    low, high = failure_share_bounds(failures, requests, significance)
    assert 0.0 <= low <= high <= 1.0
    if requests:
        assert low <= failures / requests <= high


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_bounds_of_estimated_counts_are_bounds_too(failures: float, good: float) -> None:
    low, high = failure_share_bounds(failures, failures + good, 0.05)
    assert 0.0 <= low <= high <= 1.0


def test_more_failures_than_requests_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="2 failures of 1 requests"):
        failure_share_bounds(2, 1, 0.05)


def test_no_failures_among_many_requests_bound_the_share_closely() -> None:
    _, high = failure_share_bounds(0, 740, 0.025)
    assert 0.009 < high < 0.0105


def test_a_candidate_no_slower_is_seldom_called_late() -> None:
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(RUNS):
        ups = np.cumsum(rng.random(LOOKS) < 0.5)
        looks = (log_evidence_of_later(int(up), i + 1 - int(up)) for i, up in enumerate(ups))
        alarms += max(looks) >= -math.log(SIGNIFICANCE)
    assert alarms <= MOST_ALARMS


def test_seven_late_intervals_against_none_are_enough() -> None:
    assert log_evidence_of_later(6, 0) < -math.log(0.025) < log_evidence_of_later(7, 0)


@given(st.lists(st.tuples(*[st.floats(0, 1e6)] * 4), max_size=20))
def test_any_counts_give_a_number(rows: list[tuple[float, float, float, float]]) -> None:
    counts = [Counts(a + b, b, c + d, d) for a, b, c, d in rows]
    assert not math.isnan(log_evidence_of_more_failures(counts))
