"""Static-oracle: the best fixed scale of each job, by oracle. Hanafy et al., "CarbonScaler: Leveraging Cloud Workload
Elasticity for Optimizing Carbon-Efficiency", SIGMETRICS 2024, compare with it.
"""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.cells import cut, fill_cheapest
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, tidy
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Runs each job at one scale in its cheapest hours: the smallest scale of those with the least carbon."""
    latest = jobs.arrival_hours + jobs.length_hours + jobs.max_wait_hours
    cells = cut(jobs.arrival_hours, latest, forecast)
    intensity = np.where(cells.hours > 0, cells.grams_per_kwh, 0.0)
    best: FloatArray = np.full(len(jobs), np.inf)
    used = np.zeros_like(cells.hours)
    scale = np.ones(len(jobs), np.int64)
    for index, (speed, power) in enumerate(zip(jobs.scaling.speed, jobs.scaling.power, strict=True)):
        taken = fill_cheapest(cells.grams_per_kwh, cells.hours, jobs.length_hours / speed)
        carbon = (taken * intensity).sum(axis=1) * power
        better = (carbon < best * (1.0 - 1e-12)) & (index < jobs.most_replicas)
        best = np.where(better, carbon, best)
        used[better] = taken[better]
        scale[better] = index + 1
    job, column = np.nonzero(used > 0)
    start = cells.start_hours[job, column]
    return tidy(job.astype(np.int64), start, start + used[job, column], scale[job])
