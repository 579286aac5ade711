"""What the exporter is told."""

from __future__ import annotations

from collections import Counter
from typing import Self

from pydantic import Field, model_validator

from trimtab_workloads.common.config import WorkloadConfig


class Profile(WorkloadConfig):
    """How fast one pod trains a model on one class of hardware, and what that draws."""

    model: str = Field(min_length=1)
    """Value of the pod annotation trimtab.dev/model."""
    hardware_class: str = Field(min_length=1)
    """Value of the pod label trimtab.dev/hardware-class."""
    samples_per_second: float = Field(gt=0)
    """Of one pod."""
    watts: float = Field(ge=0)
    """Of one pod's accelerators, while it works."""


class SimulatedConfig(WorkloadConfig):
    """The exporter."""

    profiles: tuple[Profile, ...] = Field(min_length=1)
    """A row for each pair of model and hardware class that may appear."""
    metrics_port: int = Field(default=9097, ge=0, lt=65536)
    """Where Prometheus scrapes; 0 takes a free port."""
    speedup: float = Field(default=1, gt=0)
    """Simulated seconds of work in a real one. Power is not scaled: it is drawn for the time that passes."""
    scaling_efficiency: float = Field(default=0.97, gt=0, le=1)
    """Throughput kept for each doubling of the pods."""
    interval_seconds: float = Field(default=1, gt=0)
    """How often the pods are looked at."""
    node_selector: str = "type=kwok"
    """Which nodes are simulated."""
    pod_selector: str = "trimtab.dev/workload"
    """Which pods are workloads."""

    @model_validator(mode="after")
    def _pairs_differ(self) -> Self:
        pairs = Counter((profile.model, profile.hardware_class) for profile in self.profiles)
        twice = [pair for pair, count in pairs.items() if count > 1]
        if twice:
            raise ValueError(f"profiles: {twice[0][0]} on {twice[0][1]} is given twice")
        return self
