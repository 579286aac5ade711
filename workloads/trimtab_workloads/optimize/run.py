"""A variant from its steps to its result."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from trimtab_workloads.common.entry import EXIT_OK
from trimtab_workloads.common.files import write_atomically, write_with_digest
from trimtab_workloads.common.interval import wilson
from trimtab_workloads.common.log import log
from trimtab_workloads.common.stop import exit_on_sigterm
from trimtab_workloads.common.termination import write_result
from trimtab_workloads.optimize import prune
from trimtab_workloads.optimize.config import OptimizeConfig, Prune, Quantize
from trimtab_workloads.optimize.evaluate import evaluate
from trimtab_workloads.optimize.export import export
from trimtab_workloads.optimize.finetune import finetune
from trimtab_workloads.optimize.profile import profile
from trimtab_workloads.optimize.quantize import quantize
from trimtab_workloads.optimize.source import Source, load
from trimtab_workloads.train.model import DigitsCNN

ARTIFACT = "model.onnx"


def run(config: OptimizeConfig) -> int:
    """Makes, measures and evaluates the variant; returns the exit status. Doing it again overwrites it as a whole."""
    exit_on_sigterm()
    torch.set_num_threads(config.benchmark.threads)
    source = load(config.source)
    model = source.model
    for step in config.steps:
        if step.prune:
            model = _prune(model, source, step.prune, config.seed)
    with tempfile.TemporaryDirectory() as scratch:
        built = _build(config, model, source, Path(scratch))
        rows, peak = profile(built, config.benchmark)
        log("profiled", profile=rows, peak_memory_bytes=peak)
        counts = evaluate(built, source, config.benchmark.threads)
        content = built.read_bytes()
    config.output.mkdir(parents=True, exist_ok=True)
    digest = write_with_digest(config.output / ARTIFACT, content)
    low, high = wilson(counts.right, counts.samples)
    result = {
        "kind": "variant",
        "artifact": ARTIFACT,
        "sha256": digest,
        "sizeBytes": len(content),
        "accuracy": round(counts.right / counts.samples, 6),
        "accuracyLow": round(low, 6),
        "accuracyHigh": round(high, 6),
        "heldOutSamples": counts.samples,
        "baselineAccuracy": round(counts.baseline_right / counts.samples, 6),
        "agreement": round(counts.equal / counts.samples, 6),
        "baselineOnlyRight": counts.baseline_only_right,
        "variantOnlyRight": counts.variant_only_right,
        "sparsity": round(prune.sparsity(model), 6),
        "peakMemoryBytes": peak,
        "profile": rows,
    }
    write_atomically(config.output / "result.json", json.dumps(result, indent=2).encode() + b"\n")
    write_result(result)
    return EXIT_OK


def _prune(model: DigitsCNN, source: Source, settings: Prune, seed: int) -> DigitsCNN:
    log("prune", method=settings.method, amount=settings.amount)
    if settings.method == "structured":
        model = prune.remove_channels(model, settings.amount, torch.from_numpy(source.train_x))
    else:
        # A copy: the source stays what it is, the baseline.
        twin = DigitsCNN(model.architecture)
        twin.load_state_dict(model.state_dict())
        model = twin
        prune.mask_weights(model, settings.amount)
    finetune(model, source, settings.finetune_epochs, seed)
    prune.settle_masks(model)
    return model


def _build(config: OptimizeConfig, model: DigitsCNN, source: Source, scratch: Path) -> Path:
    exported = scratch / "float.onnx"
    export(model, exported)
    settings: Quantize | None = next((step.quantize for step in config.steps if step.quantize), None)
    if settings is None:
        return exported
    log("quantize", mode=settings.mode, dtype=settings.dtype)
    quantized = scratch / "quantized.onnx"
    quantize(exported, quantized, settings, source.train_x, config.seed)
    return quantized
