"""Everything that a training needs to go on: weights, optimizer, position, and the ledger of work done."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

import torch
from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.train.architecture import DigitsNetwork
from trimtab_workloads.train.config import TrainConfig
from trimtab_workloads.train.model import create
from trimtab_workloads.train.sampling import Integers

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
# What decides which samples the next step takes: a resumed training must agree in them with the one it goes on from.
IDENTITY = ("dataset", "model", "channels", "global_batch_size", "seed")


@dataclass
class TrainState:
    """A training between two steps."""

    model: DigitsNetwork
    optimizer: torch.optim.Optimizer
    visits: Integers
    """How often each training sample was trained on, by all ranks together, as of the last ledger."""
    step: int = 0
    """Optimizer steps done."""
    completed_samples: int = 0
    """Sample visits done."""
    resumes: int = 0
    """How often the training went on from a checkpoint."""
    training_seconds: float = 0.0
    """Time spent in the training loop, over all resumes."""
    loss: float = float("nan")
    """Mean training loss of the last step."""


def start(config: TrainConfig, samples: int) -> TrainState:
    """A training before its first step."""
    model = create(config.channels, config.seed, config.model)
    return TrainState(model, _optimizer(model, config), np.zeros(samples, dtype=np.int64))


def _optimizer(model: DigitsNetwork, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        nesterov=True,
    )


def dumps(state: TrainState, config: TrainConfig) -> bytes:
    """The state as the content of a checkpoint."""
    identity = config.model_dump(mode="json", include=set(IDENTITY))
    buffer = io.BytesIO()
    torch.save(
        {
            "identity": identity,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "visits": torch.from_numpy(state.visits),
            "step": state.step,
            "completed_samples": state.completed_samples,
            "resumes": state.resumes,
            "training_seconds": state.training_seconds,
            "loss": state.loss,
        },
        buffer,
    )
    return buffer.getvalue()


def loads(data: bytes, config: TrainConfig, samples: int) -> TrainState:
    """The state back from a checkpoint.

    Raises:
        ConfigError: The checkpoint is of a training with another order of samples or another network.
    """
    content = torch.load(io.BytesIO(data), weights_only=True)
    wanted = config.model_dump(mode="json", include=set(IDENTITY))
    for field in IDENTITY:
        if content["identity"][field] != wanted[field]:
            raise ConfigError(
                f"{field}: the checkpoints in {config.directory} are of a training with "
                f"{content['identity'][field]!r}, this one has {wanted[field]!r}; "
                "name an empty directory or keep the old value"
            )
    state = start(config, samples)
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.visits = content["visits"].numpy()
    state.step = content["step"]
    state.completed_samples = content["completed_samples"]
    state.resumes = content["resumes"]
    state.training_seconds = content["training_seconds"]
    state.loss = content["loss"]
    return state
