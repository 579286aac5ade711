"""The tensors of an artifact, read from the file itself: nothing about the model has to be declared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from trimtab_workloads.common.config import ConfigError

TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
"""ONNX Runtime's names of types, and Triton's."""
Tensor = dict[str, object]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs that clients see, as Triton's ModelConfig has them: without the batch dimension."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(path: Path, states: Collection[tuple[str, str]] = (), controls: Collection[str] = ()) -> Signature:
    """Reads what a model takes and gives.

    Args:
        path: The .onnx file.
        states: Inputs and outputs that carry a recurrent model's state: the server keeps them, clients do not see them.
        controls: Inputs that Triton fills in.

    Raises:
        ConfigError: The file is no model that ONNX Runtime can load, a tensor is not batched or of an unknown type, or
            a named state or control is not there.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception of its own for each status, with no common base.
        raise ConfigError(
            f"variants: {path} is no model that ONNX Runtime can load: {error}".splitlines()[0]
        ) from error
    inputs = {it.name: it for it in session.get_inputs()}
    outputs = {it.name: it for it in session.get_outputs()}
    for taken, given in states:
        _known(path, "state", taken, "input", inputs)
        _known(path, "state", given, "output", outputs)
    for control in controls:
        _known(path, "control", control, "input", inputs)
    hidden_inputs = {taken for taken, _ in states} | set(controls)
    hidden_outputs = {given for _, given in states}
    return Signature(
        tuple(_tensor(path, it) for name, it in inputs.items() if name not in hidden_inputs),
        tuple(_tensor(path, it) for name, it in outputs.items() if name not in hidden_outputs),
    )


def _known(path: Path, what: str, name: str, kind: str, there: Collection[str]) -> None:
    if name not in there:
        raise ConfigError(f"{what} {name!r}: {path} has no such {kind}, only {', '.join(sorted(there))}")


def _tensor(path: Path, it: onnxruntime.NodeArg) -> Tensor:
    if it.type not in TYPES:
        raise ConfigError(f"variants: tensor {it.name!r} of {path} is a {it.type}, which Triton cannot serve")
    if not it.shape or isinstance(it.shape[0], int):
        shape = f"[{', '.join(map(str, it.shape))}]"
        raise ConfigError(
            f"variants: tensor {it.name!r} of {path} has shape {shape}; the first dimension must be a free one, for "
            "batches: export the model with a dynamic batch dimension"
        )
    dims = [size if isinstance(size, int) else -1 for size in it.shape[1:]]
    return {"name": it.name, "data_type": TYPES[it.type], "dims": dims or [1]}
