"""A lower bound of the mean completion time of elastic jobs: no schedule of the workload is better, however much it
knows.

It is weak where many jobs that scale badly share the cluster: it lets each job use GPUs as well as its most efficient
scale does, and at once run as fast as its fastest scale does. Three bounds, of which the greatest counts:

- each job alone on the cluster;
- all jobs as one queue on one machine, each with the least GPU time that it needs, shortest remaining first (optimal
there: Schrage,
  Operations Research 1968);
- the mean time at which a job's work is done on that machine (least if the job with least GPU time goes first:
Goemans, SODA 1997), plus half
  the time that the job needs at its fastest from beginning to end.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.placement import ClusterShape
from trimtab.simulate.elastic.cluster import ROUND_SECONDS
from trimtab.simulate.elastic.ideal import Ideal
from trimtab.simulate.elastic.job import RESTART_SECONDS

FloatArray = npt.NDArray[np.float64]


def least_mean_completion_seconds(submit_seconds: FloatArray, ideals: Sequence[Ideal], shape: ClusterShape) -> float:
    """The bound.

    Args:
        submit_seconds: ascending. Shape: (jobs,).
        ideals: of each job.
        shape: the cluster.
    """
    # Jobs are placed at the end of a round, and their first start takes time too.
    start = np.maximum(np.ceil(submit_seconds / ROUND_SECONDS), 1.0) * ROUND_SECONDS + RESTART_SECONDS
    lengths = np.array([ideal.least_gpu_seconds for ideal in ideals]) / shape.gpus
    fastest = np.array([ideal.fastest_seconds for ideal in ideals])
    half = np.array([0.5 / ideal.fastest_gpu_share for ideal in ideals])
    alone = start + fastest
    queue, _ = _one_machine(start, lengths, by_remaining=True)
    _, means = _one_machine(start, lengths, by_remaining=False)
    return max(float(np.mean(bound - submit_seconds)) for bound in (alone, queue, means + half))


def _one_machine(start: FloatArray, lengths: FloatArray, *, by_remaining: bool) -> tuple[FloatArray, FloatArray]:
    """Preemptive schedule of one machine.

    Args:
        start: earliest time of each job.
        lengths: time that each needs.
        by_remaining: the job with least time left goes first; else the one with least in all.

    Returns:
        End of each job, and mean time at which its work is done.
    """
    order = np.argsort(start, kind="stable").tolist()
    left = lengths.copy()
    ends, moments = np.zeros(lengths.size), np.zeros(lengths.size)
    ready: list[tuple[float, int]] = []
    now, following = 0.0, 0
    while ready or following < len(order):
        if not ready:
            now = max(now, float(start[order[following]]))
        while following < len(order) and start[order[following]] <= now:
            job = order[following]
            heapq.heappush(ready, (float(lengths[job]), job))
            following += 1
        _, job = heapq.heappop(ready)
        until = float(start[order[following]]) if following < len(order) else np.inf
        run = min(float(left[job]), until - now)
        moments[job] += run * (now + run / 2)
        now += run
        left[job] -= run
        if left[job] <= 0:
            ends[job] = now
        else:
            heapq.heappush(ready, (float(left[job] if by_remaining else lengths[job]), job))
    return ends, moments / lengths
