"""Suspend-resume: Wiesner et al., "Let's Wait Awhile: How Temporal Workload Shifting Can Reduce Carbon Emissions in
the Cloud", Middleware 2021 (its interrupting strategy, with the length known).
"""

from trimtab.simulate.training.cells import cut, fill_cheapest
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs
from trimtab.simulate.training.workload import Workload


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Runs each job in the hours of the lowest intensity until its deadline, planned once, at arrival."""
    latest = jobs.arrival_hours + jobs.length_hours + jobs.max_wait_hours
    cells = cut(jobs.arrival_hours, latest, forecast)
    return cells.used_from_begin(fill_cheapest(cells.grams_per_kwh, cells.hours, jobs.length_hours))
