"""trimtab: the planner of the operator itself, asked every hour, and when a job arrives."""

from trimtab.simulate.progress import track
from trimtab.simulate.training.account import Prices
from trimtab.simulate.training.control import Control
from trimtab.simulate.training.intensity import Forecasts
from trimtab.simulate.training.runs import Runs
from trimtab.simulate.training.workload import Workload


def simulate(
    jobs: Workload, forecasts: Forecasts, prices: Prices, capacity_units: float | None
) -> tuple[Runs, list[float], tuple[str, ...]]:
    """Runs the jobs by the planner's schedules; it learns of a job when it arrives, and of intensity by forecasts.

    Without a limit on units and with a perfect forecast, a job's plan stands. With a forecast that changes, all jobs
    are planned again at each full hour. With a limit, all jobs are planned again at each full hour, and a job that
    arrives within an hour is given what the others leave.

    Returns:
        What was run, how long each planning took (seconds), and what is to be said of it.
    """
    control = Control(jobs, forecasts, prices, capacity_units)
    for _ in track(control.hours(), "trimtab"):
        pass
    return control.result()
