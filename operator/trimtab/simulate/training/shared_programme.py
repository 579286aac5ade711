"""The linear programme of jobs that share units, solved by HiGHS."""

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt

from trimtab.plan.highs import QuietHighs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Programme:
    """Hours of jobs in cells (job and hour) at scales: one column each. Arrays have one value a column."""

    job: IntArray
    hour: IntArray
    scale: IntArray
    """Replicas less one."""
    cell: IntArray
    """Number of the cell: columns of one cell share its time."""
    begin_hours: FloatArray
    room_hours: FloatArray
    """Length of the cell."""
    cost: FloatArray
    """Objective of an hour."""
    speed: FloatArray
    units: FloatArray
    """Held, by all replicas."""
    work: FloatArray
    """Of each job (hours of one replica)."""
    capacity_units: float


@dataclass(frozen=True)
class Solution:
    """The optimum."""

    hours: FloatArray
    """Of each column."""
    objective: float


def solve(programme: Programme) -> Solution | None:
    """The optimum; None where the units do not suffice.

    Raises:
        RuntimeError: The solver gave up.
    """
    solver = QuietHighs()
    solver.passModel(_model(programme))
    solver.run()
    status = solver.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise RuntimeError(f"the optimum's linear programme was not solved: {solver.modelStatusToString(status)}")
    hours = np.array(solver.getSolution().col_value)
    return Solution(np.clip(hours, 0.0, programme.room_hours), solver.getInfo().objective_function_value)


def _model(programme: Programme) -> highspy.HighsLp:
    columns = np.arange(len(programme.cost))
    jobs = len(programme.work)
    # A row is needed only for an hour in which the jobs could hold more than there is, and a cell of several scales.
    wanted = np.bincount(programme.hour, programme.units * programme.room_hours)
    hours = np.flatnonzero(wanted > programme.capacity_units)
    hour_row = np.full(len(wanted), -1)
    hour_row[hours] = jobs + np.arange(len(hours))
    scales = np.bincount(programme.cell)
    cells = np.flatnonzero(scales > 1)
    cell_row = np.full(len(scales), -1)
    cell_row[cells] = jobs + len(hours) + np.arange(len(cells))
    cell_room = np.zeros(len(scales))
    cell_room[programme.cell] = programme.room_hours
    rows = np.concatenate([programme.job, hour_row[programme.hour], cell_row[programme.cell]])
    values = np.concatenate([programme.speed, programme.units, np.ones(len(columns))])
    of_column = np.concatenate([columns, columns, columns])
    keep = rows >= 0
    order = np.argsort(of_column[keep], kind="stable")
    model = highspy.HighsLp()
    model.num_col_ = len(columns)
    model.num_row_ = jobs + len(hours) + len(cells)
    model.col_cost_ = programme.cost
    model.col_lower_ = np.zeros(len(columns))
    model.col_upper_ = programme.room_hours
    endless = highspy.kHighsInf
    model.row_lower_ = np.concatenate([programme.work, np.full(len(hours) + len(cells), -endless)])
    model.row_upper_ = np.concatenate(
        [np.full(jobs, endless), np.full(len(hours), programme.capacity_units), cell_room[cells]]
    )
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(of_column[keep], minlength=len(columns)))])
    model.a_matrix_.index_ = rows[keep][order]
    model.a_matrix_.value_ = values[keep][order]
    return model
