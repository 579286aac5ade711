"""How a model runs on ONNX Runtime: the same options where it is measured and where it serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
}
"""ONNX Runtime's names of types, and numpy's."""


def create_session(path: Path, threads: int, device: int | None = None) -> onnxruntime.InferenceSession:
    """Loads a model for inference.

    Args:
        path: The .onnx file.
        threads: Threads of one inference.
        device: CUDA device to run on; None for the CPU.

    Raises:
        RuntimeError: A device is asked for, and this build of ONNX Runtime has no CUDA.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that spins while it waits burns the CPU quota of the pod, and the other instances' time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    providers: list[str | tuple[str, dict[str, int]]] = ["CPUExecutionProvider"]
    if device is not None:
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            # Else it would run on the CPU, unseen, while the accelerator is paid for.
            raise RuntimeError("the server has a GPU, but its onnxruntime has no CUDA: the image needs onnxruntime-gpu")
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device}))
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def blank(node: onnxruntime.NodeArg, rows: int) -> np.ndarray:
    """Zeros, or empty strings, for an input: so many items, and one where another dimension is free."""
    shape = [rows, *(size if isinstance(size, int) else 1 for size in node.shape[1:])]
    kind = NUMPY_TYPES[node.type]
    return np.full(shape, "", kind) if kind is np.object_ else np.zeros(shape, kind)
