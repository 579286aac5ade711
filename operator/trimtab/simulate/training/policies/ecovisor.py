"""Ecovisor: Souza et al., "Ecovisor: A Virtual Energy System for Carbon-Efficient Applications", ASPLOS 2023, with the
limit on waiting that GAIA gives it (Hanafy et al., ASPLOS 2024).
"""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.cells import cut
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]

THRESHOLD_QUANTILE = 0.3
"""A job runs while intensity is below this quantile of the day after its arrival."""
_DAY_HOURS = 24.0


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Runs each job whenever intensity is below its threshold, and without a stop once it has waited all it may."""
    threshold = _thresholds(jobs.arrival_hours, forecast)
    latest = jobs.arrival_hours + jobs.length_hours + jobs.max_wait_hours
    cells = cut(jobs.arrival_hours, latest, forecast)
    wants_wait = np.where(cells.grams_per_kwh >= threshold[:, None], cells.hours, 0.0)
    waited_before = np.cumsum(wants_wait, axis=1) - wants_wait
    wait = np.clip(jobs.max_wait_hours[:, None] - waited_before, 0.0, wants_wait)
    room = cells.hours - wait
    worked_before = np.cumsum(room, axis=1) - room
    used = np.clip(jobs.length_hours[:, None] - worked_before, 0.0, room)
    return cells.used_from_begin(used, wait)


def _thresholds(arrival_hours: FloatArray, forecast: Intensity) -> FloatArray:
    day = cut(arrival_hours, arrival_hours + _DAY_HOURS, forecast)
    order = np.argsort(day.grams_per_kwh, axis=1, kind="stable")
    covered = np.cumsum(np.take_along_axis(day.hours, order, axis=1), axis=1)
    place = np.argmax(covered >= THRESHOLD_QUANTILE * covered[:, -1:], axis=1)
    rows = np.arange(len(arrival_hours))
    return np.asarray(day.grams_per_kwh[rows, order[rows, place]])
