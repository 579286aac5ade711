"""A transformer encoder that reads an image row by row."""

from __future__ import annotations

import torch
from torch import nn
from trimtab_workloads.train.architecture import CLASSES, SIDE, Architecture, DigitsNetwork

HEADS = 4


class Block(nn.Module):
    """Self-attention, then a two-layer perceptron, each behind a normalization and beside a shortcut.

    Normalization first: Xiong et al., "On Layer Normalization in the Transformer Architecture", ICML 2020.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projection = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens [n, rows, width] to tokens of the same shape."""
        projected = self.projection(self.attention_norm(x)).unflatten(2, (3, HEADS, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.attended(attended.transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.feed_norm(x))))


class DigitsEncoder(DigitsNetwork):
    """Rows as tokens with learned positions, blocks of one width, the mean of the tokens, one linear layer."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.channels[0]
        if set(architecture.channels) != {width} or width % HEADS:
            raise ValueError(f"an encoder needs blocks of one width, a multiple of {HEADS}: {architecture.channels}")
        self.architecture = architecture
        self.embedding = nn.Linear(SIDE, width)
        self.positions = nn.Parameter(torch.zeros(SIDE, width))
        self.blocks = nn.ModuleList(Block(width) for _ in architecture.channels)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images [n, 1, 8, 8] to logits [n, 10]."""
        tokens = self.embedding(x.squeeze(1)) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.output(self.norm(tokens).mean(1))
