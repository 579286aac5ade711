"""What runs beside a job that adapts its batch: it learns step times, and picks the batch with the best goodput.

Pollux and trimtab have the same agent. They differ in how step times are fitted, and in how far a job may grow beyond
what it was measured with.
"""

from collections.abc import Callable, Sequence

from trimtab.plan.elastic.goodput import GoodputModel, GradientNoise
from trimtab.plan.elastic.limits import BatchLimits, BatchSplit, split_batch
from trimtab.plan.elastic.throughput import StepModel, StepSample
from trimtab.simulate.elastic.job import Measurement

Fit = Callable[[Sequence[StepSample]], StepModel]


class GoodputAgent:
    """Fits the step time to what the job measures, and picks the batch with the best goodput.

    Args:
        limits: of the batch.
        fit: of the step time.
        growth: a job may grow to so many times the replicas it has been measured with.
        first_replicas: most replicas before anything is measured.
        fixed_batch: for a job that runs on one GPU with this batch; None lets both be chosen.
    """

    def __init__(
        self, limits: BatchLimits, fit: Fit, growth: int, first_replicas: int, fixed_batch: int | None = None
    ) -> None:
        self.limits = limits
        self.fixed_batch = fixed_batch
        self._fit, self._growth, self._first_replicas = fit, growth, first_replicas
        self._samples: dict[tuple[int, int, int], StepSample] = {}
        self._steps: StepModel | None = None
        self.model: GoodputModel | None = None

    @property
    def most_replicas(self) -> int:
        """The limit to which the job may grow now."""
        if self.fixed_batch is not None:
            return 1
        measured = max((sample.replicas for sample in self._samples.values()), default=0)
        return min(max(self._growth * measured, self._first_replicas), self.limits.most_replicas)

    def observe(self, measurement: Measurement) -> None:
        """Refits when a configuration is measured for the first time; takes the gradient noise always."""
        key = measurement.nodes, measurement.replicas, measurement.local_batch
        if key not in self._samples:
            time = measurement.time
            self._samples[key] = StepSample(*key, time.compute_seconds, time.step_seconds)
            self._steps = self._fit(list(self._samples.values()))
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
