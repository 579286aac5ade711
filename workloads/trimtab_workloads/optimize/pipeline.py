"""The chain from a trained model to its artifact: steps, export, and the proof that they compute what they should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from trimtab_workloads.common.config import ConfigError
from trimtab_workloads.common.log import log
from trimtab_workloads.optimize import cache, parity, prune
from trimtab_workloads.optimize.cache import StepCache
from trimtab_workloads.optimize.config import OptimizeConfig, OptimizeGraph, Prune, Quantize, Step
from trimtab_workloads.optimize.distill import distill
from trimtab_workloads.optimize.export import export
from trimtab_workloads.optimize.factorize import factorize
from trimtab_workloads.optimize.finetune import Teaching, finetune
from trimtab_workloads.optimize.graph import optimize_graph
from trimtab_workloads.optimize.quantize import quantize, reduces_range
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train import model as models
from trimtab_workloads.train.architecture import DigitsNetwork
from trimtab_workloads.train.model import DigitsCNN
from trimtab_workloads.train.sampling import Floats

Report = dict[str, object]
_SHOWN_DIGITS = 16
"""Of a step's key in the report: enough to tell them apart."""


@dataclass(frozen=True)
class Built:
    """What a chain gave."""

    artifact: Path
    network: DigitsNetwork
    """The model as torch has it, before export and quantization."""
    reports: list[Report]
    """One for each step and the export, in the order in which they were done."""


class Chain:
    """One chain at work, its results kept by their keys."""

    def __init__(self, config: OptimizeConfig, source: Source, scratch: Path) -> None:
        self._config, self._source, self._scratch = config, source, scratch
        self._cache = StepCache(config.cache, config.cache_bytes)
        self._key = cache.begin(source.digest, str(config.seed))
        self._reports: list[Report] = []
        self._images: Floats = source.train_x[: parity.SAMPLES]

    def run(self) -> Built:
        """Does all steps.

        Raises:
            ParityError: A step gave a model that does not compute what it should.
            ConfigError: A step does not fit the model.
        """
        network = self._source.model
        for step in self._config.steps:
            if step.quantize is None and step.optimize_graph is None:
                network = self._trained(network, step)
        quantized = next((step for step in self._config.steps if step.quantize), None)
        if quantized is not None and quantized.quantize is not None and quantized.quantize.mode == "qat":
            artifact = self._qat(network, quantized, quantized.quantize)
        else:
            artifact = self._export(network)
            if quantized is not None and quantized.quantize is not None:
                artifact = self._quantized(artifact, quantized, quantized.quantize)
        for step in self._config.steps:
            if step.optimize_graph:
                artifact = self._optimized(artifact, step, step.optimize_graph, quantized)
        parity.check_safe(artifact)
        return Built(artifact, network, self._reports)

    def _trained(self, network: DigitsNetwork, step: Step) -> DigitsNetwork:
        def work() -> tuple[bytes, Report]:
            changed, note = change(network, self._source, step, self._config.seed)
            return models.dumps(changed), {"note": f"{note}; {size_of(network)} to {size_of(changed)} weights"}

        return models.loads(self._kept(step.name, _spec(step), work)).eval()

    def _export(self, network: DigitsNetwork) -> Path:
        path = self._scratch / "float.onnx"

        def work() -> tuple[bytes, Report]:
            export(network.eval(), path)
            return self._compared("export", _torch_outputs(network, self._images), path, "float32")

        path.write_bytes(self._kept("export", {"export": {}}, work))
        return path

    def _qat(self, network: DigitsNetwork, step: Step, settings: Quantize) -> Path:
        path = self._scratch / "quantized.onnx"

        def work() -> tuple[bytes, Report]:
            # Here: torchao takes seconds to import, and no other step needs it.
            from trimtab_workloads.optimize.qat import train_quantized

            reduced = reduces_range(settings)
            rounded = train_quantized(network, self._source, settings.finetune_epochs, self._config.seed, reduced)
            export(rounded, path)
            return self._compared("quantize", _torch_outputs(rounded, self._images), path, settings.dtype)

        path.write_bytes(self._kept("quantize", {**_spec(step), "reduceRange": reduces_range(settings)}, work))
        return path

    def _quantized(self, model: Path, step: Step, settings: Quantize) -> Path:
        path = self._scratch / "quantized.onnx"

        def work() -> tuple[bytes, Report]:
            quantize(model, path, settings, self._source.train_x, self._config.seed)
            return self._compared("quantize", parity.outputs(model, self._images), path, settings.dtype)

        path.write_bytes(self._kept("quantize", {**_spec(step), "reduceRange": reduces_range(settings)}, work))
        return path

    def _optimized(self, model: Path, step: Step, settings: OptimizeGraph, quantized: Step | None) -> Path:
        path = self._scratch / "optimized.onnx"
        # Fused operations round at other places.
        dtype = quantized.quantize.dtype if quantized is not None and quantized.quantize else "float32"

        def work() -> tuple[bytes, Report]:
            before, after = optimize_graph(model, path, settings)
            content, report = self._compared("optimizeGraph", parity.outputs(model, self._images), path, dtype)
            return content, {**report, "note": f"{before} to {after} operations"}

        path.write_bytes(self._kept(step.name, _spec(step), work))
        return path

    def _compared(self, step: str, expected: Floats, path: Path, dtype: str) -> tuple[bytes, Report]:
        error = parity.relative_error(step, expected, parity.outputs(path, self._images), dtype)
        return path.read_bytes(), {"relativeError": round(error, 9), "tolerance": parity.TOLERANCES[dtype]}

    def _kept(self, name: str, spec: cache.Facts, work: Callable[[], tuple[bytes, Report]]) -> bytes:
        """The result of a step: from the cache where it is there, or of the work, which is then kept."""
        self._key = cache.then(self._key, spec)
        started = time.monotonic()
        known = self._cache.get(self._key)
        log("step", name=name, key=self._key, reused=known is not None)
        if known is None:
            content, facts = work()
            self._cache.put(self._key, content, facts)
        else:
            content, facts = known[0], dict(known[1])
        report = {"name": name, "digest": self._key[:_SHOWN_DIGITS], "reused": known is not None}
        self._reports.append({**report, "seconds": round(time.monotonic() - started, 3), **facts})
        return content


