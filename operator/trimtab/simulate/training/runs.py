"""When each job runs, and with how many replicas: what policies plan, what is carried out, what is accounted for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

INSTANT_HOURS = 1e-9
"""Shorter than this is no time at all: rounding."""


@dataclass(frozen=True)
class Runs:
    """Stretches in which jobs run, ordered by job and time; arrays have one value a stretch."""

    job: IntArray
    """Place of the job in its workload."""
    start_hours: FloatArray
    end_hours: FloatArray
    replicas: IntArray

    def __len__(self) -> int:
        return len(self.job)

    @property
    def hours(self) -> FloatArray:
        """Length of each."""
        return self.end_hours - self.start_hours


def none_at_all() -> Runs:
    """No run."""
    return Runs(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


def tidy(job: IntArray, start: FloatArray, end: FloatArray, replicas: IntArray) -> Runs:
    """Runs in order, without empty ones; what follows on at the same scale is joined."""
    keep = end - start > INSTANT_HOURS
    job, start, end, replicas = job[keep], start[keep], end[keep], replicas[keep]
    order = np.lexsort((start, job))
    job, start, end, replicas = job[order], start[order], end[order], replicas[order]
    if not len(job):
        return none_at_all()
    follows_on = (job[1:] == job[:-1]) & (replicas[1:] == replicas[:-1]) & (start[1:] - end[:-1] <= INSTANT_HOURS)
    first = np.concatenate([[True], ~follows_on])
    last = np.concatenate([~follows_on, [True]])
    return Runs(job[first], start[first], end[last], replicas[first])


def whole(start: FloatArray, hours: FloatArray) -> Runs:
    """One uninterrupted run a job, of one replica."""
    jobs = np.arange(len(start), dtype=np.int64)
    return tidy(jobs, start, start + hours, np.ones(len(start), np.int64))


def gather(parts: Sequence[tuple[IntArray, Runs]]) -> Runs:
    """Runs of parts of a workload as runs of the workload: each with the places of its jobs."""
    if not parts:
        return none_at_all()
    return tidy(
        np.concatenate([places[runs.job] for places, runs in parts]),
        np.concatenate([runs.start_hours for _, runs in parts]),
        np.concatenate([runs.end_hours for _, runs in parts]),
        np.concatenate([runs.replicas for _, runs in parts]),
    )
