"""Goodput: how fast a job progresses at a scale with the batch that suits it best there.

Goodput is throughput times statistical efficiency: Qiao et al., "Pollux: Co-adaptive Cluster Scheduling for
Goodput-Optimized Deep Learning", OSDI 2021, section 3. Efficiency follows from the noise of the gradient (McCandlish
et al., "An Empirical Model of Large-Batch Training", 2018).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.limits import TOLERANCE, BatchLimits, BatchSplit, split_batch
from trimtab.plan.elastic.throughput import StepModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BATCHES = 50
"""Global batches that are tried for each scale, in geometric steps."""


@dataclass(frozen=True)
class GradientNoise:
    """What a job reports of its gradients: squared norm, and variance at the initial batch. Only their ratio counts."""

    square: float
    variance: float

    def efficiency(self, scale: FloatArray) -> FloatArray:
        """Worth of a sample against one of the initial batch.

        Args:
            scale: batch over the initial batch.
        """
        below = self.variance / scale + self.square
        gain = np.where(below > 0, (self.variance + self.square) / np.where(below > 0, below, 1.0), 1.0)
        return np.asarray(gain / scale)


@dataclass(frozen=True)
class BestBatches:
    """For each scale: how to split the best batch, and the goodput it gives. Shape of each: (scales,)."""

    goodput: FloatArray
    """Samples a second, each worth one at the initial batch."""
    local: IntArray
    passes: IntArray


@dataclass(frozen=True)
class GoodputModel:
    """Predicts goodput from fitted step times and reported gradient noise."""

    steps: StepModel
    noise: GradientNoise
    limits: BatchLimits

    def best_batches(self, several_nodes: BoolArray, replicas: IntArray) -> BestBatches:
        """Finds the best batch of each scale.

        Args:
            several_nodes: whether the replicas are on more than one node. Shape: (scales,).
            replicas: at least 1. Shape: (scales,).
        """
        limits = self.limits
        least = np.maximum(limits.initial, limits.local_minimum * replicas).astype(float)
        fractions = np.linspace(0.0, 1.0, BATCHES)[:, None]
        batch = least * (limits.maximum / least) ** fractions
        share = batch / replicas
        passes = np.ceil(share / limits.local_maximum - TOLERANCE)
        alone = (replicas == 1) & (share > limits.initial + TOLERANCE)
        passes = np.where(alone, np.maximum(passes, 2.0), passes).astype(np.int64)
        local = np.ceil(share / passes - TOLERANCE).astype(np.int64)
        batch = (replicas * local * passes).astype(float)
        seconds = self.steps.step_seconds(several_nodes, replicas, local, passes)
        goodput = batch / seconds * self.noise.efficiency(batch / limits.initial)
        goodput = np.where((limits.local_minimum <= local) & (local <= limits.local_maximum), goodput, 0.0)
        best = np.argmax(goodput, axis=0), np.arange(replicas.size)
        return BestBatches(goodput[best], local[best], passes[best])

    def speeds(self, replicas: IntArray, gpus_per_node: int, fixed_batch: int | None = None) -> FloatArray:
        """Speed by scale: see `progress_speeds`."""
        return progress_speeds(self, replicas, gpus_per_node, fixed_batch)

    def best_split(self, nodes: int, replicas: int) -> BatchSplit:
        """The best batch on a placement, split; never above the maximum."""
        best = self.best_batches(np.array([nodes > 1]), np.array([replicas]))
        passes = int(best.passes[0])
        return BatchSplit(min(int(best.local[0]), self.limits.maximum // (replicas * passes)), passes)


def progress_speeds(
    model: GoodputModel, replicas: IntArray, gpus_per_node: int, fixed_batch: int | None = None
) -> FloatArray:
    """Speed of a job by scale, on as few nodes as hold it.

    Args:
        model: of the job.
        replicas: scales to predict; 0 is allowed. Shape: (scales,).
        gpus_per_node: of the cluster.
        fixed_batch: the batch of a job that keeps it; None chooses the best for each scale.

    Returns:
        Steps of the initial batch a second; 0 where the job cannot have the scale. Shape: (scales,).
    """
    running = replicas > 0
    counts = replicas[running]
    several = counts > gpus_per_node
    if fixed_batch is None:
        goodput = model.best_batches(several, counts).goodput
    else:
        splits = [split_batch(fixed_batch, int(count), model.limits) for count in counts]
        local = np.array([split.local for split in splits], dtype=np.int64)
        passes = np.array([split.passes for split in splits], dtype=np.int64)
        batch = (counts * local * passes).astype(float)
        seconds = model.steps.step_seconds(several, counts, np.maximum(local, 1), passes)
        efficiency = model.noise.efficiency(np.maximum(batch, 1.0) / model.limits.initial)
        goodput = np.where(local >= model.limits.local_minimum, batch / seconds * efficiency, 0.0)
    speeds = np.zeros(replicas.size)
    speeds[running] = np.where(counts <= model.limits.most_replicas, goodput, 0.0) / model.limits.initial
    return speeds
