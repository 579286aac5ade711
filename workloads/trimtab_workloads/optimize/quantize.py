"""Quantization by ONNX Runtime's own tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from trimtab_workloads.common.tensors import INPUT
from trimtab_workloads.optimize.config import Quantize
from trimtab_workloads.train.sampling import Floats

_CALIBRATION_BATCH = 64
# ONNX Runtime advises dynamic quantization for transformers and RNNs; its dynamic convolution (ConvInteger) has no
# fused kernel and is slower than float: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
_DYNAMIC_OPERATORS = ["MatMul", "Gemm"]


def quantize(model: Path, output: Path, settings: Quantize, calibration: Floats, seed: int) -> None:
    """Quantizes a float model.

    Args:
        model: The float .onnx file.
        output: Where the quantized one goes.
        settings: What to do.
        calibration: Training images, of which a random part sets the static ranges.
        seed: Of that choice.
    """
    if settings.mode == "weightOnly":
        _store_in_blocks(model, output, 4 if settings.dtype == "int4" else 8, settings.block_size)
        return
    prepared = model.with_name("prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    reduce_range = reduces_range(settings)
    if settings.mode == "dynamic":
        quantize_dynamic(
            prepared,
            output,
            op_types_to_quantize=_DYNAMIC_OPERATORS,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=reduce_range,
        )
        return
    chosen = np.random.default_rng(seed).permutation(len(calibration))[: settings.calibration_samples]
    quantize_static(
        prepared,
        output,
        _Reader(calibration[chosen]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=reduce_range,
    )


def _store_in_blocks(model: Path, output: Path, bits: int, block_size: int) -> None:
    """Stores the weights of linear layers in blocks of integers with a scale each; they are computed in float."""
    # Here, for the time that its import takes.
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    graph = onnx.load(model)
    _plain_products(graph.graph)
    quantizer = MatMulNBitsQuantizer(graph, bits=bits, block_size=block_size, is_symmetric=True)
    quantizer.process()
    onnx.save(quantizer.model.model, output)


def _plain_products(graph: onnx.GraphProto) -> None:
    """Writes each Gemm with constant weights as a product and a sum, which is all that the tool can store in blocks."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA")
        if node.op_type != "Gemm" or node.input[1] not in constants or not plain:
            nodes.append(node)
            continue
        weight = onnx.numpy_helper.to_array(constants[node.input[1]])
        weight = np.ascontiguousarray(weight.T) if attributes.get("transB") else weight
        name = f"{node.output[0]}_weight"
        graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
        product = f"{node.output[0]}_product" if len(node.input) > 2 else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], name], [product], f"{node.name}_product"))
        if len(node.input) > 2:
            nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], [node.output[0]], f"{node.name}_sum"))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)


def reduces_range(settings: Quantize) -> bool:
    """Whether weights get 7 bits: as it is told, or where this CPU would overflow."""
    return settings.reduce_range if settings.reduce_range is not None else not has_vnni()


def has_vnni(cpu_information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies 8-bit integers into 32-bit sums without an overflow in between."""
    try:
        text = cpu_information.read_text()
    except OSError:
        return False
    return "avx512_vnni" in text or "avx_vnni" in text


class _Reader(CalibrationDataReader):
    def __init__(self, images: Floats) -> None:
        self._batches = iter(
            images[start : start + _CALIBRATION_BATCH] for start in range(0, len(images), _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, Floats] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
