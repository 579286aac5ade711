"""Pollux's genetic algorithm: feasible, and as good as exhaustive search where that can be done."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.simulate.elastic.policies.nsga2 import crowding, fronts, survivors, tournament
from trimtab.simulate.elastic.policies.pollux_search import SearchProblem, _costs, _repair, restart_factors, search


def problem(jobs: int, nodes: int, exponent: float = 0.7, most: int = 64, each: int = 4) -> SearchProblem:
    counts = np.arange(nodes * each + 1)
    within = counts**exponent
    return SearchProblem(
        speedups=np.stack([np.stack([within, within * 0.8])] * jobs),
        most_replicas=np.full(jobs, most),
        restart_factors=np.full(jobs, 0.5),
        base=np.zeros((jobs, nodes), dtype=np.int8),
        gpus_per_node=each,
    )


@given(seed=st.integers(0, 2**16), jobs=st.integers(1, 12), most=st.integers(1, 8))
def test_repaired_placements_are_feasible(seed: int, jobs: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    states = rng.integers(0, 5, size=(30, jobs, 6)).astype(np.int8)
    repaired = _repair(problem(jobs, 6, most=most), states, rng)
    assert np.all(repaired >= 0)
    assert np.all(repaired <= states)
    assert np.all(repaired.sum(axis=1) <= 4)
    assert np.all(repaired.sum(axis=2) <= most)
    distributed = (np.count_nonzero(repaired, axis=2) > 1)[:, :, None] & (repaired > 0)
    assert np.all(distributed.sum(axis=1) <= 1), "at most one distributed job on a node"


def test_it_finds_the_best_of_a_small_space() -> None:
    small = problem(jobs=2, nodes=2, each=2)
    every = np.array(list(itertools.product(range(3), repeat=4)), dtype=np.int8).reshape(-1, 2, 2)
    feasible = every[np.all(_repair(small, every, np.random.default_rng(0)) == every, axis=(1, 2))]
    found = search(small, small.base[None], np.random.default_rng(5))
    assert found.costs[:, 0].min() == pytest.approx(_costs(small, feasible)[:, 0].min())


def test_it_spreads_a_cluster_over_its_jobs() -> None:
    found = search(problem(jobs=8, nodes=4), np.zeros((1, 8, 4), dtype=np.int8), np.random.default_rng(0))
    best = found.states[int(np.argmin(found.costs[:, 0]))]
    assert np.all(best.sum(axis=1) >= 1), "the power mean lets nobody starve"
    assert best.sum() == 16


def test_the_same_seed_gives_the_same_search() -> None:
    one, other = (search(problem(4, 4), np.zeros((1, 4, 4), dtype=np.int8), np.random.default_rng(9)) for _ in "ab")
    assert np.array_equal(one.states, other.states)


def test_a_restart_is_worth_less_the_more_there_were() -> None:
    factors = restart_factors(np.array([600.0, 600.0, 600.0]), np.array([0.0, 5.0, 30.0]))
    assert factors[0] > factors[1] > factors[2] == 0.0


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40))
def test_fronts_are_those_of_the_definition(points: list[tuple[int, int]]) -> None:
    costs = np.array(points, dtype=float)
    left = set(range(len(costs)))
    for front in fronts(costs):
        expected = {
            i for i in left if not any(np.all(costs[j] <= costs[i]) and np.any(costs[j] < costs[i]) for j in left)
        }
        assert set(front.tolist()) == expected
        left -= expected
    assert not left


def test_survivors_are_whole_fronts_and_then_the_least_crowded() -> None:
    costs = np.array([[0.0, 3.0], [1.0, 1.0], [1.1, 0.9], [3.0, 0.0], [9.0, 9.0]])
    chosen, distance, first = survivors(costs, 3, np.random.default_rng(0))
    assert {0, 3} < set(chosen.tolist())
    assert first == 3
    assert np.isinf(distance[:2]).all()
    assert np.isinf(crowding(costs[:2])).all()


def test_the_dominating_parent_wins() -> None:
    costs = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert set(tournament(costs, np.zeros(2), 50, np.random.default_rng(0)).tolist()) == {0}
