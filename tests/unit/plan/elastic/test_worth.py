"""The worth of progress, against the closed form and against exhaustive search."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.elastic.divide import divide, scales
from trimtab.plan.elastic.worth import concave, progress_worths

GPUS = 64


def test_one_power_gives_the_closed_form_of_hesrpt() -> None:
    power, fine = 0.5, 6400
    speed = np.arange(fine + 1) ** power
    jobs = 4
    worths = progress_worths([speed] * jobs, [1.0] * jobs)
    # The first to end comes first; shares by Berg et al. 2020, theorem 2, with the largest job as number 1.
    ranks = np.arange(jobs, 0, -1)
    expected = (ranks / jobs) ** (1 / (1 - power)) - ((ranks - 1) / jobs) ** (1 / (1 - power))
    shares = worths ** (1 / (1 - power))
    assert shares / shares.sum() == pytest.approx(expected, abs=0.01)


def test_linear_speed_gives_all_to_the_first() -> None:
    speed = np.arange(GPUS + 1, dtype=float)
    worths = progress_worths([speed, speed, speed], [1.0] * 3)
    gains = [worth * speed for worth in worths]
    assert divide(gains, np.arange(GPUS + 1), GPUS).tolist() == [GPUS, 0, 0]


@given(
    exponents=st.lists(st.floats(0.2, 0.95), min_size=1, max_size=8),
    weights=st.lists(st.floats(0.1, 10.0), min_size=8, max_size=8),
    price=st.floats(0.0, 0.05),
)
def test_the_greatest_sum_over_the_last_jobs_is_their_weight(
    exponents: list[float], weights: list[float], price: float
) -> None:
    speeds = [np.arange(GPUS + 1) ** exponent for exponent in exponents]
    weights = weights[: len(speeds)]
    worths = progress_worths(speeds, weights, price)
    counts = np.arange(GPUS + 1)
    for first in range(len(speeds)):
        gains = [worth * speed - price * counts for worth, speed in zip(worths[first:], speeds[first:], strict=True)]
        chosen = divide(gains, counts, GPUS)
        total = sum(float(gain[index]) for gain, index in zip(gains, chosen, strict=True))
        assert total == pytest.approx(sum(weights[first:]), rel=1e-6)


def test_a_job_that_cannot_progress_is_worth_nothing() -> None:
    speed = np.sqrt(np.arange(GPUS + 1))
    worths = progress_worths([np.zeros(GPUS + 1), speed], [1.0, 1.0])
    assert worths[0] == 0.0
    assert worths[1] == pytest.approx(1 / speed[-1])


@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=40))
def test_the_concave_cover_is_the_least_one(values: list[float]) -> None:
    speeds = np.array([0.0, *values])
    cover = concave(speeds)
    assert np.all(cover >= speeds - 1e-9)
    assert np.all(np.diff(cover) >= -1e-9)
    assert np.all(np.diff(cover, 2) <= 1e-6)
    touched = np.isclose(cover, np.maximum.accumulate(speeds), rtol=1e-9, atol=1e-9)
    assert touched[0]
    assert touched[-1]


@given(
    gains=st.lists(st.lists(st.floats(-5.0, 5.0), min_size=4, max_size=4), min_size=1, max_size=5),
    capacity=st.integers(0, 12),
)
def test_the_division_is_as_good_as_any(gains: list[list[float]], capacity: int) -> None:
    sizes = np.array([0, 1, 2, 4])
    arrays = [np.array(gain) for gain in gains]
    chosen = divide(arrays, sizes, capacity)
    assert int(sizes[chosen].sum()) <= capacity
    best = max(
        sum(gain[index] for gain, index in zip(gains, option, strict=True))
        for option in itertools.product(range(4), repeat=len(gains))
        if sum(int(sizes[index]) for index in option) <= capacity
    )
    assert sum(gain[index] for gain, index in zip(gains, chosen, strict=True)) == pytest.approx(best)


def test_a_division_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        divide([np.array([-np.inf, 0.0])] * 3, np.array([0, 1]), 2)


@pytest.mark.parametrize(
    ("gpus", "each", "expected"),
    [(16, 4, [0, 1, 2, 4, 8, 12, 16]), (3, 1, [0, 1, 2, 3]), (6, 3, [0, 1, 2, 3, 6]), (16, 8, [0, 1, 2, 4, 8, 16])],
)
def test_scales_are_parts_of_a_node_or_whole_nodes(gpus: int, each: int, expected: list[int]) -> None:
    assert scales(gpus, each).tolist() == expected
