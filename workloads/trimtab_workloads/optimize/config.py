"""What an optimization is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig


class Prune(WorkloadConfig):
    """Removes weights, then trains a little to make up for them."""

    method: Literal["structured", "unstructured", "2:4"] = "structured"
    """Whole channels, which makes the model smaller and faster; or single weights, which only makes it sparse; or two
    of every four weights, in the pattern that sparse tensor cores want."""
    amount: float | None = Field(default=None, gt=0, lt=1)
    """Share of each layer's channels, or of all convolutions' weights, to remove; 2:4 has none of its own."""
    finetune_epochs: int = Field(default=3, ge=0, le=1000)
    """Epochs of training afterwards."""

    @model_validator(mode="after")
    def _amount_known(self) -> Self:
        if (self.amount is None) != (self.method == "2:4"):
            raise ValueError("amount must be given, and not with method 2:4")
        return self


class Distill(WorkloadConfig):
    """Trains a smaller model from new weights to answer as the present one does."""

    width: float = Field(default=0.5, gt=0, le=1)
    """Width of each layer, as a share of the present one's."""
    depth: int | None = Field(default=None, ge=1, le=32)
    """Layers; as many as before unless given."""
    epochs: int = Field(default=10, ge=1, le=1000)
    """Visits of each training sample."""
    label_share: float = Field(default=0.5, ge=0, le=1)
    """Weight of the labels; the rest is the teacher's outputs."""


class Factorize(WorkloadConfig):
    """Splits layers into two thinner ones."""

    energy: float = Field(default=0.9, gt=0, le=1)
    """Share of each layer's squared singular values to keep."""
    finetune_epochs: int = Field(default=3, ge=0, le=1000)
    """Epochs of training afterwards."""


class Quantize(WorkloadConfig):
    """Stores and computes in integers of few bits."""

    mode: Literal["dynamic", "static", "weightOnly", "qat"] = "static"
    """Static: convolutions too, ranges calibrated on training data. Dynamic: linear layers only, ranges on the fly.
    Weight-only: linear layers, computed in float. QAT: all layers, with training that feels the rounding."""
    dtype: Literal["int8", "int4"] = "int8"
    """Type of the weights; int4 with weightOnly only."""
    block_size: Literal[16, 32, 64, 128] = 32
    """Weights that share a scale, with weightOnly."""
    finetune_epochs: int = Field(default=3, ge=1, le=1000)
    """Epochs of QAT."""
    calibration_samples: int = Field(default=512, gt=0)
    """Training samples that the static ranges are taken from."""
    reduce_range: bool | None = None
    """7-bit weights, which AVX2 and AVX-512 need against overflow and VNNI does not; unset, decided by this CPU."""

    @model_validator(mode="after")
    def _int4_stored_only(self) -> Self:
        if self.dtype == "int4" and self.mode != "weightOnly":
            raise ValueError("dtype int4 is for mode weightOnly")
        return self


class OptimizeGraph(WorkloadConfig):
    """Rewrites the exported graph into fewer operations."""

    simplify: bool = True
    """By onnxslim first."""
    level: Literal["basic", "extended"] = "extended"
    """Of ONNX Runtime's own rewrites."""


class Step(WorkloadConfig):
    """One step: exactly one of its fields is set."""

    prune: Prune | None = None
    """Prune."""
    distill: Distill | None = None
    """Distill."""
    factorize: Factorize | None = None
    """Factorize."""
    quantize: Quantize | None = None
    """Quantize."""
    optimize_graph: OptimizeGraph | None = None
    """Optimize the graph."""

    @property
    def name(self) -> str:
        """The field that is set, as it stands in YAML."""
        return next(iter(self.model_dump(by_alias=True, exclude_none=True)))

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise ValueError("a step must have exactly one of prune, distill, factorize, quantize, optimizeGraph")
        return self


class Search(WorkloadConfig):
    """Finds the chain of steps by trying many."""

    trials: int = Field(default=20, ge=2, le=200)
    """Chains to try."""
    steps: tuple[Literal["prune", "distill", "factorize", "quantize"], ...] = Field(
        default=("prune", "distill", "factorize", "quantize"), min_length=1
    )
    """Steps to try."""
    prefer: Literal["Speed", "Size"] = "Speed"
    """The least CPU time for an item, or the smallest file."""
    min_accuracy: float | None = Field(default=None, ge=0, le=1)
    """The gate's floor."""
    max_accuracy_drop: float | None = Field(default=None, ge=0, le=1)
    """The gate's largest loss against the source."""


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
    """In order: prune and distill, then at most one each of factorize, quantize and optimizeGraph. The export to ONNX
    is implicit."""
    search: Search | None = None
    """Finds the steps; there are none then."""
    output: Path
    """Directory for the artifact."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Decides the order of fine-tuning and the choice of calibration samples."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    """How it is measured."""
    cache: Path | None = None
    """Directory for results of steps; without one every step is run."""
    cache_bytes: int = Field(default=2**30, ge=0)
    """Room in it; the longest unused go first."""
    max_bytes: int = Field(default=2**31, gt=0)
    """Largest model that is read or written."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.search is not None and self.steps:
            raise ValueError("search finds the steps itself: give one of search and steps")
        if not re.fullmatch("[pd]*f?q?o?", "".join(step.name[0] for step in self.steps)):
            raise ValueError(
                "steps must be in this order: prune and distill (any number), then at most one each of factorize, "
                "quantize and optimizeGraph"
            )
        return self
