"""Pruning: channels taken out for good, or single weights set to zero."""

from __future__ import annotations

from torch.nn.utils import prune as torch_prune

import torch
from torch import nn
from trimtab_workloads.optimize.reconstruct import reconstruct
from trimtab_workloads.train.architecture import Architecture, DigitsNetwork
from trimtab_workloads.train.model import DigitsCNN

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


def prunable(model: DigitsNetwork) -> list[nn.Module]:
    """The layers whose single weights are pruned: the convolutions, or where there are none the linear layers."""
    modules = list(model.modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    return convolutions or [module for module in modules if isinstance(module, nn.Linear)]


def mask_weights(model: DigitsNetwork, amount: float) -> None:
    """Masks the smallest weights of all prunable layers together (global magnitude pruning), in place.

    The masks hold through training; `settle_masks` makes the zeros plain weights.
    """
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in prunable(model)],
        pruning_method=torch_prune.L1Unstructured,
        amount=amount,
    )


def mask_two_of_four(model: DigitsNetwork) -> int:
    """Masks the two smaller ones of every four weights that follow each other along the inputs, in place.

    The pattern of NVIDIA's sparse tensor cores: Mishra et al., "Accelerating sparse deep neural networks", 2021. Of
    convolutions it goes along the input channels. Layers whose inputs are no multiple of four stay as they are.

    Returns:
        How many layers were masked.
    """
    masked = 0
    for layer in model.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d) or layer.weight.shape[1] % 4:
            continue
        weight = layer.weight.detach().movedim(1, -1)
        fours = weight.abs().unflatten(-1, (-1, 4))
        largest = fours.topk(2, dim=-1).indices
        mask = torch.zeros_like(fours).scatter_(-1, largest, 1.0).flatten(-2).movedim(-1, 1)
        torch_prune.custom_from_mask(layer, "weight", mask)
        masked += 1
    return masked


def settle_masks(model: DigitsNetwork) -> None:
    """Turns masks into zeros in the weights, in place. Without masks it changes nothing."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d) and torch_prune.is_pruned(layer):
            torch_prune.remove(layer, "weight")


def sparsity(model: DigitsNetwork) -> float:
    """Share of the prunable layers' weights that are zero."""
    weights = [layer.get_parameter("weight").detach() for layer in prunable(model)]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