def change(network: DigitsNetwork, source: Source, step: Step, seed: int) -> tuple[DigitsNetwork, str]:
    """Does a step that changes the trained model; the given one stays what it is.

    Returns:
        The new model, and what was done, in figures.

    Raises:
        ConfigError: The step does not fit this kind of model.
    """
    if step.prune:
        return _pruned(network, source, step.prune, seed)
    if step.distill:
        student = distill(network, source, step.distill, seed)
        return student, f"student of widths {', '.join(map(str, student.architecture.channels))}"
    if step.factorize:
        thinner, split, seen = factorize(network, step.factorize.energy)
        finetune(thinner, source, Teaching(source.model, step.factorize.finetune_epochs, seed))
        return thinner.eval(), f"{split} of {seen} layers split"
    raise AssertionError(f"{step.name} is done on the exported model")


def _pruned(network: DigitsNetwork, source: Source, settings: Prune, seed: int) -> tuple[DigitsNetwork, str]:
    family = network.architecture.family
    if settings.method == "structured":
        if not isinstance(network, DigitsCNN):
            raise ConfigError(
                f"prune.method: structured takes channels of convolutions and {family} has none; distill narrows it"
            )
        changed: DigitsNetwork = prune.remove_channels(
            network, settings.amount or 0.0, torch.from_numpy(source.train_x)
        )
    else:
        if family == "digits-gru":
            raise ConfigError(
                "prune.method: single weights of recurrent layers are not pruned; distill makes it narrower"
            )
        changed = models.loads(models.dumps(network))
        if settings.method == "2:4":
            prune.mask_two_of_four(changed)
        else:
            prune.mask_weights(changed, settings.amount or 0.0)
    finetune(changed, source, Teaching(source.model, settings.finetune_epochs, seed))
    prune.settle_masks(changed)
    return changed.eval(), f"{prune.sparsity(changed):.1%} zeros"


def size_of(network: nn.Module) -> int:
    """Weights that are stored."""
    return sum(parameter.numel() for parameter in network.parameters())


def _spec(step: Step) -> cache.Facts:
    return step.model_dump(mode="json", by_alias=True, exclude_none=True)


def _torch_outputs(network: nn.Module, images: Floats) -> Floats:
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()
