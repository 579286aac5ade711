"""What a training is told."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from trimtab_workloads.common.config import ConfigError, WorkloadConfig

_WIDTHS = {"digits-cnn": (128,) * 6, "digits-encoder": (128,) * 4, "digits-gru": (128,) * 2}
RANK_VARIABLE = "JOB_COMPLETION_INDEX"


class TrainConfig(WorkloadConfig):
    """One training, the same for all its ranks."""

    name: str = Field(min_length=1)
    """Name of the TrainingWorkload."""
    namespace: str = Field(min_length=1)
    """Namespace of the TrainingWorkload."""
    model: Literal["digits-cnn", "digits-encoder", "digits-gru"] = "digits-cnn"
    """The network: convolutional, a transformer encoder, or recurrent."""
    dataset: Literal["digits"] = "digits"
    """The data: scikit-learn's copy of the UCI handwritten digits, 1,797 images of 8x8."""
    channels: tuple[int, ...] = Field(default=(), min_length=1, max_length=32)
    """Output channels of each convolution, or widths of the encoder's blocks or the recurrent layers; empty takes the
    model's own, for the CNN 98 MFLOP a sample."""
    epochs: int = Field(gt=0, le=100_000)
    """Visits of each training sample."""
    global_batch_size: int = Field(default=64, gt=0)
    """Samples an optimizer step, over all ranks together, whatever the world size."""
    learning_rate: float = Field(default=0.03, gt=0)
    """Peak of the schedule: linear warm-up, then cosine to zero."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Decides the split, the initial weights, the order of samples and their augmentation."""
    world_size: int = Field(default=1, gt=0)
    """Ranks that train together."""
    master_address: str = "127.0.0.1"
    """Host name or address of rank 0."""
    master_port: int = Field(default=29500, gt=0, lt=65536)
    """TCP port of the rendezvous on rank 0."""
    directory: Path
    """Where checkpoints, the model and the data for later steps go."""
    checkpoint_interval_seconds: float = Field(default=30, gt=0)
    """Time between checkpoints."""
    metrics_port: int = Field(default=9095, ge=0, lt=65536)
    """Where Prometheus scrapes; 0 takes a free port."""
    threads: int = Field(default=1, gt=0)
    """Threads of torch in each rank."""
    samples_per_second_limit: float | None = Field(default=None, gt=0)
    """Holds the whole training, all ranks together, to this pace."""
    rendezvous_timeout_seconds: float = Field(default=300, gt=0)
    """How long to wait for the other ranks to appear."""
    peer_timeout_seconds: float = Field(default=15, gt=0)
    """How long a collective operation may wait for a silent peer. A peer whose process ends is noticed at once."""

    @model_validator(mode="before")
    @classmethod
    def _own_widths(cls, given: Any) -> Any:
        # Filled in here, so that a checkpoint is of the same training whether its widths were given or not.
        if isinstance(given, dict) and not given.get("channels"):
            return {**given, "channels": _WIDTHS.get(given.get("model", "digits-cnn"), (1,))}
        return given

    def fingerprint(self) -> str:
        """Identifies the configuration, so that ranks of different generations of a Job never join each other."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def rank_of(config: TrainConfig) -> int:
    """This pod's rank, from the index of its Indexed Job; 0 when there is one rank and no index.

    Raises:
        ConfigError: The index is missing or outside 0..world_size-1.
    """
    text = os.environ.get(RANK_VARIABLE)
    if text is None and config.world_size == 1:
        return 0
    if text is None or not text.isdigit() or int(text) >= config.world_size:
        raise ConfigError(f"{RANK_VARIABLE}: must be a whole number in 0..{config.world_size - 1}, got {text!r}")
    return int(text)
