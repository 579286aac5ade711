"""Triton's Python backend for one version: an .onnx file on ONNX Runtime.

Triton runs a copy of this file from the version's folder, in a process of its own whose Python knows nothing of
PYTHONPATH; the model's parameter `source_directory` says where trimtab's workloads are.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton

_SEQUENCE_START, _SEQUENCE_END = 1, 2
"""TRITONSERVER_REQUEST_FLAG_SEQUENCE_START and _END."""


class TritonPythonModel:
    """One instance of one version."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the version's file. An error here fails the load, and what served before goes on serving."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        sys.path.insert(0, parameters["source_directory"])
        from trimtab_workloads.common.session import blank, create_session
        from trimtab_workloads.serve.integrity import check
        from trimtab_workloads.serve.sequence_states import SequenceStates

        artifact = Path(args["model_repository"], args["model_version"], "model.onnx")
        check(artifact.resolve(), json.loads(parameters.get("sha256", "{}")).get(args["model_version"]))
        device = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        self._session = create_session(artifact, int(parameters["threads"]), device)
        self._outputs = [it["name"] for it in config["output"]]
        pairs = json.loads(parameters.get("states", "[]"))
        self._state_outputs = [given for _, given in pairs]
        # The file is what runs: what its tensors look like is asked there, and what it lacks is said now.
        self._inputs = {it.name: it for it in self._session.get_inputs()}
        idle_microseconds = int(config.get("sequence_batching", {}).get("max_sequence_idle_microseconds", 0))
        self._states = SequenceStates(
            {taken: given for taken, given in pairs}, self._inputs, idle_seconds=idle_microseconds / 1e6
        )
        self._warm_up(json.loads(parameters.get("warmup", "null")), blank)
        self._asked = [it for name, it in self._inputs.items() if name not in self._states.inputs]

    def _warm_up(self, wanted: dict[str, int] | None, blank: Callable[[object, int], np.ndarray]) -> None:
        """Runs zeros through the model, so that no client waits for what comes first. An error fails the load."""
        if wanted is None:
            return
        feed = {name: blank(it, wanted["batch"]) for name, it in self._inputs.items()}
        try:
            for _ in range(wanted["requests"]):
                self._session.run(None, feed)
        except Exception as error:
            raise triton.TritonModelException(f"warm-up of {wanted['batch']} items: {error}") from error
        triton.Logger.log_info(f"warmed up by {wanted['requests']} inferences of {wanted['batch']}")

    def execute(self, requests: list[triton.InferenceRequest]) -> list[triton.InferenceResponse]:
        """Runs what the batcher gathered as one batch and gives each request its rows."""
        try:
            parts = [[self._tensor(request, it) for it in self._asked] for request in requests]
            sizes = [len(part[0]) for part in parts]
            joined = (arrays[0] if len(parts) == 1 else np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            feed = {it.name: array for it, array in zip(self._asked, joined, strict=True)}
            steps = [(request.correlation_id(), request.flags()) for request in requests] if self._states.inputs else []
            feed.update(self._states.before([(who, bool(flags & _SEQUENCE_START)) for who, flags in steps]))
            results = self._session.run([*self._outputs, *self._state_outputs], feed)
            answers, states = results[: len(self._outputs)], results[len(self._outputs) :]
            self._states.after(
                [(who, bool(flags & _SEQUENCE_END)) for who, flags in steps],
                dict(zip(self._state_outputs, states, strict=True)),
                time.monotonic(),
            )
        except Exception as error:
            failure = triton.TritonError(f"ONNX Runtime: {error}")
            return [triton.InferenceResponse(error=failure) for _ in requests]
        ends = np.cumsum(sizes)[:-1]
        # An output without any dimension but the batch's is served as one of size 1.
        rows = [np.split(one if one.ndim > 1 else one[:, None], ends) for one in answers]
        return [
            triton.InferenceResponse(
                [triton.Tensor(name, part[index]) for name, part in zip(self._outputs, rows, strict=True)]
            )
            for index in range(len(requests))
        ]

    def _tensor(self, request: triton.InferenceRequest, it: object) -> np.ndarray:
        tensor = triton.get_input_tensor_by_name(request, it.name)
        if tensor is None:
            raise ValueError(f"the request lacks the input {it.name!r}")
        array = tensor.as_numpy()
        rank = len(it.shape)
        # What has one value for each item may come, or be taken, with or without dimensions of size 1.
        return array if array.ndim == rank else array.reshape(-1, *[1] * (rank - 1))
