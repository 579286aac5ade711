"""What a server is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig

DEFAULT_SECTIONS: dict[str, Any] = {
    "max_batch_size": 32,
    "dynamic_batching": {},
    "instance_group": [{"count": 1, "kind": "KIND_AUTO"}],
}
"""One instance and a dynamic batcher that never waits."""


class Variant(WorkloadConfig):
    """A variant, as a version of the Triton model."""

    name: str = Field(min_length=1)
    """Name of the ModelVariant."""
    version: int = Field(gt=0)
    """Its version in Triton."""
    path: Path
    """Its .onnx file."""


class State(WorkloadConfig):
    """Two tensors through which a model hands its state from one step to the next."""

    input: str = Field(min_length=1)
    """Takes it."""
    output: str = Field(min_length=1)
    """Gives the next one."""


class Warmup(WorkloadConfig):
    """Inferences that an instance runs before it is ready."""

    requests: int = Field(default=1, gt=0)
    """How many."""
    batch: int = Field(default=1, gt=0)
    """Items in each."""


class Settings(WorkloadConfig):
    """What the operator changes while the server runs."""

    digest: str = ""
    """Names these settings."""
    model_config_sections: dict[str, Any] = Field(default_factory=lambda: dict(DEFAULT_SECTIONS), alias="modelConfig")
    """Sections of Triton's ModelConfig, in its JSON form."""
    threads: int = Field(default=1, gt=0)
    """Threads of one run."""
    warmup: Warmup | None = None
    """What an instance runs before it is ready."""
    sha256: dict[str, str] = Field(default_factory=dict)
    """Digest that each version's file must have, by version; one that is not here is not looked at."""
    log_verbose: int = Field(default=0, ge=0)
    """How much the server logs of its inner doings."""


class ServeConfig(WorkloadConfig):
    """One server."""

    model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the model in Triton."""
    variants: tuple[Variant, ...] = Field(min_length=1)
    """What may be served."""
    active_file: Path
    """File that holds the version to start with, as a number."""
    settings_file: Path | None = None
    """File with the `Settings` to start with; without one they are those of the class."""
    base: str = ""
    """Digest of what is set here and not in the file: with the file's, it names what the server runs with."""
    states: tuple[State, ...] = ()
    """State of a recurrent model, kept by the server."""
    controls: tuple[str, ...] = ()
    """Inputs that Triton fills in for each step of a sequence."""
    response_cache_bytes: int = Field(default=0, ge=0)
    """Memory for answers that are given again; 0 means that none are kept."""
    rate_limiter_resources: dict[str, int] = Field(default_factory=dict)
    """What executions share, and how much of it this server has; empty means that nothing is limited."""
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
