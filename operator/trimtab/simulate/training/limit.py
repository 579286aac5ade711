"""The offline optimum: what no policy can do better than, with perfect knowledge of jobs and intensity."""

from dataclasses import dataclass, replace

from trimtab.simulate.results import Outcomes, PolicyResult
from trimtab.simulate.training.account import Prices, account
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.optimum import optimum
from trimtab.simulate.training.shared_optimum import Bound, shared_optimum
from trimtab.simulate.training.workload import Workload

_NAME = "optimum"


@dataclass(frozen=True)
class Limit:
    """The optimum as a result, and its objective."""

    result: PolicyResult
    objective: float
    """US dollars with a price of carbon, grams without one."""


def limit(jobs: Workload, truth: Intensity, prices: Prices, capacity_units: float | None) -> Limit:
    """The optimum of a workload.

    Without a limit on units, or where the best runs of all jobs fit into it, each job is at its own best. Else it is
    the optimum of a linear relaxation (units are shared within an hour, and jobs may stop at any instant), or for
    large workloads a bound by its Lagrangian dual; the notes say which.
    """
    runs = optimum(jobs, truth, prices)
    notes = (
        ("optimum: each job at its own best, exact",)
        if jobs.switch_hours == 0
        else ("optimum: without the overhead of starts, a bound",)
    )
    result = account(_NAME, runs, jobs, truth, prices, notes=notes)
    if capacity_units is None or float(result.timeline.units.max()) <= capacity_units:
        return Limit(result, prices.objective(result.cost, result.carbon_g))
    shared = shared_optimum(jobs, truth, prices, capacity_units)
    if isinstance(shared, Bound):
        # A bound has no schedule: only what it is a bound of is known.
        return Limit(_of_bound(result, shared, prices), shared.objective)
    result = account(_NAME, shared.runs, jobs, truth, prices, notes=shared.notes)
    return Limit(result, prices.objective(result.cost, result.carbon_g))


def _of_bound(alone: PolicyResult, bound: Bound, prices: Prices) -> PolicyResult:
    grams = bound.objective if prices.usd_per_gram == 0 else float("nan")
    return replace(
        alone,
        carbon_g=grams,
        mean_wait_h=None,
        mean_jct_h=None,
        deadline_misses=None,
        outcomes=Outcomes(),
        notes=bound.notes,
    )
