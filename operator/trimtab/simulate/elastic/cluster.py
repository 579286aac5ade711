"""The loop of the elastic simulation: rounds in which jobs run, and between them the policy that places them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from trimtab.plan.elastic.placement import ClusterShape, free_gpus
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


@dataclass(frozen=True)
class Round:
    """What happened in a round."""

    start_seconds: float
    usages: dict[int, Usage]
    """GPU time of each job that held any, by its index in the workload."""
    present: int
    """Jobs that were submitted and not done at its start."""


@dataclass
class ClusterRun:
    """A simulation: its jobs, and the rounds so far."""

    jobs: list[ElasticJob]
    """In the order of the workload."""
    policy: ElasticPolicy
    shape: ClusterShape
    rounds: list[Round] = field(default_factory=list)
    plan_milliseconds: list[float] = field(default_factory=list)
    """How long the policy took in each round in which there were jobs."""

    def completions(self) -> Iterator[str]:
        """Runs to the end.

        Yields:
            The name of each job when the round in which it ends is over.

        Raises:
            StuckError: no job ends for a month.
            ValueError: the policy gives out more GPUs than there are.
        """
        now, quiet_since = 0.0, max((job.request.submit_seconds for job in self.jobs), default=0.0)
        left = list(self.jobs)
        while left:
            self._run_round(now)
            now += ROUND_SECONDS
            ended = [job for job in left if job.completion_seconds is not None]
            left = [job for job in left if job.completion_seconds is None]
            active = [job for job in left if job.request.submit_seconds <= now]
            if active:
                self._place(active, now)
            if ended:
                quiet_since = max(now, quiet_since)
                yield from (job.name for job in ended)
            if now - quiet_since > PATIENCE_SECONDS:
                waiting = ", ".join(job.name for job in left[:5])
                raise StuckError(f"no job ended for {PATIENCE_SECONDS / 3600:.0f} simulated hours; left are {waiting}")

    def _run_round(self, now: float) -> None:
        present = [
            (index, job)
            for index, job in enumerate(self.jobs)
            if job.request.submit_seconds <= now and job.completion_seconds is None
        ]
        usages = {index: job.advance(now, ROUND_SECONDS) for index, job in present if job.placement}
        self.rounds.append(Round(now, usages, len(present)))

    def _place(self, active: list[ElasticJob], now: float) -> None:
        started = time.perf_counter()
        placements = self.policy.allocate(active, self.shape, now)
        self.plan_milliseconds.append((time.perf_counter() - started) * 1000.0)
        free_gpus(self.shape, placements.values())
        for job in active:
            job.place(placements.get(job.name, ()))


def prepare(
    requests: Sequence[TrainingRequest],
    applications: dict[str, Application],
    policy: ElasticPolicy,
    shape: ClusterShape,
) -> ClusterRun:
    """Sets a simulation up.

    Args:
        requests: the jobs, in order of submission.
        applications: by name.
        policy: places the jobs; for this run only, as it keeps state.
        shape: the cluster.
    """
    jobs = []
    for request in requests:
        application = applications[request.application]
        jobs.append(ElasticJob(request, application, policy.agent(request, application)))
    return ClusterRun(jobs, policy, shape)
