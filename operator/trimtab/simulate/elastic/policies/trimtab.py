"""trimtab: the planner of `plan/elastic`, fed with what an operator knows of the jobs.

That is: the total progress that the user declares and the progress made, the step times that the job has measured in
the configurations it ran in, and its present gradient noise. Nothing is carried from one job to another, nothing of
the future is known.
"""

from collections.abc import Callable, Sequence

from trimtab.plan.elastic.fit import fit_steps
from trimtab.plan.elastic.goodput import GoodputModel, GradientNoise
from trimtab.plan.elastic.limits import BatchLimits, BatchSplit, split_batch
from trimtab.plan.elastic.placement import ClusterShape, Placement
from trimtab.plan.elastic.planner import ElasticDemand, ElasticSettings, GpuPrice, plan_elastic
from trimtab.plan.elastic.throughput import StepModel, StepSample
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import RESTART_SECONDS, BatchAgent, ElasticJob, Measurement
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


class TrimtabAgent:
    """Fits the step time to what the job measures, and picks the batch with the best goodput.

    Args:
        limits: of the batch.
        fixed_batch: for a job that runs on one GPU with this batch; None lets both be chosen.
    """

    def __init__(self, limits: BatchLimits, fixed_batch: int | None = None) -> None:
        self.limits = limits
        self.fixed_batch = fixed_batch
        self._samples: dict[tuple[int, int, int], StepSample] = {}
        self._steps: StepModel | None = None
        self.model: GoodputModel | None = None

    @property
    def most_replicas(self) -> int:
        """The limit to which the job may grow now."""
        if self.fixed_batch is not None:
            return 1
        measured = max((sample.replicas for sample in self._samples.values()), default=0)
        return min(max(GROWTH * measured, FIRST_REPLICAS), self.limits.most_replicas)

    def observe(self, measurement: Measurement) -> None:
        """Refits when a configuration is measured for the first time; takes the gradient noise always."""
        key = measurement.nodes, measurement.replicas, measurement.local_batch
        if key not in self._samples:
            time = measurement.time
            self._samples[key] = StepSample(*key, time.compute_seconds, time.step_seconds)
            self._steps = fit_steps(list(self._samples.values()))
        noise = GradientNoise(measurement.gradient.square, measurement.gradient.variance)
        if self._steps and (self.model is None or self.model.steps is not self._steps or self.model.noise != noise):
            self.model = GoodputModel(self._steps, noise, self.limits)

    def split(self, nodes: int, replicas: int) -> BatchSplit:
        """The batch with the best predicted goodput; the initial one before anything is measured."""
        if self.fixed_batch is not None:
            return split_batch(self.fixed_batch, replicas, self.limits)
        if self.model is None:
            return split_batch(max(self.limits.initial, self.limits.local_minimum * replicas), replicas, self.limits)
        return self.model.best_split(nodes, replicas)


class Trimtab:
    """Asks the planner in each round.

    Args:
        prices: of GPUs over time.
    """

    def __init__(self, prices: Prices = no_price) -> None:
        self._prices = prices
        self._settings = ElasticSettings(restart_seconds=RESTART_SECONDS)
        self._agents: dict[str, TrimtabAgent] = {}

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """An agent that adapts the batch, but of jobs that do not scale."""
        limits = application.limits
        fixed = limits.maximum if request.application in UNSCALABLE else None
        self._agents[request.name] = TrimtabAgent(limits, fixed)
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
