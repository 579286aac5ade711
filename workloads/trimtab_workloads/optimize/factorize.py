"""Low-rank factorization: a layer's matrix as the product of two thinner ones."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from trimtab_workloads.train import model as models
from trimtab_workloads.train.architecture import DigitsNetwork


def factorize(network: DigitsNetwork, energy: float) -> tuple[DigitsNetwork, int, int]:
    """Splits each linear layer and convolution that gets smaller by it, by its singular value decomposition.

    The truncated decomposition is the nearest matrix of that rank (Eckart and Young 1936).

    Args:
        network: The model; not changed.
        energy: Share of the sum of squared singular values to keep in each layer, above 0 and at most 1.

    Returns:
        The new model, how many layers it has split, and of how many.
    """
    state, splits, seen = dict(network.state_dict()), [], 0
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        seen += 1
        matrix = layer.weight.detach().double().flatten(1)
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        kept = torch.cumsum(values.square(), 0) / values.square().sum().clamp_min(1e-30)
        rank = min(len(values), int(torch.searchsorted(kept, energy - 1e-12)) + 1)
        if rank * sum(matrix.shape) >= matrix.numel():
            continue
        splits.append((name, rank))
        root = values[:rank].sqrt()
        del state[f"{name}.weight"]
        state[f"{name}.0.weight"] = (root[:, None] * right[:rank]).float().reshape(rank, *layer.weight.shape[1:])
        outer = (left[:, :rank] * root).float()
        state[f"{name}.1.weight"] = outer.reshape(*outer.shape, *(1,) * (layer.weight.dim() - 2))
        if layer.bias is not None:
            state[f"{name}.1.bias"] = state.pop(f"{name}.bias")
    architecture = network.architecture
    architecture = dataclasses.replace(architecture, low_rank=(*architecture.low_rank, *splits))
    smaller = models.build(architecture)
    smaller.load_state_dict(state)
    return smaller.eval(), len(splits), seen
