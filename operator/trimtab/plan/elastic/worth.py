"""What a unit of each job's progress is worth, if the mean completion time is to be least.

Jobs whose speed depends on the GPUs that they hold, work left w_j, speed r_j(n): to minimize the sum of completion
times, each job has a constant worth p_j of its progress, and at any time the GPUs are to be divided so that the sum
of p_j r_j(n_j) over the jobs left is greatest (Pontryagin's principle: the dynamics do not depend on w_j, so the
costates are constant). Each completion must lower this greatest sum by one, as it lowers by one the count of jobs
that wait for their end. So, with the jobs in the order in which they end, the worths follow one by one from the last:
the greatest sum over the last k jobs is k. For speeds that are one power of n this gives the closed form of Berg,
Vesilo, Harchol-Balter, "heSRPT: Parallel Scheduling to Minimize Mean Slowdown", Performance Evaluation 2020.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

LEAST_SPEED = 1e-9
"""Of a job's greatest speed: below it a share of GPUs is taken for useless."""


def concave(speeds: FloatArray) -> FloatArray:
    """The least concave, nondecreasing function that is nowhere below: what sharing time between two scales can reach.

    Args:
        speeds: by GPUs, 0 first; the speed without GPUs is 0. Shape: (GPUs + 1,).
    """
    hull = [0]
    peak = int(np.argmax(speeds))
    for point in range(1, peak + 1):
        while len(hull) > 1:
            before, last = hull[-2], hull[-1]
            if (speeds[last] - speeds[before]) * (point - last) > (speeds[point] - speeds[last]) * (last - before):
                break
            hull.pop()
        hull.append(point)
    result = np.full(speeds.size, float(speeds[peak]))
    result[: peak + 1] = np.interp(np.arange(peak + 1), hull, speeds[hull])
    return result


def progress_worths(speeds: Sequence[FloatArray], weights: Sequence[float], gpu_price: float = 0.0) -> FloatArray:
    """Worth of a unit of progress of each job.

    Args:
        speeds: of each job, concave by GPUs, in the order in which the jobs are to end. Shape of each: (GPUs + 1,).
        weights: what each job's delay costs by unit of time.
        gpu_price: what a GPU costs by unit of time; a GPU then works only where its gain is above.

    Returns:
        Shape: (jobs,). A job that cannot progress is worth nothing.
    """
    worths = np.zeros(len(speeds))
    if len(speeds) == 0:
        return worths
    gpus = speeds[0].size - 1
    counts = np.arange(1, gpus + 1)
    gains = np.zeros(
        gpus
    )  # The greatest gains, net of the price, of one GPU each that the jobs so far make; descending.
    for index in reversed(range(len(speeds))):
        speed = speeds[index]
        if speed[-1] <= 0:
            continue
        best = np.concatenate([[0.0], np.cumsum(gains)])
        # With n GPUs the job reaches the target at this worth; the first n to reach it decides.
        missing = weights[index] + best[gpus] - best[gpus - counts] + gpu_price * counts
        worths[index] = float(np.min(missing / np.maximum(speed[1:], LEAST_SPEED * speed[-1])))
        gained = np.maximum(worths[index] * np.diff(speed) - gpu_price, 0.0)
        gains = np.sort(np.concatenate([gains, gained]))[::-1][:gpus]
    return worths
