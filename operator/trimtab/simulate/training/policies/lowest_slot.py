"""Lowest-Slot: Hanafy et al., "Going Green for Less Green: Optimizing the Cost of Reducing Cloud Carbon Emissions",
ASPLOS 2024 (GAIA).
"""

import numpy as np

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, whole
from trimtab.simulate.training.workload import Workload


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Starts each job in the hour of the lowest intensity within its wait; it knows nothing of its length."""
    latest = jobs.arrival_hours + jobs.max_wait_hours
    columns = min(int(np.floor(latest.max())) - forecast.first_hour + 1, len(forecast.grams_per_kwh))
    hours = forecast.first_hour + np.arange(columns)
    open_to = (hours[None, :] >= np.floor(jobs.arrival_hours)[:, None]) & (hours[None, :] <= latest[:, None])
    lowest = np.argmin(np.where(open_to, forecast.grams_per_kwh[None, :columns], np.inf), axis=1)
    return whole(np.maximum(hours[lowest], jobs.arrival_hours), jobs.length_hours)
