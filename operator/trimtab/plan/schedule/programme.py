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
from trimtab.plan.schedule.tables import BoolArray, IntArray, Surcharge, Tables

MOST_COLUMNS = 12_000
"""Hours of one job in one mode and slot that the programme may decide on: about a tenth of a second."""
_UNDONE = 1e3
"""What undone work costs, in the dearest work there is."""
_OVERRUN = 30.0
"""What is spent beyond a budget costs, in the dearest price that is paid for it."""
RESOURCES = ("usd", "grams", "kilowatt_hours")


@dataclass(frozen=True)
class Solution:
    """The optimum of the linear programme."""

    unit_price: FloatArray
    """(P, T) Price of a unit-hour, US dollars."""
    wants: dict[int, Want]
    """Hours by job."""
    surcharges: tuple[Surcharge, ...] = ()
    """Prices of the budgets."""
    budgets_usd: float = 0.0
    """What the budgets are worth at these prices."""
    overruns: bool = False
    """Whether budgets that do not cut cannot hold."""


def columns(tables: Tables, asked: Asked) -> int:
    """How many decisions the programme of these jobs has."""
    window = tables.window(asked.rows, asked.deadline) > 0.0
    return int((window.sum(axis=1) * tables.valid[asked.rows].sum(axis=1)).sum())


@dataclass(frozen=True)
class Bound:
    """One resource of a budget as a row of the programme."""

    rows: BoolArray
    """(J) Its jobs."""
    slots: BoolArray
    """(T) The slots whose spending it counts."""
    resource: int
    """0 money, 1 carbon, 2 energy."""
    limit: float
    cuts: bool
    """Work is left undone before it is overrun."""


def solve_programme(
    tables: Tables,
    asked: Asked,
    rank: IntArray,
    bounds: tuple[Bound, ...] = (),
    weight: FloatArray | None = None,
) -> Solution | None:
    """Solve it; None where the solver finds no optimum.

    Args:
        tables: The problem.
        asked: The jobs, their work and their deadlines.
        rank: For each of them how many levels of priority there are below its own.
        bounds: What they may spend together.
        weight: How many jobs each of them stands for; None where each is only itself.
    """
    stands_for = np.ones(len(asked.rows)) if weight is None else weight
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
    first_bound, over = first_pair + len(pair), _over_cost(tables, bounds, row, mode, slot, cost[job, mode, slot])
    used = [_counted(tables, bound, row, mode, slot) for bound in bounds]
    lines = np.concatenate([np.full(len(c), first_bound + i) for i, (c, _) in enumerate(used)] or [np.zeros(0, int)])
    entries_row = np.concatenate(
        [job, pool_row[pool, slot][bounded], first_pair + pair_row, np.arange(jobs), lines, first_bound + over.bound]
    )
    entries_column = np.concatenate(
        [column, column[bounded], column[several], count + np.arange(jobs), *(c for c, _ in used),
         count + jobs + np.arange(len(over.bound))]
    )  # fmt: skip
    times = stands_for[job]
    entries = np.concatenate(
        [rate, (units * times)[bounded], np.ones(int(several.sum())), np.ones(jobs), *(u * times[c] for c, u in used),
         -np.ones(len(over.bound))]
    )  # fmt: skip
    order = np.lexsort((entries_row, entries_column))
    model = highspy.HighsLp()
    columns_in_all = count + jobs + len(over.bound)
    model.num_col_, model.num_row_ = columns_in_all, first_bound + len(bounds)
    # Costs of about a thousand, so that what breaks ties is above the solver's tolerance.
    scale = 1e3 / max(float(cost[job, mode, slot].mean()), 1e-300) if count else 1.0
    model.col_cost_ = np.concatenate([cost[job, mode, slot] * times, undone * stands_for, over.usd]) * scale
    model.col_lower_ = np.zeros(columns_in_all)
    model.col_upper_ = np.concatenate([limit, np.full(jobs + len(over.bound), highspy.kHighsInf)])
    free = (tables.free_units * tables.hours[None, :])[finite]
    allowed = np.array([max(bound.limit, 0.0) for bound in bounds])
    model.row_lower_ = np.concatenate([asked.work, np.full(len(free) + len(pair) + len(bounds), -highspy.kHighsInf)])
    model.row_upper_ = np.concatenate([np.full(jobs, highspy.kHighsInf), free, window.reshape(-1)[pair], allowed])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.searchsorted(entries_column[order], np.arange(columns_in_all + 1))
    model.a_matrix_.index_ = entries_row[order]
    model.a_matrix_.value_ = entries[order]
    found = _run(model)
    if found is None:
        return None
    run, dual = found
    price = np.zeros((pools, slots))
    price[finite] = np.maximum(-dual[jobs:first_pair], 0.0) / scale
    worth = np.maximum(-dual[first_bound:], 0.0) / scale
    charged = tuple(
        Surcharge(bound.rows, bound.slots, **{RESOURCES[bound.resource]: float(usd)})
        for bound, usd in zip(bounds, worth, strict=True)
        if usd > 0.0
    )
    return Solution(
        price,
        _wants(asked, job, slot, mode, run[:count]),
        charged,
        float((worth * allowed).sum()),
        _overruns(over, allowed, run),
    )


def _overruns(over: "_Over", allowed: FloatArray, run: FloatArray) -> bool:
    """Whether some budget is overrun by more than rounding."""
    count = len(over.bound)
    return bool(count and (run[len(run) - count :] > 1e-6 * np.maximum(allowed[over.bound], 1e-9)).any())


def _counted(
    tables: Tables, bound: Bound, row: IntArray, mode: IntArray, slot: IntArray
) -> tuple[IntArray, FloatArray]:
    """The columns that a budget counts, and what an hour of each uses."""
    which = np.flatnonzero(bound.rows[row] & bound.slots[slot])
    row, mode, slot = row[which], mode[which], slot[which]
    pool, units, kilowatts = tables.pool[row, mode], tables.units[row, mode], tables.kilowatts[row, mode]
    if bound.resource == 0:
        return which, units * tables.usd[pool, slot]
    if bound.resource == 1:
        return which, kilowatts * tables.grams_kwh[pool, slot] + units * tables.embodied[pool]
    return which, kilowatts


@dataclass(frozen=True)
class _Over:
    """Columns by which budgets that do not cut are overrun."""

    bound: IntArray
    usd: FloatArray


def _over_cost(
    tables: Tables, bounds: tuple[Bound, ...], row: IntArray, mode: IntArray, slot: IntArray, cost: FloatArray
) -> _Over:
    """What a unit above a budget costs: more than any detour that saves it, less than undone work."""
    soft = [index for index, bound in enumerate(bounds) if not bound.cuts]
    usd = []
    for index in soft:
        which, use = _counted(tables, bounds[index], row, mode, slot)
        ratio = cost[which][use > 0.0] / use[use > 0.0]
        usd.append(_OVERRUN * float(ratio.max(initial=1e-9)))
    return _Over(np.array(soft, dtype=np.int64), np.array(usd))


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
