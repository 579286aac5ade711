"""The linear programme of all jobs and slots, for problems that are small enough to solve it within the loop.

It leaves out what a start costs and lets a gang share an instant: what it yields is a bound, the price of each pool's
capacity in each slot, and for each job the hours from which a plan is placed.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from trimtab.plan.highs import QuietHighs
from trimtab.plan.schedule.capacity import Want
from trimtab.plan.schedule.prices import all_rooms, relaxed_objective
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import IntArray, Tables

MOST_COLUMNS = 12_000
"""Hours of one job in one mode and slot that the programme may decide on: about a tenth of a second."""
_UNDONE = 1e3
"""What undone work costs, in the dearest work there is."""


@dataclass(frozen=True)
class Solution:
    """The optimum of the linear programme."""

    unit_price: FloatArray
    """(P, T) Price of a unit-hour, US dollars."""
    wants: dict[int, Want]
    """Hours by job."""


def columns(tables: Tables, asked: Asked) -> int:
    """How many decisions the programme of these jobs has."""
    window = tables.window(asked.rows, asked.deadline) > 0.0
    return int((window.sum(axis=1) * tables.valid[asked.rows].sum(axis=1)).sum())


def solve_programme(tables: Tables, asked: Asked, rank: IntArray) -> Solution | None:
    """Solve it; None where the solver finds no optimum.

    Args:
        tables: The problem.
        asked: The jobs, their work and their deadlines.
        rank: For each of them how many levels of priority there are below its own.
    """
    window = tables.window(asked.rows, asked.deadline)
    hours = all_rooms(tables, asked)
    cost = relaxed_objective(tables, asked, None)
    job, mode, slot = np.nonzero(hours > 0.0)
    row = asked.rows[job]
    rate, units, pool = tables.rate[row, mode], tables.units[row, mode], tables.pool[row, mode]
    limit = hours[job, mode, slot]
    jobs, slots, pools = len(asked.rows), tables.slot_count, len(tables.free_units)
    finite = np.isfinite(tables.free_units)
    # Rows: work of each job; free units of each bounded pool and slot; one mode at a time, where there are several.
    pool_row = np.full((pools, slots), -1)
    pool_row[finite] = jobs + np.arange(int(finite.sum()))
    several = (tables.valid[asked.rows].sum(axis=1) > 1)[job]
    pair, pair_row = np.unique((job * slots + slot)[several], return_inverse=True)
    first_pair = jobs + int(finite.sum())
    count = len(job)
    column = np.arange(count)
    bounded = finite[pool, slot]
    undone = np.full(jobs, 1e-12)
    np.maximum.at(undone, job, cost[job, mode, slot] / rate)
    # Of equals it is the last in the queue that stays undone.
    undone *= _UNDONE * (1.0 + rank + 0.1 * np.arange(jobs, 0, -1) / jobs)
    entries_row = np.concatenate([job, pool_row[pool, slot][bounded], first_pair + pair_row, np.arange(jobs)])
    entries_column = np.concatenate([column, column[bounded], column[several], count + np.arange(jobs)])
    entries = np.concatenate([rate, units[bounded], np.ones(int(several.sum())), np.ones(jobs)])
    order = np.lexsort((entries_row, entries_column))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = count + jobs, first_pair + len(pair)
    # Costs of about a thousand, so that what breaks ties is above the solver's tolerance.
    scale = 1e3 / max(float(cost[job, mode, slot].mean()), 1e-300) if count else 1.0
    model.col_cost_ = np.concatenate([cost[job, mode, slot], undone]) * scale
    model.col_lower_ = np.zeros(count + jobs)
    model.col_upper_ = np.concatenate([limit, np.full(jobs, highspy.kHighsInf)])
    free = (tables.free_units * tables.hours[None, :])[finite]
    model.row_lower_ = np.concatenate([asked.work, np.full(len(free) + len(pair), -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([np.full(jobs, highspy.kHighsInf), free, window.reshape(-1)[pair]])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.searchsorted(entries_column[order], np.arange(count + jobs + 1))
    model.a_matrix_.index_ = entries_row[order]
    model.a_matrix_.value_ = entries[order]
    found = _run(model)
    if found is None:
        return None
    run, dual = found
    price = np.zeros((pools, slots))
    price[finite] = np.maximum(-dual[jobs:first_pair], 0.0) / scale
    return Solution(price, _wants(asked, job, slot, mode, run[:count]))


def _run(model: highspy.HighsLp) -> tuple[FloatArray, FloatArray] | None:
    solver = QuietHighs()
    solver.setOptionValue("threads", 1)
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    solution = solver.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual)


def _wants(asked: Asked, job: IntArray, slot: IntArray, mode: IntArray, run: FloatArray) -> dict[int, Want]:
    used = np.flatnonzero(run > 1e-9)
    used = used[np.lexsort((mode[used], slot[used], job[used]))]
    bounds = np.searchsorted(job[used], np.arange(len(asked.rows) + 1)).tolist()
    wants = {}
    for index, row in enumerate(asked.rows.tolist()):
        part = used[bounds[index] : bounds[index + 1]]
        wants[row] = Want(slot[part], mode[part], run[part])
    return wants
