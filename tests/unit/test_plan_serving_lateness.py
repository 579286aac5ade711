"""The share of requests above a bound, from quantiles, buckets and means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.serving.lateness import share_above_buckets, share_above_means, share_above_quantiles

LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999)
values = st.lists(st.floats(min_value=0.0, max_value=1e7), min_size=len(LEVELS), max_size=len(LEVELS))
bounds = st.floats(min_value=1.0, max_value=2e7)


def exponential(mean: float) -> dict[float, float]:
    return {level: -mean * math.log(1.0 - level) for level in LEVELS}


@given(st.floats(min_value=1.0, max_value=1e4), st.floats(min_value=0.01, max_value=12.0))
def test_an_exponential_distribution_is_read_exactly_before_between_and_beyond(mean: float, times: float) -> None:
    assert share_above_quantiles(exponential(mean), times * mean) == pytest.approx(math.exp(-times))


@given(values, bounds, bounds)
def test_the_share_is_one_and_falls_with_the_bound(given_values: list[float], one: float, other: float) -> None:
    quantiles = dict(zip(LEVELS, sorted(given_values), strict=True))
    low, high = (share_above_quantiles(quantiles, bound) for bound in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 0.0 <= high <= low * (1.0 + 1e-9) <= 1.0 + 1e-9


@given(values, bounds)
def test_the_share_lies_between_those_of_the_quantiles_around_the_bound(
    given_values: list[float], bound: float
) -> None:
    quantiles = dict(zip(LEVELS, sorted(given_values), strict=True))
    share = share_above_quantiles(quantiles, bound)
    assert share is not None
    above = [1.0 - level for level, value in quantiles.items() if value <= bound]
    below = [1.0 - level for level, value in quantiles.items() if value > bound]
    assert share <= min(above, default=1.0) * (1.0 + 1e-9)
    assert share >= max(below, default=0.0) * (1.0 - 1e-9)


def test_at_a_quantile_its_share_is_above() -> None:
    quantiles = {0.5: 10.0, 0.9: 20.0, 0.99: 80.0}
    assert share_above_quantiles(quantiles, 20.0) == pytest.approx(0.1)
    assert share_above_quantiles(quantiles, 80.0) == pytest.approx(0.01)


def test_a_quantile_that_was_estimated_below_a_lower_one_is_at_that() -> None:
    assert share_above_quantiles({0.9: 20.0, 0.95: 19.0, 0.99: 40.0}, 20.0) == pytest.approx(0.05)


def test_all_at_one_value_are_late_or_not() -> None:
    same = dict.fromkeys(LEVELS, 5.0)
    assert share_above_quantiles(same, 50.0) == 0.0
    assert share_above_quantiles(same, 1.0) == pytest.approx(0.5 ** (1 / 5))
    assert share_above_quantiles({}, 1.0) is None


@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.5])
def test_a_lognormal_distribution_is_read_well_enough(sigma: float) -> None:
    """It is wrong by less than a sixth of the share, or of what a target of 99 % allows where that is more."""
    sample = np.random.default_rng(1).lognormal(0.0, sigma, 200_000)
    quantiles = {level: float(np.quantile(sample, level)) for level in LEVELS}
    for bound in np.quantile(sample, np.linspace(0.9, 0.9999, 60)):
        share, real = share_above_quantiles(quantiles, float(bound)), float(np.mean(sample > bound))
        assert share is not None
        assert abs(share - real) < max(real, 0.01) / 6.0


EDGES = (100.0, 500.0, 2000.0, 5000.0, math.inf)
counts = st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=len(EDGES), max_size=len(EDGES))


def test_a_histogram_s_share_within_a_bucket_is_spread_evenly() -> None:
    told = {100.0: 60.0, 500.0: 80.0, 2000.0: 95.0, 5000.0: 99.0, math.inf: 100.0}
    assert share_above_buckets(told, 500.0) == pytest.approx(0.2)
    assert share_above_buckets(told, 300.0) == pytest.approx(0.3)
    assert share_above_buckets(told, 50.0) == pytest.approx(0.7)
    assert share_above_buckets(told, 60_000.0) == pytest.approx(0.01), "not known better: they may be later"
    assert share_above_buckets({math.inf: 0.0}, 1.0) is None
    assert share_above_buckets({100.0: 5.0}, 1.0) is None


@given(counts, bounds, bounds)
def test_a_histogram_s_share_is_one_and_falls_with_the_bound(each: list[float], one: float, other: float) -> None:
    told = dict(zip(EDGES, np.cumsum(each).tolist(), strict=True))
    if told[math.inf] <= 0.0:
        return
    low, high = (share_above_buckets(told, bound) for bound in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 0.0 <= high <= low <= 1.0


@given(st.floats(min_value=0.0, max_value=1e4), st.floats(min_value=0.0, max_value=1e4), bounds, bounds)
def test_by_mean_times_the_share_is_one_and_falls_with_the_bound(
    wait: float, work: float, one: float, other: float
) -> None:
    low, high = (share_above_means(wait, work, bound) for bound in sorted((one, other)))
    assert 0.0 <= high <= low <= 1.0


def test_mean_times_are_read_as_the_percentile_is_estimated_from_them() -> None:
    p95 = 10.0 - math.log(0.05) * 4.0
    assert share_above_means(4.0, 10.0, p95) == pytest.approx(0.05)
    assert share_above_means(4.0, 10.0, 9.0) == 1.0
    assert share_above_means(0.0, 10.0, 11.0) == 0.0
