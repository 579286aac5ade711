"""What a training left: the model and its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.files import read_verified
from trimtab_workloads.train import model
from trimtab_workloads.train.sampling import Floats, Integers


@dataclass(frozen=True)
class Source:
    """A trained model with what it was trained on, and what it never saw."""

    model: model.DigitsCNN
    train_x: Floats
    train_y: Integers
    held_out_x: Floats
    held_out_y: Integers


def load(directory: Path) -> Source:
    """Reads a training's directory.

    Raises:
        ConfigError: A file is missing or damaged.
    """
    try:
        network = model.loads(read_verified(directory / "model.pt")).eval()
        with np.load(directory / "train.npz") as train, np.load(directory / "heldout.npz") as held_out:
            return Source(network, train["x"], train["y"], held_out["x"], held_out["y"])
    except FileNotFoundError as error:
        raise ConfigError(f"source: {error.filename} does not exist; is the training complete?") from error
    except ValueError as error:
        raise ConfigError(f"source: damaged: {error}") from error
