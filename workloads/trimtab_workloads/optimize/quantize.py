"""Quantization by ONNX Runtime's own tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
    prepared = model.with_name("prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    reduce_range = settings.reduce_range if settings.reduce_range is not None else not has_vnni()
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
