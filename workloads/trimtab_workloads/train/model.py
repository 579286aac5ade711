"""The network, buildable again from a small description."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import nn
from trimtab_workloads.train import low_rank
from trimtab_workloads.train.architecture import CLASSES, SIDE, Architecture, DigitsNetwork, Family
from trimtab_workloads.train.encoder import DigitsEncoder
from trimtab_workloads.train.recurrent import DigitsGRU


class DigitsCNN(DigitsNetwork):
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


def build(architecture: Architecture) -> DigitsNetwork:
    """A network of this architecture; its weights are yet to be set."""
    families: dict[str, type[DigitsCNN] | type[DigitsEncoder] | type[DigitsGRU]] = {
        "digits-cnn": DigitsCNN,
        "digits-encoder": DigitsEncoder,
        "digits-gru": DigitsGRU,
    }
    network = families[architecture.family](architecture)
    for name, rank in architecture.low_rank:
        low_rank.replace(network, name, low_rank.split(network.get_submodule(name), rank))
    return network


def create(channels: Sequence[int], seed: int, family: Family = "digits-cnn") -> DigitsNetwork:
    """A new model with weights drawn from the seed, by the rule that keeps the signal's scale in its family."""
    model = build(Architecture(tuple(channels), family=family))
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, DigitsCNN):
        # He et al. 2015, which keeps the scale through ReLU layers.
        for layer in [*model.convolutions, model.hidden, model.output]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
        return model
    for name, parameter in model.named_parameters():
        if "norm" in name:
            continue  # As PyTorch makes them: weight 1, bias 0.
        if parameter.dim() > 1:
            # Glorot and Bengio 2010; for recurrent layers per gate, of which PyTorch stacks three.
            bound = math.sqrt(3.0 / parameter.shape[1])
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        else:
            nn.init.zeros_(parameter)
    return model


def dumps(model: DigitsNetwork) -> bytes:
    """The model as the content of `model.pt`: a state dict and the description of its architecture."""
    buffer = io.BytesIO()
    torch.save({"architecture": asdict(model.architecture), "state_dict": model.state_dict()}, buffer)
    return buffer.getvalue()


def loads(data: bytes) -> DigitsNetwork:
    """The model back from `dumps`. Only tensors and plain values are read, never code."""
    content = torch.load(io.BytesIO(data), weights_only=True)
    fields = content["architecture"]
    fields["channels"] = tuple(fields["channels"])
    fields["low_rank"] = tuple((str(name), int(rank)) for name, rank in fields.get("low_rank", ()))
    model = build(Architecture(**fields))
    model.load_state_dict(content["state_dict"])
    return model
