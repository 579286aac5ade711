"""What training really does in the simulation: step times and convergence, interpolated between measurements."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator

from trimtab.plan.elastic.limits import BatchLimits
from trimtab.simulate.inputs.pollux import ApplicationTrace, ConvergenceTrace

FloatArray = npt.NDArray[np.float64]

LOCAL_BATCH_LIMITS = {"yolov3": 8}
"""Most samples that a GPU holds, where it is less than what placements.csv goes up to: yolov3's scalability.csv ends
at 8."""
MEASURED_NODES = 16
"""The traces go up to so many nodes; more are taken for as many."""


@dataclass(frozen=True)
class StepTime:
    """A training step with one pass over the local batch."""

    step_seconds: float
    sync_seconds: float

    @property
    def compute_seconds(self) -> float:
        """What one pass takes without waiting for gradients."""
        return self.step_seconds - self.sync_seconds


@dataclass(frozen=True)
class GradientStatistics:
    """Squared norm of the gradient and its variance at the initial batch; only their ratio counts."""

    square: float
    variance: float

    def gain(self, scale: float) -> float:
        """Steps of the initial batch that one step with a batch `scale` times as large is worth (AdaScale, Johnson et
        al., ICML 2020).
        """
        return (self.variance + self.square) / (self.variance / scale + self.square)


@dataclass(frozen=True)
class Application:
    """One application: how fast a step is on a placement, and what a step is worth at a batch in an epoch."""

    trace: ApplicationTrace
    _steps: dict[tuple[tuple[int, ...], int], StepTime] = field(default_factory=dict, repr=False)
    _statistics: dict[tuple[int, int], GradientStatistics] = field(default_factory=dict, repr=False)
    _gains: dict[int, FloatArray] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Name of the application."""
        return self.trace.name

    @cached_property
    def limits(self) -> BatchLimits:
        """Batches that the traces cover."""
        local = np.concatenate([trace.local_batch for trace in self.trace.placements.values()])
        return BatchLimits(
            initial=self.trace.convergence[0].batch_size,
            maximum=self.trace.convergence[-1].batch_size,
            local_minimum=int(local.min()),
            local_maximum=LOCAL_BATCH_LIMITS.get(self.name, int(local.max())),
        )

    @cached_property
    def epochs(self) -> int:
        """Epochs until it is done."""
        return min(len(trace.progress) for trace in self.trace.convergence)

    @cached_property
    def epoch_progress(self) -> FloatArray:
        """Progress at the end of each epoch, in steps of the initial batch. Shape: (epochs,)."""
        return np.asarray(np.min([trace.progress[: self.epochs] for trace in self.trace.convergence], axis=0))

    @property
    def total_progress(self) -> float:
        """Progress at which it is done."""
        return float(self.epoch_progress[-1])

    def steps_after(self, batch_size: int, epoch: int) -> float:
        """Steps that training at this batch takes to the end of an epoch (counted from 0)."""
        lower, upper = self._around(batch_size)
        share = _share(batch_size, lower, upper)
        return float((1.0 - share) * lower.steps[epoch] + share * upper.steps[epoch])

    def gradient_statistics(self, batch_size: int, epoch: int) -> GradientStatistics:
        """What the gradients are like in an epoch (counted from 0) at a batch."""
        key = batch_size, epoch
        if key not in self._statistics:
            lower, upper = self._around(batch_size)
            share = _share(batch_size, lower, upper)
            self._statistics[key] = GradientStatistics(
                float((1.0 - share) * lower.gradient_square[epoch] + share * upper.gradient_square[epoch]),
                float((1.0 - share) * lower.gradient_variance[epoch] + share * upper.gradient_variance[epoch]),
            )
        return self._statistics[key]

    def gains(self, batch_size: int) -> FloatArray:
        """Worth of a step at a batch, in steps of the initial batch. Shape: (epochs,)."""
        if batch_size not in self._gains:
            scale = batch_size / self.limits.initial
            lower, upper = self._around(batch_size)
            share = _share(batch_size, lower, upper)
            square, variance = (
                ((1.0 - share) * low + share * high)[: self.epochs]
                for low, high in (
                    (lower.gradient_square, upper.gradient_square),
                    (lower.gradient_variance, upper.gradient_variance),
                )
            )
            self._gains[batch_size] = np.asarray((variance + square) / (variance / scale + square))
        return self._gains[batch_size]

    def step_time(self, placement: tuple[int, ...], local_batch: int) -> StepTime:
        """Time of a step with one pass.

        Args:
            placement: replicas on each node that has any, in the order of the ring.
            local_batch: samples that each replica holds.

        Raises:
            ValueError: the traces do not reach so far.
        """
        ring = min(placement[i:] + placement[:i] for i in range(len(placement)))
        key = ring, local_batch
        if key not in self._steps:
            self._steps[key] = self._interpolate(ring, local_batch)
        return self._steps[key]

    def _interpolate(self, ring: tuple[int, ...], local_batch: int) -> StepTime:
        trace = self.trace.placements.get(ring)
        if trace is not None and trace.local_batch[0] <= local_batch <= trace.local_batch[-1]:
            step = float(np.interp(local_batch, trace.local_batch, trace.step_seconds))
            sync = float(np.interp(local_batch, trace.local_batch, trace.sync_seconds))
        elif trace is not None:
            step = math.nan
        else:
            step, sync = self._surface([[min(len(ring), MEASURED_NODES), sum(ring), local_batch]])[0].tolist()
        if math.isnan(step):
            raise ValueError(
                f"the traces of {self.name} have nothing near {local_batch} samples on each of {sum(ring)} GPUs"
                f" of {len(ring)} nodes"
            )
        return StepTime(step, sync)

    @cached_property
    def _surface(self) -> LinearNDInterpolator:
        """Step and sync time by nodes, replicas and local batch; placements of as many nodes and replicas are
        averaged.
        """
        sums: dict[tuple[int, int, float], list[tuple[float, float]]] = {}
        for ring, trace in self.trace.placements.items():
            rows = zip(
                trace.local_batch.tolist(), trace.step_seconds.tolist(), trace.sync_seconds.tolist(), strict=True
            )
            for local, step, sync in rows:
                sums.setdefault((len(ring), sum(ring), local), []).append((step, sync))
        keys = sorted(sums)
        scaling = self.trace.scaling
        points = np.vstack([np.array(keys), np.column_stack([scaling.nodes, scaling.replicas, scaling.local_batch])])
        values = np.vstack(
            [
                np.array([np.mean(sums[key], axis=0) for key in keys]),
                np.column_stack([scaling.step_seconds, scaling.sync_seconds]),
            ]
        )
        return LinearNDInterpolator(points, values)

    def _around(self, batch_size: int) -> tuple[ConvergenceTrace, ConvergenceTrace]:
        traces = self.trace.convergence
        lower = [trace for trace in traces if trace.batch_size <= batch_size]
        upper = [trace for trace in traces if trace.batch_size >= batch_size]
        if not lower or not upper:
            raise ValueError(
                f"{self.name} was not traced at a batch of {batch_size};"
                f" it may be {self.limits.initial} to {self.limits.maximum}"
            )
        return lower[-1], upper[0]


def _share(at: int, lower: ConvergenceTrace, upper: ConvergenceTrace) -> float:
    """Where a batch is between two traced ones: 0 at the lower, 1 at the upper."""
    return 0.0 if lower is upper else (at - lower.batch_size) / (upper.batch_size - lower.batch_size)
