"""What a load generator is told."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig


class Stage(WorkloadConfig):
    """A stretch of constant mean rate."""

    seconds: float = Field(gt=0)
    """How long."""
    requests_per_second: float = Field(ge=0, le=100_000)
    """Mean rate of the Poisson arrivals."""


class LoadConfig(WorkloadConfig):
    """One load."""

    url: str = Field(pattern=r"^[^/\s]+:\d+$")
    """Triton's gRPC as host:port."""
    model: str = Field(min_length=1)
    """The model in Triton; the version is the server's choice."""
    heldout: Path
    """heldout.npz of a training: what is sent, and what the answers are checked against."""
    stages: tuple[Stage, ...] = ()
    """The load over time."""
    batch: int = Field(default=1, gt=0)
    """Samples a request."""
    connections: int = Field(default=4, gt=0, le=64)
    """Connections that share the requests."""
    max_connection_seconds: float = Field(default=2, gt=0)
    """Age at which a connection is replaced, so that the load follows the endpoints of a Service."""
    timeout_seconds: float = Field(default=5, gt=0)
    """Age at which a request has failed."""
    max_in_flight: int = Field(default=256, gt=0)
    """Requests without an answer at which the next one fails unsent."""
    metrics_port: int = Field(default=9096, ge=0, lt=65536)
    """Where Prometheus scrapes; 0 takes a free port."""
    seed: int = Field(default=0, ge=0)
    """Decides the arrivals and the order of samples."""
    loop: bool = False
    """Begin again after the last stage, until SIGTERM."""
    stages_file: Path | None = None
    """A file that says the rate and is read again each second; takes the place of `stages`."""
    start_timeout_seconds: float = Field(default=60, gt=0)
    """How long to wait for the first connection, before the load begins."""

    @model_validator(mode="after")
    def _some_load(self) -> Self:
        if not self.stages and self.stages_file is None:
            raise ValueError("stages: at least one is needed, or a stagesFile")
        return self


class StagesFile(WorkloadConfig):
    """Content of a stages file."""

    requests_per_second: float | None = Field(default=None, ge=0, le=100_000)
    """The rate from now on."""
    stages: tuple[Stage, ...] = ()
    """Or the load over time, from when this content was first read; the last rate holds at the end."""
    stop: bool = False
    """End the load."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.requests_per_second is None and not self.stages and not self.stop:
            raise ValueError("one of requestsPerSecond, stages, stop is needed")
        return self
