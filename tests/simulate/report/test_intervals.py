"""Savings and their intervals: what is exact is exact, and an interval covers what it claims to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.report.runs import result
from trimtab.simulate.report.intervals import CARBON, COMPLETION, COST, savings
from trimtab.simulate.results import Outcomes, PolicyResult


def test_a_saving_that_is_the_same_for_every_job_has_no_spread() -> None:
    carbon = np.geomspace(1.0, 1000.0, 50)
    found = savings([result("all", carbon), result("part", carbon * 0.7)], "all", CARBON, blocks=False, seed=1)
    part = found["part"]
    assert part.low is not None
    assert part.high is not None
    assert (part.share, part.low, part.high) == pytest.approx((0.3, 0.3, 0.3))
    assert list(found) == ["part"]


def test_the_completion_time_and_the_cost_are_measures_too() -> None:
    run = [result("slow", np.ones(9), wait_hours=3.0), result("fast", np.ones(9))]
    assert savings(run, "slow", COMPLETION, blocks=False, seed=1)["fast"].share == pytest.approx(0.5)
    assert savings(run, "slow", COST, blocks=False, seed=1)["fast"].share == 0


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans())
def test_an_interval_lies_within_the_extremes_and_depends_on_the_seed_alone(seed: int, jobs: int, blocks: bool) -> None:
    rng = np.random.default_rng(seed)
    carbon = rng.lognormal(size=jobs)
    run = [result("all", carbon), result("part", carbon * rng.uniform(0.2, 1.3, jobs))]
    found = savings(run, "all", CARBON, blocks=blocks, seed=seed)["part"]
    assert found == savings(run, "all", CARBON, blocks=blocks, seed=seed)["part"]
    if found.low is not None and found.high is not None:
        shares = 1 - run[1].outcomes.carbon_grams / run[0].outcomes.carbon_grams
        assert shares.min() - 1e-9 <= found.low <= found.high <= shares.max() + 1e-9
    else:
        assert blocks


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    rng = np.random.default_rng(7)
    for seed in range(60):
        carbon = rng.lognormal(sigma=0.5, size=200)
        run = [result("all", carbon), result("part", carbon * rng.uniform(0.6, 1.0, 200))]
        found = savings(run, "all", CARBON, blocks=False, seed=seed)["part"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.2 <= found.high
    assert 51 <= covered <= 60


def test_blocks_are_honest_where_neighbours_are_alike() -> None:
    """Savings that come in long runs of intervals: single draws would claim to know them better than they do."""
    hours = np.arange(400)
    saved = 0.2 + 0.1 * np.sign(np.sin(hours / 40))
    run = [result("all", np.ones(400)), result("part", 1 - saved)]
    width = {}
    for blocks in (False, True):
        found = savings(run, "all", CARBON, blocks=blocks, seed=1)["part"]
        assert found.low is not None
        assert found.high is not None
        width[blocks] = found.high - found.low
    assert width[True] > 2 * width[False]


def test_without_outcomes_in_pairs_there_is_a_saving_but_no_interval() -> None:
    whole = result("all", np.full(10, 100.0))
    bare = PolicyResult("bare", 800.0, 1.0, 1.0, 1.0, 0)
    other = PolicyResult("other", 700.0, 1.0, 1.0, 1.0, 0, outcomes=Outcomes(carbon_grams=np.full(9, 78.0)))
    partial = PolicyResult("partial", 600.0, 1.0, 1.0, 1.0, 0, outcomes=Outcomes(carbon_grams=np.full(10, 30.0)))
    found = savings([whole, bare, other, partial], "all", CARBON, blocks=False, seed=1)
    assert {name: round(saving.share, 9) for name, saving in found.items()} == {
        "bare": 0.2, "other": 0.3, "partial": 0.4
    }  # fmt: skip
    assert all(saving.low is None and saving.high is None for saving in found.values())


def test_without_the_reference_or_anything_to_save_there_are_no_savings() -> None:
    assert savings([result("a", np.ones(3))], "b", CARBON, blocks=False, seed=1) == {}
    assert savings([result("a", np.zeros(3)), result("b", np.ones(3))], "a", CARBON, blocks=False, seed=1) == {}
