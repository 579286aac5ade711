"""How a model runs on ONNX Runtime: the same options where it is measured and where it serves."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def create_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Loads a model for inference on the CPU.

    Args:
        path: The .onnx file.
        threads: Threads of one inference.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that spins while it waits burns the CPU quota of the pod, and the other instances' time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
