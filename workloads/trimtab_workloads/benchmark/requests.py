"""The requests, made before the load begins: while it runs, each only has to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.tensors import INPUT, OUTPUT


@dataclass(frozen=True)
class Prepared:
    """A request and what it should be answered."""

    message: service_pb2.ModelInferRequest
    labels: npt.NDArray[np.int64]

    def correct(self, response: service_pb2.ModelInferResponse) -> int:
        """How many of the samples a response classifies rightly."""
        logits = np.frombuffer(response.raw_output_contents[0], dtype="<f4").reshape(len(self.labels), -1)
        return int((logits.argmax(1) == self.labels).sum())


def prepare(held_out: Path, model: str, batch: int, seed: int) -> list[Prepared]:
    """Makes a request of every held-out sample, in a random order; batches wrap around.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        with np.load(held_out) as content:
            x, y = content["x"].astype("<f4"), content["y"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"heldout: cannot read {held_out}: {error}") from error
    order = np.random.default_rng((seed, 1)).permutation(len(x))
    return [_request(x, y, order.take(range(i, i + batch), mode="wrap"), model) for i in range(0, len(x), batch)]


def _request(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.int64], indices: npt.NDArray[np.int64], model: str
) -> Prepared:
    message = service_pb2.ModelInferRequest(model_name=model)
    tensor = message.inputs.add(name=INPUT, datatype="FP32")
    tensor.shape.extend((len(indices), *x.shape[1:]))
    message.outputs.add(name=OUTPUT)
    message.raw_input_contents.append(x[indices].tobytes())
    return Prepared(message, y[indices])
