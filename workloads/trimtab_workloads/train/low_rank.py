"""A layer as two thinner ones."""

from __future__ import annotations

from torch import nn


def split(layer: nn.Module, rank: int) -> nn.Sequential:
    """Two layers of the shape that together stand for one; their weights are for the caller to set.

    A convolution becomes one of the same kernel with `rank` channels and one of 1x1 after it (Zhang et al.,
    "Accelerating very deep convolutional networks for classification and detection", TPAMI 2016).

    Raises:
        TypeError: Neither a linear layer nor a plain convolution.
    """
    if isinstance(layer, nn.Linear):
        return nn.Sequential(
            nn.Linear(layer.in_features, rank, bias=False),
            nn.Linear(rank, layer.out_features, bias=layer.bias is not None),
        )
    if isinstance(layer, nn.Conv2d) and layer.groups == 1 and isinstance(layer.padding, tuple):
        kernel, stride = (layer.kernel_size[0], layer.kernel_size[1]), (layer.stride[0], layer.stride[1])
        first = nn.Conv2d(layer.in_channels, rank, kernel, stride, (layer.padding[0], layer.padding[1]), bias=False)
        return nn.Sequential(first, nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None))
    raise TypeError(f"{type(layer).__name__} cannot be split")


def replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts a layer in the place of the one that the network has by that name (`blocks.0.up`)."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)
