"""Run-at-once: the carbon-agnostic baseline that every saving is measured against. A job starts when it arrives."""

from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, whole
from trimtab.simulate.training.workload import Workload


def plan(jobs: Workload, forecast: Intensity) -> Runs:
    """Starts each job at its arrival, with one replica."""
    return whole(jobs.arrival_hours, jobs.length_hours)
