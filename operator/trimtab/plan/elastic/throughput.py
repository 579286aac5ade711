"""How long a training step takes at any scale: seven parameters that a few measured steps are enough to fit.

The model of Qiao et al., "Pollux: Co-adaptive Cluster Scheduling for Goodput-Optimized Deep Learning", OSDI 2021,
section 3.2.
"""

from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NOTHING = 1e-8
"""Seconds that stand for none, so that powers and logarithms stay finite."""


@dataclass(frozen=True)
class StepSample:
    """A measured step of one configuration."""

    nodes: int
    replicas: int
    local_batch: int
    """Samples of one pass on one replica."""
    compute_seconds: float
    """One pass forward and back, without waiting for gradients."""
    step_seconds: float
    """A step of one pass, gradients exchanged."""


@dataclass(frozen=True)
class StepModel:
    """Parameters (seconds) of the step time. The slowest link counts: between nodes if the job is on several, else
    within the node.
    """

    compute: float
    """Constant part of a pass."""
    compute_per_sample: float
    between_nodes: float
    """Constant part of an exchange of gradients between nodes."""
    between_nodes_per_replica: float
    """Part for each replica beyond the second."""
    within_node: float
    within_node_per_replica: float
    overlap: float
    """1: computing and exchanging follow each other; towards 10: they fully overlap."""

    def compute_seconds(self, local_batch: FloatArray | IntArray | float) -> FloatArray:
        """Time of one pass, gradients not exchanged."""
        return np.asarray(self.compute + self.compute_per_sample * local_batch)

    def exchange_seconds(self, several_nodes: npt.ArrayLike, replicas: npt.ArrayLike) -> FloatArray:
        """Time to exchange gradients."""
        several, count = np.asarray(several_nodes, dtype=bool), np.asarray(replicas)
        constant = np.where(several, self.between_nodes, np.where(count > 1, self.within_node, NOTHING))
        each = np.where(
            several, self.between_nodes_per_replica, np.where(count > 1, self.within_node_per_replica, NOTHING)
        )
        return np.asarray(constant + each * np.maximum(count - 2, NOTHING))

    def step_seconds(
        self, several_nodes: npt.ArrayLike, replicas: npt.ArrayLike, local: IntArray, passes: IntArray
    ) -> FloatArray:
        """Time of a whole step. Shapes broadcast.

        Args:
            several_nodes: whether the replicas are on more than one node.
            replicas: how many there are.
            local: samples of a pass on each replica.
            passes: passes before gradients are exchanged.
        """
        computing = self.compute_seconds(local)
        exchanging = self.exchange_seconds(several_nodes, replicas)
        last = np.logaddexp(self.overlap * np.log(computing), self.overlap * np.log(exchanging)) / self.overlap
        return np.asarray((passes - 1) * computing + np.exp(last))

    def values(self) -> tuple[float, ...]:
        """The parameters in order."""
        return astuple(self)
