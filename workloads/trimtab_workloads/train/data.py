"""The digits: loaded, split once and for all, and written for the steps that come after training."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from trimtab_workloads.common.files import write_atomically
from trimtab_workloads.train.sampling import Floats, Integers

HELD_OUT_SAMPLES = 360
"""A fifth of the data, never trained on."""
HELD_OUT_FILE = "heldout.npz"
TRAINING_FILE = "train.npz"
# The split belongs to the data set, not to a run: accuracies of different runs and variants stay comparable.
SPLIT_SEED = 0


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
