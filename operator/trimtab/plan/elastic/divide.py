"""Divides the GPUs of a cluster between jobs: so many to each that the sum of what they gain is greatest."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def scales(gpus: int, gpus_per_node: int) -> IntArray:
    """Scales that always fit side by side: divisors of a node in powers of two, then whole nodes.

    Sizes of which each divides the next leave no gap (Coffman, Garey, Johnson, "Bin Packing with Divisible Item
    Sizes", 1987). Where a node has a count of GPUs that is no power of two, the largest power below it and the whole
    node are offered.

    Returns:
        Ascending, from 0.
    """
    within = [2**power for power in range(gpus_per_node.bit_length()) if 2**power < gpus_per_node]
    nodes = range(gpus_per_node, gpus + 1, gpus_per_node)
    return np.array([0, *within, *nodes])


def divide(gains: Sequence[FloatArray], sizes: IntArray, capacity: int) -> IntArray:
    """Chooses a scale for each job, exactly (a knapsack with one choice for each job, by dynamic programming).

    Args:
        gains: of each job by scale; -inf where it may not have the scale. Shape of each: (scales,).
        sizes: GPUs of each scale; the first is 0. Shape: (scales,).
        capacity: GPUs in all.

    Returns:
        Index of each job's scale. Shape: (jobs,).

    Raises:
        ValueError: not even the least of each job fits.
    """
    best = np.zeros(capacity + 1)
    choices = np.zeros((len(gains), capacity + 1), dtype=np.int64)
    room = np.arange(capacity + 1)[:, None] - sizes[None]
    possible = room >= 0
    for index, gain in enumerate(gains):
        totals = np.where(possible, best[np.maximum(room, 0)] + gain[None], -np.inf)
        choices[index] = np.argmax(totals, axis=1)
        best = totals[np.arange(capacity + 1), choices[index]]
    if not np.isfinite(best[capacity]):
        raise ValueError(f"{len(gains)} jobs do not fit in {capacity} GPUs at the least that each must have")
    chosen = np.zeros(len(gains), dtype=np.int64)
    left = capacity
    for index in reversed(range(len(gains))):
        chosen[index] = choices[index, left]
        left -= int(sizes[chosen[index]])
    return chosen
