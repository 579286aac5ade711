"""The network, buildable again from a small description."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

CLASSES = 10
SIDE = 8
HIDDEN = 64


@dataclass(frozen=True)
class Architecture:
    """What, with the weights, is the whole model."""

    channels: tuple[int, ...]
    """Output channels of each 3x3 convolution; all work on 8x8."""
    hidden: int = HIDDEN
    """Width of the layer before the last."""


class DigitsCNN(nn.Module):
    """Plain 3x3 convolutions at full resolution, one pooling, two linear layers.

    There is no batch normalization: its statistics would depend on how a batch is cut into shards, and the gradients
    of several ranks must be those of one.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        inputs = (1, *architecture.channels[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size=3, padding=1) for i, o in zip(inputs, architecture.channels, strict=True)
        )
        self.hidden = nn.Linear(architecture.channels[-1] * (SIDE // 2) ** 2, architecture.hidden)
        self.output = nn.Linear(architecture.hidden, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, 8, 8] to logits [n, 10]."""
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
        x = torch.flatten(nn.functional.max_pool2d(x, 2), 1)
        return self.output(torch.relu(self.hidden(x)))


def create(channels: Sequence[int], seed: int) -> DigitsCNN:
    """A new model with weights drawn from the seed (He et al. 2015, which keeps the scale through ReLU layers)."""
    model = DigitsCNN(Architecture(tuple(channels)))
    generator = torch.Generator().manual_seed(seed)
    for layer in [*model.convolutions, model.hidden, model.output]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    return model


def dumps(model: DigitsCNN) -> bytes:
    """The model as the content of `model.pt`: a state dict and the description of its architecture."""
    buffer = io.BytesIO()
    torch.save({"architecture": asdict(model.architecture), "state_dict": model.state_dict()}, buffer)
    return buffer.getvalue()


def loads(data: bytes) -> DigitsCNN:
    """The model back from `dumps`. Only tensors and plain values are read, never code."""
    content = torch.load(io.BytesIO(data), weights_only=True)
    architecture = content["architecture"]
    model = DigitsCNN(Architecture(tuple(architecture["channels"]), architecture["hidden"]))
    model.load_state_dict(content["state_dict"])
    return model
