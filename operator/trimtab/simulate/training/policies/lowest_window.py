"""Lowest-Window: Hanafy et al., "Going Green for Less Green: Optimizing the Cost of Reducing Cloud Carbon Emissions",
ASPLOS 2024 (GAIA).
"""

import numpy as np

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.policies.windows import windows
from trimtab.simulate.training.runs import Runs, whole
from trimtab.simulate.training.workload import Workload


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Starts each job at the wait after which a run of its queue's mean length is of the least carbon."""
    waits, carbon = windows(jobs, forecast)
    return whole(jobs.arrival_hours + waits[np.argmin(carbon, axis=1)], jobs.length_hours)
