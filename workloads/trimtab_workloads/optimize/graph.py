"""Graph optimization: the same computation in fewer operations."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from trimtab_workloads.optimize.config import OptimizeGraph

_LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}


def optimize_graph(model: Path, output: Path, settings: OptimizeGraph) -> tuple[int, int]:
    """Rewrites a graph. Not up to ONNX Runtime's last level, whose layouts are for the CPU that it ran on.

    Args:
        model: The .onnx file.
        output: Where the new one goes.
        settings: What to do.

    Returns:
        Operations before and after.
    """
    before = len(onnx.load(model).graph.node)
    slimmed = model
    if settings.simplify:
        # Here: a pod with little CPU takes seconds to import it, and most variants do not need it.
        import onnxslim

        slimmed = output.with_name("slimmed.onnx")
        onnx.save(onnxslim.slim(onnx.load(model)), slimmed)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = _LEVELS[settings.level]
    options.optimized_model_filepath = str(output)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(slimmed), options, providers=["CPUExecutionProvider"])
    return before, len(onnx.load(output).graph.node)
