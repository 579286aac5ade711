"""Run at once: each job as soon as as many GPUs are free as its user asked for, in order of arrival; never moved or
stopped.
"""

from collections.abc import Sequence

from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, take_emptiest
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import BatchAgent, ElasticJob
from trimtab.simulate.elastic.policy import RequestedBatch
from trimtab.simulate.inputs.pollux import TrainingRequest


class RunAtOnce:
    """First come, first served; a job that does not fit does not hold up smaller ones behind it."""

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """Keeps the batch that the user asked for."""
        return RequestedBatch(request.batch_size, application.limits)

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """Keeps what runs and starts what fits."""
        placements = {job.name: job.placement for job in jobs if job.placement}
        free = free_gpus(shape, placements.values())
        for job in jobs:
            if job.name not in placements and job.request.replicas <= sum(free):
                placements[job.name] = take_emptiest(free, job.request.replicas)
        return placements
