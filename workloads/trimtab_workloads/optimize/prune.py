"""Pruning: channels taken out for good, or single weights set to zero."""

from __future__ import annotations

from torch.nn.utils import prune as torch_prune

import torch
from trimtab_workloads.optimize.reconstruct import reconstruct
from trimtab_workloads.train.model import Architecture, DigitsCNN

RECONSTRUCTION_SAMPLES = 256


def remove_channels(model: DigitsCNN, amount: float, images: torch.Tensor) -> DigitsCNN:
    """A smaller dense model without the weakest output channels of each convolution.

    A channel's strength is the L1 norm of its filter (Li et al., "Pruning filters for efficient ConvNets", ICLR 2017).
    What later layers made of a removed channel goes with it, so the model really computes less; what stays is solved
    to give what the original gave (`reconstruct`).

    Args:
        model: The model; not changed.
        amount: Share of each convolution's output channels to remove. At least one stays.
        images: Training images for the reconstruction.
    """
    keeps = [_strongest(layer.weight.detach(), amount) for layer in model.convolutions]
    architecture = Architecture(tuple(len(keep) for keep in keeps), model.architecture.hidden)
    smaller = DigitsCNN(architecture)
    smaller.output.load_state_dict(model.output.state_dict())
    reconstruct(smaller, model, keeps, images[:RECONSTRUCTION_SAMPLES])
    return smaller


def _strongest(weight: torch.Tensor, amount: float) -> torch.Tensor:
    count = max(1, round(len(weight) * (1 - amount)))
    strength = weight.abs().sum(dim=(1, 2, 3))
    return torch.sort(torch.argsort(strength, descending=True, stable=True)[:count]).values


def mask_weights(model: DigitsCNN, amount: float) -> None:
    """Masks the smallest weights of all convolutions together (global magnitude pruning), in place.

    The masks hold through training; `settle_masks` makes the zeros plain weights.
    """
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in model.convolutions],
        pruning_method=torch_prune.L1Unstructured,
        amount=amount,
    )


def settle_masks(model: DigitsCNN) -> None:
    """Turns masks into zeros in the weights, in place. Without masks it changes nothing."""
    for layer in model.convolutions:
        if torch_prune.is_pruned(layer):
            torch_prune.remove(layer, "weight")


def sparsity(model: DigitsCNN) -> float:
    """Share of the convolutions' weights that are zero."""
    weights = [layer.weight.detach() for layer in model.convolutions]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
