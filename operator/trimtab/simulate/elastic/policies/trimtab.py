"""trimtab: the planner of `plan/elastic`, fed with what an operator knows of the jobs.

That is: the total progress that the user declares and the progress made, the step times that the job has measured in
the configurations it ran in, and its present gradient noise. Nothing is carried from one job to another, nothing of
the future is known.
"""

from collections.abc import Callable, Sequence

from trimtab.plan.elastic.fit import fit_steps
from trimtab.plan.elastic.placement import ClusterShape, Placement
from trimtab.plan.elastic.planner import ElasticDemand, ElasticSettings, GpuPrice, plan_elastic
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.goodput_agent import GoodputAgent
from trimtab.simulate.elastic.job import RESTART_SECONDS, BatchAgent, ElasticJob
from trimtab.simulate.elastic.policies.optimus import UNSCALABLE
from trimtab.simulate.inputs.pollux import TrainingRequest

FIRST_REPLICAS = 4
"""Most GPUs that a job starts with before anything is measured, if they are free: one node's."""
GROWTH = 4
"""A job may grow to so many times the replicas it has been measured with."""

Prices = Callable[[float], GpuPrice]
"""Price of a GPU at a time (seconds from the start of the workload), by the weight of a second of a job's delay."""


def no_price(now_seconds: float) -> GpuPrice:
    """Completion time alone counts."""
    return GpuPrice()


class Trimtab:
    """Asks the planner in each round.

    Args:
        prices: of GPUs over time.
    """

    def __init__(self, prices: Prices = no_price) -> None:
        self._prices = prices
        self._settings = ElasticSettings(restart_seconds=RESTART_SECONDS)
        self._agents: dict[str, GoodputAgent] = {}

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """An agent that adapts the batch, but of jobs that do not scale."""
        limits = application.limits
        fixed = limits.maximum if request.application in UNSCALABLE else None
        self._agents[request.name] = GoodputAgent(limits, fit_steps, GROWTH, FIRST_REPLICAS, fixed)
        return self._agents[request.name]

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """Plans a round."""
        demands = [self._demand(job) for job in jobs]
        decisions = plan_elastic(demands, shape, self._settings, self._prices(now_seconds))
        return {decision.key: decision.placement for decision in decisions}

    def _demand(self, job: ElasticJob) -> ElasticDemand:
        agent = self._agents[job.name]
        return ElasticDemand(
            key=job.name,
            placement=job.placement,
            work_left=job.application.total_progress - job.progress,
            model=agent.model,
            most_replicas=agent.most_replicas,
            fixed_batch=agent.fixed_batch,
        )
