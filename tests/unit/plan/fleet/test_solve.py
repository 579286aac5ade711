"""The shared choice against every combination, and what must hold of it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.plan.fleet.solve import Columns, solve


def instance(seed: int, owners: int, choices: int, pools: int) -> tuple[Columns, np.ndarray]:
    """Choices of random cost and use, one of each owner that uses nothing and is dear, and pools that are too small."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(owners), choices + 1)
    cost = rng.uniform(1.0, 10.0, owner.size)
    use = np.zeros((owner.size, pools))
    use[np.arange(owner.size), rng.integers(0, pools, owner.size)] = rng.integers(1, 6, owner.size)
    nothing = np.arange(choices, owner.size, choices + 1)
    cost[nothing], use[nothing] = 50.0, 0.0
    return Columns(owner, cost, use), rng.integers(1, 3 * owners // pools + 3, pools).astype(np.float64)


def brute_force(columns: Columns, capacity: np.ndarray) -> float:
    groups = [np.flatnonzero(columns.owner == i).tolist() for i in np.unique(columns.owner)]
    return min(
        float(columns.cost[list(chosen)].sum())
        for chosen in itertools.product(*groups)
        if np.all(columns.use[list(chosen)].sum(axis=0) <= capacity + 1e-9)
    )


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), owners=st.integers(1, 5), choices=st.integers(1, 4), pools=st.integers(1, 3))
def test_it_equals_the_best_of_all_combinations(seed: int, owners: int, choices: int, pools: int) -> None:
    columns, capacity = instance(seed, owners, choices, pools)
    solution, best = solve(columns, capacity), brute_force(columns, capacity)
    assert solution.cost == pytest.approx(best, rel=1e-4)
    assert solution.lower_bound <= best + 1e-6
    assert np.all(columns.use[solution.column].sum(axis=0) <= capacity + 1e-6)
    assert columns.owner[solution.column].tolist() == list(range(owners))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), more=st.integers(1, 10))
def test_more_capacity_never_costs_more_and_the_same_input_gets_the_same_choice(seed: int, more: int) -> None:
    columns, capacity = instance(seed, 40, 6, 3)
    first, again, wider = solve(columns, capacity), solve(columns, capacity), solve(columns, capacity + more)
    assert first.column.tolist() == again.column.tolist()
    assert wider.cost <= first.cost * (1.0 + 2e-5) + 1e-6


def test_a_pool_without_limit_costs_nothing_more() -> None:
    columns, capacity = instance(1, 20, 4, 2)
    free = solve(columns, np.full_like(capacity, np.inf))
    cheapest = sum(float(columns.cost[columns.owner == i].min()) for i in range(20))
    assert free.cost == pytest.approx(cheapest)
    assert free.unit_price.tolist() == [0.0, 0.0]


def test_a_full_pool_has_a_price() -> None:
    columns = Columns(np.array([0, 0, 1, 1]), np.array([1.0, 9.0, 1.0, 5.0]), np.array([[1.0], [0.0], [1.0], [0.0]]))
    solution = solve(columns, np.array([1.0]))
    assert solution.cost == pytest.approx(6.0), "the second gives way: that costs 4, the first giving way costs 8"
    assert 4.0 <= solution.unit_price[0] <= 8.0
