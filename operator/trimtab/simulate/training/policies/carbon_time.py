"""Carbon-Time: Hanafy et al., "Going Green for Less Green: Optimizing the Cost of Reducing Cloud Carbon Emissions",
ASPLOS 2024 (GAIA).
"""

import numpy as np

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.policies.windows import windows
from trimtab.simulate.training.runs import Runs, whole
from trimtab.simulate.training.workload import Workload


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Starts each job at the wait that saves most carbon for each hour to completion, by its queue's mean length."""
    waits, carbon = windows(jobs, forecast)
    completion = waits[None, :] + jobs.expected_hours[:, None]
    saved = np.where(np.isfinite(carbon), (carbon[:, :1] - carbon) / completion, -np.inf)
    return whole(jobs.arrival_hours + waits[np.argmax(saved, axis=1)], jobs.length_hours)
