"""Whether an exported or rewritten model computes what the one before it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.session import create_session
from trimtab_workloads.common.tensors import INPUT, OUTPUT
from trimtab_workloads.train.sampling import Floats

TOLERANCES = {"float32": 1e-3, "int8": 0.25, "int4": 0.5}
"""Largest relative error by the type that weights are stored in: far above what sound rounding gives, and far below
what a wrong scale, a lost layer or an overflow does. What rounding costs in accuracy is for the gate to judge."""
SAMPLES = 128
# Not one size: the batch of an exported model must be free.
_BATCHES = (1, 7, 120)
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


class ParityError(ConfigError):
    """A model does not compute what it should. To do it again would give the same."""

    reason = "ParityFailed"


def outputs(model: Path, images: Floats) -> Floats:
    """The logits of a model on ONNX Runtime, in batches of several sizes."""
    session = create_session(model, 1)
    parts, start, turn = [], 0, 0
    while start < len(images):
        size = _BATCHES[turn % len(_BATCHES)]
        parts.append(session.run([OUTPUT], {INPUT: images[start : start + size]})[0])
        start, turn = start + size, turn + 1
    return np.concatenate(parts)


def relative_error(step: str, expected: Floats, actual: Floats, dtype: str) -> float:
    """Compares outputs on the same images.

    Args:
        step: Whose outputs they are, for the message.
        expected: Logits [n, classes] of the model before.
        actual: Those of the model after.
        dtype: Type that its weights are stored in: a key of `TOLERANCES`.

    Returns:
        Root mean square of the difference, by the root mean square of what was expected.

    Raises:
        ParityError: It is beyond the tolerance, or shapes differ, or a value is not finite.
    """
    if expected.shape != actual.shape:
        raise ParityError(f"{step}: output {OUTPUT!r} has the shape {actual.shape}, {expected.shape} was expected")
    if not np.isfinite(actual).all():
        sample, column = np.argwhere(~np.isfinite(actual))[0]
        raise ParityError(
            f"{step}: output {OUTPUT!r}[{column}] is {actual[sample, column]} for training image {sample}"
        )
    difference = actual.astype(np.float64) - expected
    error = float(np.sqrt(np.square(difference).mean() / max(float(np.square(expected).mean()), 1e-30)))
    if error > TOLERANCES[dtype]:
        sample, column = np.unravel_index(np.abs(difference).argmax(), difference.shape)
        raise ParityError(
            f"{step}: outputs are off by {error:.3g} of their size, {TOLERANCES[dtype]:g} is allowed for {dtype}; "
            f"most for training image {sample}: output {OUTPUT!r}[{column}] is {actual[sample, column]:.4g} "
            f"instead of {expected[sample, column]:.4g}"
        )
    return error


def check_safe(model: Path) -> None:
    """Makes sure that a model is one well-formed file of known operators.

    Raises:
        ParityError: It is not ONNX, refers to other files, or has operators that are not ONNX Runtime's.
    """
    try:
        content = onnx.load(model, load_external_data=False)
    except Exception as error:
        raise ParityError(f"the exported file is not valid ONNX: {str(error)[:300]}") from error
    # Before the checker, which would open what they name.
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(content.graph)):
        raise ParityError("the exported file keeps weights in other files; an artifact must be one file")
    try:
        onnx.checker.check_model(content)
    except Exception as error:
        raise ParityError(f"the exported file is not valid ONNX: {str(error)[:300]}") from error
    nodes = [*content.graph.node, *(node for function in content.functions for node in function.node)]
    if strange := {node.domain for node in nodes} - {function.domain for function in content.functions} - _DOMAINS:
        raise ParityError(f"the exported file has operators that only others can run: {', '.join(sorted(strange))}")


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All constants of a graph: its initializers, and those in its operations."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
