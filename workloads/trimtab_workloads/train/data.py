"""The digits: a fixed split, a deterministic order, and each rank's share of a batch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from trimtab_workloads.common.files import write_atomically

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

HELD_OUT_SAMPLES = 360
"""A fifth of the data, never trained on."""
HELD_OUT_FILE = "heldout.npz"
TRAINING_FILE = "train.npz"
# The split belongs to the data set, not to a run: accuracies of different runs and variants stay comparable.
SPLIT_SEED = 0
SHIFTED_SHARE = 0.5


@dataclass(frozen=True)
class Digits:
    """Images as [n, 1, 8, 8] in 0..1, labels as 0..9."""

    train_x: Floats
    train_y: Integers
    held_out_x: Floats
    held_out_y: Integers


def load() -> Digits:
    """Loads the digits, split with equal class shares. Needs no network: scikit-learn carries them."""
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    train_x, held_out_x, train_y, held_out_y = train_test_split(
        x, y.astype(np.int64), test_size=HELD_OUT_SAMPLES, stratify=y, random_state=SPLIT_SEED
    )
    return Digits(train_x, train_y, held_out_x, held_out_y)


def save(digits: Digits, directory: Path) -> None:
    """Writes both parts as .npz with `x` and `y`, for calibration, fine-tuning and evaluation."""
    for name, x, y in (
        (TRAINING_FILE, digits.train_x, digits.train_y),
        (HELD_OUT_FILE, digits.held_out_x, digits.held_out_y),
    ):
        buffer = io.BytesIO()
        np.savez(buffer, x=x, y=y)
        write_atomically(directory / name, buffer.getvalue())


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
