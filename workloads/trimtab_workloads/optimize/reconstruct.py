"""Closed-form repair of a model whose channels were removed, before any training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from trimtab_workloads.train.model import DigitsCNN

# Of the features' mean square: keeps the solution sane where features depend on each other.
_RIDGE = 1e-3


def reconstruct(smaller: DigitsCNN, original: DigitsCNN, keeps: Sequence[torch.Tensor], x: torch.Tensor) -> None:
    """Solves each layer of the smaller model, in place, for what the original computes there.

    A removed channel takes its contribution away from every next layer, and without normalization the signal fades
    layer by layer. Least squares on sample images restores it: He, Zhang and Sun, "Channel pruning for accelerating
    very deep neural networks", ICCV 2017, section 3.

    Args:
        smaller: The model with channels removed.
        original: The model that it was made from.
        keeps: Which output channels of each convolution stayed.
        x: Sample images.
    """
    with torch.no_grad():
        target, features = x, x
        for old, new, keep in zip(original.convolutions, smaller.convolutions, keeps, strict=True):
            target = old(target)
            patches = nn.functional.unfold(features, kernel_size=3, padding=1).transpose(1, 2).flatten(0, 1)
            wanted = target[:, keep].flatten(2).transpose(1, 2).flatten(0, 1)
            weight, bias = _solve(patches, wanted)
            new.weight.copy_(weight.view_as(new.weight))
            new.bias.copy_(bias)
            target, features = torch.relu(target), torch.relu(new(features))
        weight, bias = _solve(_pooled(features), original.hidden(_pooled(target)))
        smaller.hidden.weight.copy_(weight)
        smaller.hidden.bias.copy_(bias)


def _pooled(features: torch.Tensor) -> torch.Tensor:
    return torch.flatten(nn.functional.max_pool2d(features, 2), 1)


def _solve(features: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [outputs, features] and bias of the ridge regression of wanted on features."""
    # Double precision: the normal equations square the condition number.
    x, y = features.double(), wanted.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    gram += torch.eye(len(gram), dtype=gram.dtype) * (_RIDGE * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight.float(), (y_mean - weight @ x_mean).float()
