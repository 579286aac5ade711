"""What an optimization is told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig


class Prune(WorkloadConfig):
    """Removes weights, then trains a little to make up for them."""

    method: Literal["structured", "unstructured"] = "structured"
    """Whole channels, which makes the model smaller and faster; or single weights, which only makes it sparse."""
    amount: float = Field(default=0.5, gt=0, lt=1)
    """Share of each layer's channels, or of all convolutions' weights, to remove."""
    finetune_epochs: int = Field(default=3, ge=0, le=1000)
    """Epochs of training afterwards."""


class Quantize(WorkloadConfig):
    """Stores and computes in 8-bit integers."""

    mode: Literal["dynamic", "static"] = "static"
    """Static: convolutions too, ranges calibrated on training data. Dynamic: linear layers only, ranges on the fly."""
    dtype: Literal["int8"] = "int8"
    """Type of the weights."""
    calibration_samples: int = Field(default=512, gt=0)
    """Training samples that the static ranges are taken from."""
    reduce_range: bool | None = None
    """7-bit weights, which AVX2 and AVX-512 need against overflow and VNNI does not; unset, decided by this CPU."""


class Step(WorkloadConfig):
    """One step: exactly one of its fields is set."""

    prune: Prune | None = None
    """Prune."""
    quantize: Quantize | None = None
    """Quantize."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.prune is None) == (self.quantize is None):
            raise ValueError("a step must have exactly one of prune, quantize")
        return self


class BenchmarkSettings(WorkloadConfig):
    """How the variant is measured."""

    batches: tuple[int, ...] = Field(default=(1, 8, 32), min_length=1, max_length=16)
    """Batch sizes."""
    seconds_per_batch: float = Field(default=2, gt=0, le=600)
    """Time to measure each of them."""
    threads: int = Field(default=1, gt=0)
    """Threads of one inference."""

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(self.batches) < 1:
            raise ValueError(f"batches must be at least 1, got {min(self.batches)}")
        return self


class OptimizeConfig(WorkloadConfig):
    """One ModelVariant."""

    name: str = Field(min_length=1)
    """Name of the ModelVariant."""
    source: Path
    """Directory that a training wrote."""
    steps: tuple[Step, ...] = ()
    """In order; the export to ONNX is implicit, and quantization comes last."""
    output: Path
    """Directory for the artifact."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Decides the order of fine-tuning and the choice of calibration samples."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    """How it is measured."""

    @model_validator(mode="after")
    def _quantize_last(self) -> Self:
        if any(step.quantize for step in self.steps[:-1]):
            raise ValueError("steps: quantize must be the last step, and there can be one only")
        return self
