"""Plans jobs at their arrival, by what is forecast at that hour."""

import time
from collections.abc import Callable

import numpy as np

from trimtab.simulate.progress import track
from trimtab.simulate.training.intensity import Forecasts, Intensity
from trimtab.simulate.training.runs import Runs, gather
from trimtab.simulate.training.workload import Workload

Plan = Callable[[Workload, Intensity], Runs]
"""Plans jobs that arrive within the first hour of a forecast, each for itself."""

_HORIZON_MARGIN_HOURS = 25.0
"""How far beyond the last deadline a forecast is asked for: policies look at days and at hours that begin in time."""


def plan_at_arrival(policy: str, plan: Plan, jobs: Workload, forecasts: Forecasts) -> tuple[Runs, list[float]]:
    """Plans all jobs of a workload, those that arrive within the same hour together, and never again.

    Returns:
        What is planned, and how long each planning took (seconds).
    """
    hour_of = np.floor(jobs.arrival_hours).astype(np.int64)
    hours, first = np.unique(hour_of, return_index=True)
    bounds = np.append(first, len(jobs))
    parts, seconds = [], []
    for index in track(range(len(hours)), policy):
        places = np.arange(bounds[index], bounds[index + 1])
        some = jobs.subset(places)
        ahead = max(
            float(some.deadline_hours.max()),
            float((some.arrival_hours + some.max_wait_hours + some.expected_hours).max()),
        )
        hour = int(hours[index])
        forecast = forecasts.issued(hour, int(np.ceil(ahead + _HORIZON_MARGIN_HOURS)) - hour)
        begin = time.perf_counter()
        runs = plan(some, forecast)
        seconds.append(time.perf_counter() - begin)
        parts.append((places, runs))
    return gather(parts), seconds
