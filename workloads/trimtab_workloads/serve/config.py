"""What a server is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig


class Variant(WorkloadConfig):
    """A variant, as a version of the Triton model."""

    name: str = Field(min_length=1)
    """Name of the ModelVariant."""
    version: int = Field(gt=0)
    """Its version in Triton."""
    path: Path
    """Its .onnx file."""


class ServeConfig(WorkloadConfig):
    """One server."""

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the model in Triton."""
    variants: tuple[Variant, ...] = Field(min_length=1)
    """What may be served."""
    active_file: Path
    """File that holds the version to start with, as a number."""
    max_batch_size: int = Field(default=32, gt=0)
    """Most samples that one run takes."""
    max_queue_delay_microseconds: int = Field(default=0, ge=0)
    """How long the batcher waits for more requests."""
    instances: int = Field(default=1, gt=0)
    """Copies of the model that run side by side."""
    threads: int = Field(default=1, gt=0)
    """Threads of one run."""
    exit_timeout_seconds: int = Field(default=20, ge=0)
    """How long Triton lets requests finish after SIGTERM."""
    max_connection_age_seconds: float = Field(default=3, gt=0)
    """Age at which a gRPC connection is handed back gracefully, so that any client follows the Service's endpoints.

    At SIGTERM Triton unloads its models at once, and what still comes over open connections fails: a pod has to leave
    the endpoints, and its preStop hook has to last longer than this, before the signal."""
    address: str = "0.0.0.0"
    """Address to listen on."""
    http_port: int = Field(default=8000, gt=0, lt=65536)
    """KServe protocol over HTTP, health and repository API."""
    grpc_port: int = Field(default=8001, gt=0, lt=65536)
    """KServe protocol over gRPC."""
    metrics_port: int = Field(default=8002, gt=0, lt=65536)
    """Prometheus metrics."""
    work_directory: Path = Path("/tmp")
    """Where the model repository is built."""

    @model_validator(mode="after")
    def _versions_differ(self) -> Self:
        twice = [v for v, n in Counter(variant.version for variant in self.variants).items() if n > 1]
        if twice:
            raise ValueError(f"variants: version {twice[0]} is given twice")
        return self
