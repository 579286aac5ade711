"""Optimus: replicas one by one to the job whose remaining time they cut most, with the users' batch.

Peng et al., "Optimus: An Efficient Dynamic Resource Scheduler for Deep Learning Clusters", EuroSys 2018, with two
oracles as in the comparison of Pollux (OSDI 2021, "Optimus+Oracle"): the steps left until convergence and the step
time at any scale are known exactly.
"""

import math
from collections.abc import Sequence

from trimtab.plan.elastic.limits import split_batch
from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, replicas_of, take_emptiest
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import BatchAgent, ElasticJob
from trimtab.simulate.elastic.policy import RequestedBatch
from trimtab.simulate.inputs.pollux import TrainingRequest

UNSCALABLE = frozenset({"ncf"})
"""Too small to gain from more than one GPU; the comparison keeps them on one for all schedulers."""


class Optimus:
    """Greedy by marginal gain, recomputed in each round."""

    def __init__(self) -> None:
        self._step_seconds: dict[tuple[str, int, int, int], float] = {}

    def agent(self, request: TrainingRequest, application: Application) -> BatchAgent:
        """Keeps the batch that the user asked for."""
        return RequestedBatch(request.batch_size, application.limits)

    def allocate(self, jobs: Sequence[ElasticJob], shape: ClusterShape, now_seconds: float) -> dict[str, Placement]:
        """Gives each job a replica in order of arrival, then the rest by gain; a job whose count stays is not moved."""
        counts = self._counts(jobs, shape)
        kept = {
            job.name: job.placement for job in jobs if job.placement and replicas_of(job.placement) == counts[job.name]
        }
        free = free_gpus(shape, kept.values())
        for job in sorted(jobs, key=lambda job: counts[job.name]):
            if counts[job.name] and job.name not in kept:
                kept[job.name] = take_emptiest(free, counts[job.name])
        return kept

    def _counts(self, jobs: Sequence[ElasticJob], shape: ClusterShape) -> dict[str, int]:
        left = shape.gpus
        counts = {}
        gains = {}
        for job in jobs:
            counts[job.name] = min(left, 1)
            left -= counts[job.name]
            gains[job.name] = self._gain(job, shape, counts[job.name]) if left and counts[job.name] else 0.0
        by_name = {job.name: job for job in jobs}
        while left > 0 and max(gains.values()) > 0:
            name = max(gains, key=gains.__getitem__)
            counts[name] += 1
            gains[name] = self._gain(by_name[name], shape, counts[name])
            left -= 1
        return counts

    def _gain(self, job: ElasticJob, shape: ClusterShape, replicas: int) -> float:
        """Seconds that one more replica would save; 0 where no more are of use."""
        limits = job.application.limits
        most = 1 if job.application.name in UNSCALABLE else job.request.batch_size // limits.local_minimum
        if replicas + 1 > most:
            return 0.0
        saved = self._step(job, shape, replicas) - self._step(job, shape, replicas + 1)
        return saved * _steps_left(job)

    def _step(self, job: ElasticJob, shape: ClusterShape, replicas: int) -> float:
        """True time of a step with the replicas on as few nodes as hold them."""
        key = job.application.name, job.request.batch_size, replicas, shape.gpus_per_node
        if key not in self._step_seconds:
            each = shape.gpus_per_node
            placement = (each,) * (replicas // each) + ((replicas % each,) if replicas % each else ())
            split = split_batch(job.request.batch_size, replicas, job.application.limits)
            time = job.application.step_time(placement, split.local)
            self._step_seconds[key] = time.step_seconds + time.compute_seconds * (split.passes - 1)
        return self._step_seconds[key]


def _steps_left(job: ElasticJob) -> float:
    """Steps to the last epoch's end at the user's batch; 1 during the last epoch, where the oracle of the comparison
    ends.
    """
    last = job.application.epochs - 1
    if job.epoch >= last:
        return 1.0
    batch = job.request.batch_size
    return max(job.application.steps_after(batch, last) - job.application.steps_after(batch, job.epoch), math.ulp(1.0))
