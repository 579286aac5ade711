"""The loop of the elastic simulation: rounds in which jobs run, and between them the policy that places them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, replicas_of
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.job import ElasticJob, Usage
from trimtab.simulate.elastic.policy import ElasticPolicy
from trimtab.simulate.inputs.pollux import TrainingRequest

ROUND_SECONDS = 60
"""How often jobs are placed anew."""
PATIENCE_SECONDS = 30 * 24 * 3600.0
"""A policy under which no job ends for so long is stuck."""


class StuckError(RuntimeError):
    """A policy leaves jobs waiting for ever."""


@dataclass
class ClusterRun:
    """What happened."""

    jobs: list[ElasticJob]
    """In the order of the workload."""
    round_seconds: list[float] = field(default_factory=list)
    """Start of each round."""
    usages: list[dict[int, Usage]] = field(default_factory=list)
    """By round: GPU time of each job (by index) that held any."""
    held_gpus: list[int] = field(default_factory=list)
    waiting_or_running: list[int] = field(default_factory=list)
    plan_milliseconds: list[float] = field(default_factory=list)


def simulate(
    requests: Sequence[TrainingRequest],
    applications: dict[str, Application],
    policy: ElasticPolicy,
    shape: ClusterShape,
    on_completion: Callable[[int], None] = lambda done: None,
) -> ClusterRun:
    """Runs a workload to the end.

    Args:
        requests: the jobs, in order of submission.
        applications: by name.
        policy: places the jobs; used for this run only.
        shape: the cluster.
        on_completion: told how many jobs are done, whenever that changes.

    Raises:
        StuckError: no job ends for a month.
        ValueError: the policy gives out more GPUs than there are.
    """
    jobs = [
        ElasticJob(request, applications[request.application], policy.agent(request, applications[request.application]))
        for request in requests
    ]
    run = ClusterRun(jobs)
    now, done, last_end = 0.0, 0, 0.0
    while done < len(jobs):
        _run_round(run, now)
        now += ROUND_SECONDS
        active = [job for job in jobs if job.request.submit_seconds <= now and job.completion_seconds is None]
        if active:
            _place(run, policy, active, shape, now)
        finished = sum(job.completion_seconds is not None for job in jobs)
        if finished > done:
            done, last_end = finished, now
            on_completion(done)
        if now - max(last_end, max(job.request.submit_seconds for job in jobs)) > PATIENCE_SECONDS:
            waiting = ", ".join(job.name for job in active[:5])
            raise StuckError(f"no job ended for {PATIENCE_SECONDS / 3600:.0f} hours of the simulation; left: {waiting}")
    return run


def _run_round(run: ClusterRun, now: float) -> None:
    usages = {}
    for index, job in enumerate(run.jobs):
        if job.placement and job.completion_seconds is None:
            usages[index] = job.advance(now, ROUND_SECONDS)
    run.round_seconds.append(now)
    run.held_gpus.append(sum(replicas_of(run.jobs[index].placement) for index in usages))
    run.waiting_or_running.append(
        sum(job.request.submit_seconds <= now and (job.completion_seconds or now) >= now for job in run.jobs)
    )
    run.usages.append(usages)


def _place(run: ClusterRun, policy: ElasticPolicy, active: list[ElasticJob], shape: ClusterShape, now: float) -> None:
    started = time.perf_counter()
    placements: dict[str, Placement] = policy.allocate(active, shape, now)
    run.plan_milliseconds.append((time.perf_counter() - started) * 1000.0)
    free_gpus(shape, placements.values())
    for job in active:
        job.place(placements.get(job.name, ()))
