"""From torch to ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from trimtab_workloads.common.tensors import INPUT, OUTPUT
from trimtab_workloads.train.architecture import SIDE


def example() -> tuple[tuple[torch.Tensor], tuple[dict[int, torch.export.Dim]]]:
    """Arguments to trace a model with, and which of their dimensions stay free: the batch."""
    return (torch.zeros(2, 1, SIDE, SIDE),), ({0: torch.export.Dim("batch", min=1)},)


def export(model: nn.Module, path: Path) -> None:
    """Writes a model as one .onnx file: `input` float32 [batch, 1, 8, 8] to `logits` float32 [batch, 10]."""
    arguments, shapes = example()
    torch.onnx.export(
        model,
        arguments,
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=shapes,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
