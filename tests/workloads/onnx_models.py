"""Small ONNX models, made by hand, whose answers are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save(path: Path, nodes: list, inputs: list, outputs: list, initializers: tuple = ()) -> Path:
    """Writes a model of these nodes."""
    graph = helper.make_graph(nodes, "made", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def tensor(name: str, *dims: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """A tensor, batched unless told otherwise."""
    return helper.make_tensor_value_info(name, kind, dims)


def doubler(path: Path, factor: float = 2.0) -> Path:
    """y = 2 x (or another factor), and the sum of each row."""
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [factor])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["y"]),
        helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0),
    ]
    return save(
        path, nodes, [tensor("x", "batch", 3)], [tensor("y", "batch", 3), tensor("total", "batch")], (two, axes)
    )


def accumulator(path: Path) -> Path:
    """A recurrent model: y = x + h, and y is the next h. `first` says whether the step begins a sequence."""
    nodes = [
        helper.make_node("Add", ["x", "h"], ["y"]),
        helper.make_node("Identity", ["y"], ["next"]),
        helper.make_node("Identity", ["first"], ["was_first"]),
    ]
    inputs = [tensor("x", "batch", 2), tensor("h", "batch", 2), tensor("first", "batch", 1)]
    return save(
        path, nodes, inputs, [tensor("y", "batch", 2), tensor("next", "batch", 2), tensor("was_first", "batch", 1)]
    )


def counter(path: Path) -> Path:
    """A recurrent model without control inputs: y = x + h, and y is the next h."""
    nodes = [helper.make_node("Add", ["x", "h"], ["y"]), helper.make_node("Identity", ["y"], ["next"])]
    inputs = [tensor("x", "batch", 1), tensor("h", "batch", 1)]
    return save(path, nodes, inputs, [tensor("y", "batch", 1), tensor("next", "batch", 1)])


def picky(path: Path) -> Path:
    """A model that says that any width will do, and takes only 4."""
    eye = helper.make_tensor("eye", TensorProto.FLOAT, [4, 4], [float(i == j) for i in range(4) for j in range(4)])
    nodes = [helper.make_node("MatMul", ["x", "eye"], ["y"])]
    return save(path, nodes, [tensor("x", "batch", "width")], [tensor("y", "batch", 4)], (eye,))


def slow(path: Path, rounds: int = 30) -> Path:
    """x times an identity, so many times over: some milliseconds for an item."""
    size = 512
    eye = helper.make_tensor(
        "eye", TensorProto.FLOAT, [size, size], [float(i == j) for i in range(size) for j in range(size)]
    )
    names = ["x", *(f"x{i}" for i in range(1, rounds)), "y"]
    nodes = [helper.make_node("MatMul", [a, "eye"], [b]) for a, b in pairwise(names)]
    return save(path, nodes, [tensor("x", "batch", 64, size)], [tensor("y", "batch", 64, size)], (eye,))
