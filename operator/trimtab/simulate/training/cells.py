"""The time in which each job may run, cut at full hours: a matrix of jobs and hours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, tidy

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Arrays have a row a job and a column an hour from the one in which its time begins.

    A cell without length is outside of the job's time.
    """

    start_hours: FloatArray
    hours: FloatArray
    """Length of each cell, 0 to 1."""
    grams_per_kwh: FloatArray
    """Infinite outside."""

    def used_from_begin(self, used_hours: FloatArray, before_hours: FloatArray | None = None) -> Runs:
        """Runs of one replica that take the first `used_hours` of each cell, after `before_hours` of it."""
        job, column = np.nonzero(used_hours > 0)
        start = self.start_hours[job, column]
        if before_hours is not None:
            start = start + before_hours[job, column]
        ones = np.ones(len(job), np.int64)
        return tidy(job.astype(np.int64), start, start + used_hours[job, column], ones)


def cut(begin_hours: FloatArray, end_hours: FloatArray, forecast: Intensity) -> Cells:
    """The cells of each job from its begin to its end, as far as the forecast goes.

    Args:
        begin_hours: Not before the forecast's first hour; one value a job.
        end_hours: One value a job.
        forecast: Intensity of the cells.
    """
    end_hours = np.minimum(end_hours, forecast.end_hour)
    first = np.floor(begin_hours)
    columns = max(int((np.ceil(end_hours) - first).max()), 1)
    hour = first[:, None] + np.arange(columns, dtype=np.float64)[None, :]
    start = np.maximum(hour, begin_hours[:, None])
    hours = np.maximum(np.minimum(hour + 1.0, end_hours[:, None]) - start, 0.0)
    index = np.minimum(hour.astype(np.int64) - forecast.first_hour, len(forecast.grams_per_kwh) - 1)
    value = np.where(hours > 0.0, forecast.grams_per_kwh[index], np.inf)
    return Cells(start, hours, value)


def fill_cheapest(cost: FloatArray, room: FloatArray, amount: FloatArray) -> FloatArray:
    """Takes `amount` of each row from its cheapest columns, the earlier first where cost is equal.

    Args:
        cost: Of a unit, a row a job; infinite where there is no room.
        room: How much can be taken of each.
        amount: To be taken, one value a row; where there is less room than that, all of it is taken.

    Returns:
        What is taken of each.
    """
    order = np.argsort(cost, axis=1, kind="stable")
    sorted_room = np.take_along_axis(room, order, axis=1)
    before = np.cumsum(sorted_room, axis=1) - sorted_room
    taken = np.clip(amount[:, None] - before, 0.0, sorted_room)
    result = np.zeros_like(room)
    np.put_along_axis(result, order, taken, axis=1)
    return result
