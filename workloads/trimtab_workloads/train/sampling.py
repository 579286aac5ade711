"""Which samples a rank takes when, and how they are varied: decided by the seed alone, never by the world size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

SHIFTED_SHARE = 0.5


def epoch_order(samples: int, seed: int, epoch: int) -> Integers:
    """The order in which an epoch visits the samples: each exactly once, the same on every rank."""
    return np.random.default_rng((seed, epoch)).permutation(samples)


def shard(batch: Integers, rank: int, world_size: int) -> Integers:
    """A rank's part of a global batch: contiguous, sizes differ by at most one, empty if ranks outnumber samples."""
    return np.array_split(batch, world_size)[rank]


def augment(x: Floats, indices: Integers, seed: int, epoch: int) -> Floats:
    """Shifts about half of the images by up to one pixel.

    What happens to a sample depends on (seed, epoch, sample) alone, never on which rank or batch it is in, so that a
    training is the same with any world size.

    Args:
        x: All training images.
        indices: Those to take.
        seed: Of the training.
        epoch: Which visit this is.
    """
    draws = np.random.default_rng((seed, epoch, 1)).random((len(x), 3))[indices]
    shifts = np.where(draws[:, :1] < SHIFTED_SHARE, np.floor(draws[:, 1:] * 3), 1).astype(np.int64)
    padded = np.pad(x[indices], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), axis=(2, 3))
    return np.ascontiguousarray(windows[np.arange(len(indices)), :, shifts[:, 0], shifts[:, 1]])
