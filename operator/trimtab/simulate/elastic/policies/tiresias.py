"""Tiresias: two queues by attained service, so that short jobs need not wait for long ones, with the users' scale and
batch.

Gu et al., "Tiresias: A GPU Cluster Manager for Distributed Deep Learning", NSDI 2019: discretized two-dimensional
least attained service. As in the comparison of Pollux (OSDI 2021): two queues, the first up to 16 GPU-hours, first in
first out within each; no promotion of starved jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, take_emptiest
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import BatchAgent, ElasticJob
from trimtab.simulate.elastic.policy import RequestedBatch
from trimtab.simulate.inputs.pollux import TrainingRequest

QUEUE_GPU_SECONDS = 16 * 3600
"""Attained service after which a job goes to the second queue."""


@dataclass
class _Standing:
    """Where a job stands."""

    running: bool = False
    executed_seconds: float = 0.0
    checked_seconds: float = 0.0
    demoted: int = 0
    """Its place among those that were demoted; 0 while it is in the first queue."""


class Tiresias:
    """Two queues, preemptive."""

    def __init__(self) -> None:
        self._standing: dict[str, _Standing] = {}
        self._demotions = 0

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """Keeps the batch that the user asked for."""
        return RequestedBatch(request.batch_size, application.limits)

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """Runs the jobs in the order of the queues as far as the GPUs reach; those that still run stay where they
        are.
        """
        self._standing = {job.name: self._standing.get(job.name, _Standing()) for job in jobs}
        for job in jobs:
            self._account(job, now_seconds)
        # Sorting is stable: within the first queue the order stays that of arrival.
        queue = sorted(jobs, key=lambda job: self._standing[job.name].demoted)
        left = shape.gpus
        for job in queue:
            standing = self._standing[job.name]
            standing.running = job.request.replicas <= left
            if standing.running:
                left -= job.request.replicas
        kept = {job.name: job.placement for job in queue if job.placement and self._standing[job.name].running}
        free = free_gpus(shape, kept.values())
        for job in queue:
            if self._standing[job.name].running and job.name not in kept:
                kept[job.name] = take_emptiest(free, job.request.replicas)
        return kept

    def _account(self, job: ElasticJob, now_seconds: float) -> None:
        standing = self._standing[job.name]
        if standing.running:
            standing.executed_seconds += now_seconds - standing.checked_seconds
            if not standing.demoted and standing.executed_seconds * job.request.replicas >= QUEUE_GPU_SECONDS:
                self._demotions += 1
                standing.demoted = self._demotions
        standing.checked_seconds = now_seconds
