"""What GAIA's policies that look at whole windows share: the starts that they consider."""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]


def windows(jobs: Workload, forecast: Intensity) -> tuple[FloatArray, FloatArray]:
    """Waits of 0, 1, 2, ... hours, as far as each job may wait, and the carbon of a run of expected length after each.

    Returns:
        waits: Hours, one a column.
        carbon: g/kWh x hours of a row a job and a column a wait; infinite where the wait is too long or the window
            goes beyond the forecast (the start at arrival is always there).
    """
    waits = np.arange(int(np.floor(jobs.max_wait_hours.max())) + 1, dtype=np.float64)
    starts = jobs.arrival_hours[:, None] + waits[None, :]
    ends = starts + jobs.expected_hours[:, None]
    carbon = forecast.integral(ends) - forecast.integral(starts)
    out = (waits[None, :] > jobs.max_wait_hours[:, None]) | (ends > forecast.end_hour)
    out[:, 0] = False
    return waits, np.where(out, np.inf, carbon)
