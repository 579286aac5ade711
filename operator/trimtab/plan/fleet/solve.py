"""Chooses one column for each workload at least cost, within the capacity that all share: a mixed-integer program.

It is a multiple-choice knapsack problem with one capacity row for each pool. Its linear relaxation leaves no more
workloads undecided than there are pools (P. Sinha and A. A. Zoltners, "The multiple-choice knapsack problem",
Operations Research, 1979), so a rounded solution is close to the best; columns whose reduced cost is more than the gap
between the two cannot be in a better one and are left out. What remains is small, and HiGHS solves it.
"""

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt
from highspy import HighsLp

from trimtab.plan.highs import QuietHighs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

_GAP = 1e-5
"""Relative gap at which a solution is as good as the best."""
_MOST_NODES = 5_000
"""Nodes of the search after which the best found is taken: the same on a fast and on a slow machine."""
_FULL = 1e-6


@dataclass(frozen=True)
class Columns:
    """The choices: one column is one way for one workload."""

    owner: IntArray
    """Index of the workload, ascending (columns,)."""
    cost: FloatArray
    """(columns,)"""
    use: FloatArray
    """Units of each pool (columns, pools)."""


@dataclass(frozen=True)
class Solution:
    """The best choice."""

    column: IntArray
    """Index of the column taken for each workload that has one, in the order of the owners."""
    cost: float
    lower_bound: float
    """No choice costs less."""
    unit_price: FloatArray
    """What another unit of a pool would save (pools,); 0 where the pool is not full."""


def solve(columns: Columns, capacity: FloatArray) -> Solution:
    """Choose one column for each owner.

    Args:
        columns: The choices; each owner has one that uses nothing, so that there always is a solution.
        capacity: Units of each pool; infinite where there is no limit (pools,).
    """
    best = _cheapest(columns, columns.cost)
    used = columns.use[best].sum(axis=0)
    if np.all(used <= capacity + _FULL):
        total = float(columns.cost[best].sum())
        return Solution(best, total, total, np.zeros(len(capacity)))
    relaxed = _relaxation(columns, capacity)
    rounded = _round(columns, capacity, relaxed.value)
    upper, lower = float(columns.cost[rounded].sum()), relaxed.objective
    if upper - lower <= _GAP * max(abs(upper), 1.0):
        return Solution(rounded, upper, lower, relaxed.unit_price)
    keep = relaxed.reduced_cost <= upper - lower + _FULL
    keep[rounded] = True
    return _exact(columns, capacity, np.flatnonzero(keep), rounded, relaxed)


def _cheapest(columns: Columns, cost: FloatArray) -> IntArray:
    """Cheapest column of each owner, the first of equals."""
    order = np.lexsort((cost, columns.owner))
    owner = columns.owner[order]
    return order[np.concatenate(([True], owner[1:] != owner[:-1]))]


@dataclass(frozen=True)
class _Relaxed:
    value: FloatArray
    reduced_cost: FloatArray
    unit_price: FloatArray
    objective: float


def _model(columns: Columns, capacity: FloatArray, rows: IntArray, integer: bool) -> HighsLp:
    """One row for each owner (exactly one), one for each pool that has a limit (at most its capacity)."""
    limited = np.flatnonzero(np.isfinite(capacity))
    owners, owner = np.unique(columns.owner[rows], return_inverse=True)
    use = columns.use[np.ix_(rows, limited)]
    uses_row, uses_pool = np.nonzero(use)
    starts = np.concatenate(([0], np.cumsum(1 + np.count_nonzero(use, axis=1))))
    index = np.empty(starts[-1], dtype=np.int32)
    value = np.empty(starts[-1], dtype=np.float64)
    index[starts[:-1]], value[starts[:-1]] = owner, 1.0
    place = np.arange(len(uses_row)) - np.searchsorted(uses_row, uses_row, side="left")
    at = starts[uses_row] + 1 + place
    index[at], value[at] = len(owners) + uses_pool, use[uses_row, uses_pool]
    model = HighsLp()
    model.num_col_, model.num_row_ = len(rows), len(owners) + len(limited)
    model.col_cost_ = columns.cost[rows]
    model.col_lower_, model.col_upper_ = np.zeros(len(rows)), np.ones(len(rows))
    model.row_lower_ = np.concatenate((np.ones(len(owners)), np.full(len(limited), -highspy.kHighsInf)))
    model.row_upper_ = np.concatenate((np.ones(len(owners)), capacity[limited]))
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = starts.astype(np.int32), index, value
    if integer:
        model.integrality_ = [highspy.HighsVarType.kInteger] * len(rows)
    return model


def _solver() -> QuietHighs:
    highs = QuietHighs()
    highs.setOptionValue("mip_rel_gap", _GAP)
    highs.setOptionValue("mip_max_nodes", _MOST_NODES)
    return highs


def _relaxation(columns: Columns, capacity: FloatArray) -> _Relaxed:
    rows = np.arange(len(columns.owner), dtype=np.intp)
    highs = _solver()
    highs.passModel(_model(columns, capacity, rows, integer=False))
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(
            f"the relaxation of the serving plan ended {highs.modelStatusToString(highs.getModelStatus())}"
        )
    solution = highs.getSolution()
    limited = np.flatnonzero(np.isfinite(capacity))
    prices = np.zeros(len(capacity))
    prices[limited] = -np.array(solution.row_dual)[-len(limited) :]
    return _Relaxed(
        value=np.array(solution.col_value),
        reduced_cost=np.maximum(0.0, np.array(solution.col_dual)),
        unit_price=np.maximum(0.0, prices),
        objective=float(highs.getInfo().objective_function_value),
    )


def _round(columns: Columns, capacity: FloatArray, value: FloatArray) -> IntArray:
    """Keep what the relaxation decided; give the few that it split what fits best, the dearest to refuse first."""
    likely = _cheapest(columns, -value)
    decided = value[likely] > 1.0 - 1e-6
    left = capacity - columns.use[likely[decided]].sum(axis=0)
    first = np.searchsorted(columns.owner, np.unique(columns.owner))
    last = np.append(first[1:], len(columns.owner))
    open_owners = np.flatnonzero(~decided)
    spread = [columns.cost[first[i] : last[i]].max() - columns.cost[first[i] : last[i]].min() for i in open_owners]
    for i in open_owners[np.argsort(-np.array(spread), kind="stable")]:
        own = np.arange(first[i], last[i])
        fitting = own[np.all(columns.use[own] <= left + _FULL, axis=1)]
        likely[i] = fitting[np.argmin(columns.cost[fitting])]
        left = left - columns.use[likely[i]]
    return likely


def _exact(columns: Columns, capacity: FloatArray, rows: IntArray, rounded: IntArray, relaxed: _Relaxed) -> Solution:
    """Branch and bound over the columns that may be in a better solution than the rounded one."""
    highs = _solver()
    highs.passModel(_model(columns, capacity, rows, integer=True))
    start = highspy.HighsSolution()
    start.col_value = np.isin(rows, rounded).astype(np.float64).tolist()
    highs.setSolution(start)
    highs.run()
    upper = float(columns.cost[rounded].sum())
    chosen, bound = rounded, max(relaxed.objective, float(highs.getInfo().mip_dual_bound))
    value = np.array(highs.getSolution().col_value)
    if len(value) == len(rows):
        local = rows[np.flatnonzero(value > 0.5)]
        if len(local) == len(rounded) and float(columns.cost[local].sum()) <= upper:
            chosen = local
    cost = float(columns.cost[chosen].sum())
    return Solution(chosen, cost, min(bound, cost) if np.isfinite(bound) else relaxed.objective, relaxed.unit_price)
