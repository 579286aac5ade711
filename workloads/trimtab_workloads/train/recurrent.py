"""A recurrent network that reads an image row by row."""

from __future__ import annotations

import torch
from torch import nn
from trimtab_workloads.train.architecture import CLASSES, SIDE, Architecture, DigitsNetwork


class DigitsGRU(DigitsNetwork):
    """Gated recurrent layers of one width over the rows (Cho et al. 2014), and a linear layer on the last state."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.channels[0]
        if set(architecture.channels) != {width}:
            raise ValueError(f"recurrent layers must have one width: {architecture.channels}")
        self.architecture = architecture
        self.recurrent = nn.GRU(SIDE, width, num_layers=len(architecture.channels), batch_first=True)
        self.output = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, 8, 8] to logits [n, 10]."""
        states, _ = self.recurrent(x.squeeze(1))
        return self.output(states[:, -1])
