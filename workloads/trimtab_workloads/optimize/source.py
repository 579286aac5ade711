"""What a training left: the model and its data."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.files import read_verified
from trimtab_workloads.train import model
from trimtab_workloads.train.architecture import DigitsNetwork
from trimtab_workloads.train.sampling import Floats, Integers


@dataclass(frozen=True)
class Source:
    """A trained model with what it was trained on, and what it never saw."""

    model: DigitsNetwork
    train_x: Floats
    train_y: Integers
    held_out_x: Floats
    held_out_y: Integers
    digest: str
    """SHA-256 of the model and of the training data: what any result of a step depends on."""


class TooLargeError(ConfigError):
    """A model is larger than `maxBytes` allows."""

    reason = "TooLarge"


def load(directory: Path, max_bytes: int = 2**31) -> Source:
    """Reads a training's directory: tensors and plain values, never code.

    Raises:
        TooLargeError: A file is larger than that.
        ConfigError: A file is missing or damaged.
    """
    try:
        for name in ("model.pt", "train.npz", "heldout.npz"):
            size = (directory / name).stat().st_size
            if size > max_bytes:
                raise TooLargeError(f"source: {directory / name} has {size} bytes, {max_bytes} are allowed (maxSize)")
        content = read_verified(directory / "model.pt")
        network = model.loads(content).eval()
        digest = hashlib.sha256(content)
        digest.update((directory / "train.npz").read_bytes())
        with np.load(directory / "train.npz") as train, np.load(directory / "heldout.npz") as held_out:
            return Source(network, train["x"], train["y"], held_out["x"], held_out["y"], digest.hexdigest())
    except FileNotFoundError as error:
        raise ConfigError(f"source: {error.filename} does not exist; is the training complete?") from error
    except (ValueError, KeyError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ConfigError(f"source: damaged: {error}") from error
