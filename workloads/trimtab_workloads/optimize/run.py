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
from trimtab_workloads.optimize.config import OptimizeConfig, Search
from trimtab_workloads.optimize.evaluate import evaluate
from trimtab_workloads.optimize.pipeline import Chain
from trimtab_workloads.optimize.profile import profile
from trimtab_workloads.optimize.source import Source, TooLargeError, load

ARTIFACT = "model.onnx"
PICTURE = "front.svg"


def run(config: OptimizeConfig) -> int:
    """Makes, measures and evaluates the variant; returns the exit status. Doing it again overwrites it as a whole."""
    exit_on_sigterm()
    torch.set_num_threads(config.benchmark.threads)
    source = load(config.source, config.max_bytes)
    found: dict[str, object] = {}
    if config.search is not None:
        config, source, found = _searched(config, config.search, source)
    with tempfile.TemporaryDirectory() as scratch:
        chain = Chain(config, source, Path(scratch)).run()
        built = chain.artifact
        size = built.stat().st_size
        if size > config.max_bytes:
            raise TooLargeError(f"the artifact has {size} bytes, {config.max_bytes} are allowed (maxSize)")
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
        "sparsity": round(prune.sparsity(chain.network), 6),
        "peakMemoryBytes": peak,
        "steps": chain.reports,
        **({"search": found} if found else {}),
        "profile": rows,
    }
    write_atomically(config.output / "result.json", json.dumps(result, indent=2).encode() + b"\n")
    write_result(result)
    return EXIT_OK


def _searched(
    config: OptimizeConfig, settings: Search, source: Source
) -> tuple[OptimizeConfig, Source, dict[str, object]]:
    """The configuration with the steps that were found, the samples that are left to judge them by, and the report."""
    # Here: what Optuna needs takes seconds to import, and only a search needs it.
    from trimtab_workloads.optimize import picture, search

    deciding, confirming = search.halves(source)
    found = search.search(config, settings, deciding)
    points = [
        picture.Point(
            search.label(one.steps) or "as it is", one.accuracy, one.cpu_seconds_per_item, one.size_bytes,
            one == found.chosen,
        )
        for one in found.front
    ]  # fmt: skip
    write_atomically(config.output / PICTURE, picture.svg(f"{config.name}: {found.tried} chains", points).encode())
    return config.model_copy(update={"steps": found.chosen.steps}), confirming, search.report(found)
