"""What, with the weights, is the whole model, and what all models of the runtime have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

CLASSES = 10
SIDE = 8
HIDDEN = 64

Family = Literal["digits-cnn", "digits-encoder", "digits-gru"]


@dataclass(frozen=True)
class Architecture:
    """A model without its weights."""

    channels: tuple[int, ...]
    """Width of each layer: channels of the convolutions, features of encoder blocks or recurrent layers."""
    hidden: int = HIDDEN
    """Width of the CNN's layer before the last; the other families have none."""
    family: Family = "digits-cnn"
    """Which kind of network it is."""
    low_rank: tuple[tuple[str, int], ...] = ()
    """Layers that were split into two, by name, with the rank between them; the order is that of the splits."""


class DigitsNetwork(nn.Module):
    """A network for the digits: images [n, 1, 8, 8] to logits [n, 10]."""

    architecture: Architecture

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, 8, 8] to logits [n, 10]."""
        raise NotImplementedError
