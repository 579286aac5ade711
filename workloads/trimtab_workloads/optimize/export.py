"""From torch to ONNX."""

from __future__ import annotations

from pathlib import Path

import torch
from trimtab_workloads.common.tensors import INPUT, OUTPUT
from trimtab_workloads.train.model import SIDE, DigitsCNN


def export(model: DigitsCNN, path: Path) -> None:
    """Writes a model as one .onnx file: `input` float32 [batch, 1, 8, 8] to `logits` float32 [batch, 10]."""
    torch.onnx.export(
        model.eval(),
        (torch.zeros(2, 1, SIDE, SIDE),),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
