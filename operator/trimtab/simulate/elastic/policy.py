"""What a policy of the elastic simulation has to offer."""

from collections.abc import Sequence
from typing import Protocol

from trimtab.plan.elastic.limits import BatchLimits, BatchSplit, split_batch
from trimtab.plan.elastic.placement import ClusterShape, Placement
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import BatchAgent, ElasticJob, Measurement
from trimtab.simulate.inputs.pollux import TrainingRequest


class ElasticPolicy(Protocol):
    """Divides the cluster between jobs, round by round."""

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """The agent that chooses the batch of a new job."""

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """Places the jobs that are submitted and not done.

        Args:
            jobs: in order of submission; not to be changed.
            shape: the cluster.
            now_seconds: from the start of the workload.

        Returns:
            Placement of each job by name; a job that is left out does not run.
        """


class RequestedBatch:
    """The agent of schedulers that keep the batch of the user."""

    def __init__(self, batch_size: int, limits: BatchLimits) -> None:
        self._batch_size = batch_size
        self._limits = limits

    def observe(self, measurement: Measurement) -> None:
        """Learns nothing."""

    def split(self, nodes: int, replicas: int) -> BatchSplit:
        """Spreads the same batch over the replicas."""
        return split_batch(self._batch_size, replicas, self._limits)
