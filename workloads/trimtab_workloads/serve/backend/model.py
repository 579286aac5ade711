"""Triton's Python backend for one version: an .onnx file on ONNX Runtime.

Triton runs a copy of this file from the version's folder, in a process of its own whose Python knows nothing of
PYTHONPATH; the model's parameter `source_directory` says where trimtab's workloads are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton

INPUT = "input"
OUTPUT = "logits"


class TritonPythonModel:
    """One instance of one version."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the version's file. An error here fails the load, and what served before goes on serving."""
        parameters = json.loads(args["model_config"])["parameters"]
        sys.path.insert(0, parameters["source_directory"]["string_value"])
        from trimtab_workloads.common.session import create_session

        artifact = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = create_session(artifact, int(parameters["threads"]["string_value"]))

    def execute(self, requests: list[triton.InferenceRequest]) -> list[triton.InferenceResponse]:
        """Runs what the batcher gathered as one batch and gives each request its rows."""
        inputs = [triton.get_input_tensor_by_name(request, INPUT).as_numpy() for request in requests]
        batch = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        try:
            logits = self._session.run([OUTPUT], {INPUT: batch})[0]
        except Exception as error:
            failure = triton.TritonError(f"ONNX Runtime: {error}")
            return [triton.InferenceResponse(error=failure) for _ in requests]
        ends = np.cumsum([len(part) for part in inputs])
        return [triton.InferenceResponse([triton.Tensor(OUTPUT, rows)]) for rows in np.split(logits, ends[:-1])]
