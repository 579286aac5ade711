"""CarbonScaler: Hanafy et al., "CarbonScaler: Leveraging Cloud Workload Elasticity for Optimizing Carbon-Efficiency",
SIGMETRICS 2024.
"""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.cells import Cells, cut
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, tidy
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Adds replicas one by one where they do most work for their carbon, until the work fits; planned at arrival.

    An hour takes a further replica only after the one before it. A replica is added for the whole of an hour (what is
    left of it where the job arrives within it), so that the plan may do more than the work: the job ends when its
    work is done.
    """
    latest = jobs.arrival_hours + jobs.length_hours + jobs.max_wait_hours
    cells = cut(jobs.arrival_hours, latest, forecast)
    replicas = np.stack([_scale(cells, row, jobs.length_hours[row], jobs) for row in range(len(jobs))])
    return run_until_done(cells, replicas, jobs.length_hours, np.concatenate([[0.0], jobs.scaling.speed]))


def _scale(cells: Cells, row: int, work: float, jobs: Workload) -> IntArray:
    hours, most = cells.hours[row], jobs.most_replicas[row]
    gain = np.diff(jobs.scaling.speed[:most], prepend=0.0)
    price = np.diff(jobs.scaling.power[:most], prepend=0.0)
    usable = np.flatnonzero(hours > 0)
    value = gain[None, :] / (price[None, :] * np.maximum(cells.grams_per_kwh[row, usable, None], 1e-9))
    amount = hours[usable, None] * gain[None, :]
    replicas = np.zeros(len(hours), np.int64)
    # With falling gains a sort by value is in order within each hour; else the smallest value so far is what counts.
    ranked = np.minimum.accumulate(value, axis=1)
    order = np.argsort(-ranked, axis=None, kind="stable")
    done = np.cumsum(amount.ravel()[order])
    taken = order[: int(np.searchsorted(done, work * (1.0 - 1e-12))) + 1]
    np.add.at(replicas, usable[taken // len(gain)], 1)
    return replicas


def run_until_done(cells: Cells, replicas: IntArray, work: FloatArray, speed: FloatArray) -> Runs:
    """Runs the cells in order of time at their scales, until each job's work is done.

    Args:
        cells: Of the jobs.
        replicas: In each cell; a row a job.
        work: Hours of one replica, one value a job.
        speed: By replicas, from 0.
    """
    rate = speed[replicas]
    room = rate * cells.hours
    before = np.cumsum(room, axis=1) - room
    done = np.clip(work[:, None] - before, 0.0, room)
    job, column = np.nonzero(done > 0)
    start = cells.start_hours[job, column]
    end = start + done[job, column] / rate[job, column]
    return tidy(job.astype(np.int64), start, end, replicas[job, column])
