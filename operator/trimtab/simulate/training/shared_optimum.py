"""The offline optimum of jobs that share units: a linear programme over jobs, hours and scales, or a bound of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.account import Prices
from trimtab.simulate.training.cells import Cells, cut
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.optimum import cost_of_hours
from trimtab.simulate.training.runs import Runs, tidy
from trimtab.simulate.training.shared_dual import dual_bound
from trimtab.simulate.training.shared_programme import Programme, Solution, solve
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]

MOST_COLUMNS = 2_500_000
"""Of a linear programme; what is larger gets a bound."""
_CHUNK = 500
_LATE_HOURS = (24.0, 72.0, 168.0, 672.0)
"""How far after their deadlines jobs may run, tried in turn, when there are too few units for all deadlines."""


@dataclass(frozen=True)
class Bound:
    """No schedule has a lower objective."""

    objective: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Shared:
    """Runs of the relaxation: within an hour, the units are shared as if jobs could stop at any instant."""

    runs: Runs
    notes: tuple[str, ...]


def shared_optimum(jobs: Workload, truth: Intensity, prices: Prices, capacity_units: float) -> Shared | Bound:
    """The relaxation's optimum, or a bound where it is too large to solve.

    Where the units do not suffice for all deadlines, as little work as possible, as late as necessary, is done after
    them (a penalty far above all other costs): then it is the limit of policies that are as punctual.

    Raises:
        RuntimeError: Even weeks after the deadlines there is not enough of the units.
    """
    programme = _programme(jobs, truth, prices, capacity_units, late_hours=0.0)
    if len(programme.cost) > MOST_COLUMNS:
        bound = dual_bound(programme)
        notes = (f"optimum: a bound by the Lagrangian dual ({len(programme.cost):,} columns are too many to solve)",)
        return Bound(bound, notes)
    solution = solve(programme)
    if solution is not None:
        return Shared(_runs(programme, solution), ("optimum: of the linear relaxation, exact",))
    for late_hours in _LATE_HOURS:
        programme = _programme(jobs, truth, prices, capacity_units, late_hours)
        solution = solve(programme)
        if solution is not None:
            note = (
                "optimum: the units do not suffice for all deadlines; the linear relaxation does as little as possible "
                "after them, so that policies that are less punctual may be below it"
            )
            return Shared(_runs(programme, solution), (note,))
    raise RuntimeError(f"{capacity_units:g} units do not suffice to run the jobs even weeks after their deadlines")


def _programme(jobs: Workload, truth: Intensity, prices: Prices, capacity_units: float, late_hours: float) -> Programme:
    """The columns: hours of a job in a cell at a scale."""
    parts: list[tuple[npt.NDArray[np.int64], ...]] = []
    floats: list[tuple[FloatArray, ...]] = []
    cell_count = 0
    for start in range(0, len(jobs), _CHUNK):
        some = jobs.subset(slice(start, start + _CHUNK))
        deadline = some.arrival_hours + some.length_hours + some.max_wait_hours
        for begin, end in ((some.arrival_hours, deadline), (deadline, deadline + late_hours)):
            if late_hours == 0.0 and begin is deadline:
                continue
            cells = cut(begin, end, truth)
            cost = cost_of_hours(some, cells, prices)
            if begin is deadline:
                cost = cost + _penalty(some, cells, deadline, cost)
            job, column, scale = np.nonzero((cells.hours > 0)[:, :, None] & np.isfinite(cost))
            cell = np.unique(job * cells.hours.shape[1] + column, return_inverse=True)[1] + cell_count
            cell_count = int(cell.max(initial=cell_count - 1)) + 1
            hour = np.floor(cells.start_hours[job, column]).astype(np.int64)
            parts.append((job + start, hour, scale, cell))
            floats.append((cells.start_hours[job, column], cells.hours[job, column], cost[job, column, scale]))
    job, hour, scale, cell = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    begin_hours, room, cost_of = (np.concatenate(arrays) for arrays in zip(*floats, strict=True))
    return Programme(
        job=job,
        hour=hour,
        scale=scale,
        cell=cell,
        begin_hours=begin_hours,
        room_hours=room,
        cost=cost_of,
        speed=jobs.scaling.speed[scale],
        units=jobs.units[job] * (scale + 1),
        work=jobs.length_hours,
        capacity_units=capacity_units,
    )


def _penalty(jobs: Workload, cells: Cells, deadline: FloatArray, cost: FloatArray) -> FloatArray:
    worst = float(np.max(cost[np.isfinite(cost)], initial=1.0))
    late = cells.start_hours - deadline[:, None] + 1.0
    return np.asarray(10.0 * worst * late[:, :, None] * jobs.scaling.speed[None, None, :])


def _runs(programme: Programme, solution: Solution) -> Runs:
    """Runs from the begin of each cell, one scale after the other."""
    order = np.lexsort((programme.scale, programme.cell))
    hours = np.where(solution.hours[order] > 1e-9, solution.hours[order], 0.0)
    cell = programme.cell[order]
    total = np.cumsum(hours)
    before = total - hours
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    offset = before - np.repeat(before[first], np.diff(np.append(first, len(cell))))
    start = programme.begin_hours[order] + offset
    return tidy(programme.job[order], start, start + hours, programme.scale[order] + 1)
