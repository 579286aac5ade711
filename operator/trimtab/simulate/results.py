"""What a simulation says of each policy: the figures of `result.json`, and what the report draws."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def _empty() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True)
class Timeline:
    """How much ran over time, as steps: each value holds from its hour until the next."""

    hours: FloatArray = field(default_factory=_empty)
    """From the start of the simulation."""
    units: FloatArray = field(default_factory=_empty)
    """Units (or replicas) held."""
    demand: FloatArray = field(default_factory=_empty)
    """Load: requests a second for serving, jobs in the system for training; may be empty."""


@dataclass(frozen=True)
class Outcomes:
    """What became of each job (training) or of each control interval (serving): what intervals are drawn from.

    All arrays that are not empty have the same length, and the same order for every policy of a run.
    """

    carbon_grams: FloatArray = field(default_factory=_empty)
    cost_usd: FloatArray = field(default_factory=_empty)
    wait_hours: FloatArray = field(default_factory=_empty)
    jct_hours: FloatArray = field(default_factory=_empty)
    """Job completion time: from arrival to the end."""


@dataclass(frozen=True)
class PolicyResult:
    """The figures of one policy over a run. None where a figure has no meaning for the run."""

    policy: str
    carbon_g: float
    cost: float
    """US dollars."""
    energy_kwh: float
    replica_hours: float
    switches: int
    """Training: starts after the first, and changes of scale. Serving: changes of variant or class."""
    mean_wait_h: float | None = None
    """Time from arrival to the end without the time it takes to run at once alone: waiting and suspension."""
    mean_jct_h: float | None = None
    deadline_misses: int | None = None
    slo_attainment: float | None = None
    """Share of requests within the latency target, 0..1."""
    mean_accuracy: float | None = None
    """Mean accuracy over requests."""
    plan_ms_p50: float | None = None
    plan_ms_p99: float | None = None
    ratio_to_optimum: float | None = None
    """The run's objective over that of the offline optimum with perfect knowledge; 1 is the limit."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    timeline: Timeline = field(default_factory=Timeline)
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures."""

    def figures(self) -> dict[str, float | int | None]:
        """The figures of `result.json`, by name."""
        names = (
            "carbon_g", "cost", "energy_kwh", "mean_wait_h", "mean_jct_h", "deadline_misses", "slo_attainment",
            "mean_accuracy", "replica_hours", "switches", "plan_ms_p50", "plan_ms_p99", "ratio_to_optimum",
        )  # fmt: skip
        values = {name: getattr(self, name) for name in names}
        return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


@dataclass(frozen=True)
class Sensitivity:
    """How the carbon that policies save depends on one setting: the run repeated with other values of it."""

    axis: str
    """The setting and its unit, for a person: `Forecast error (%)`."""
    values: tuple[float, ...]
    """The values it was given, in order."""
    base: float
    """The value of the run itself."""
    savings: dict[str, tuple[float, ...]]
    """By policy, one share of the reference's carbon that it saved for each value; the reference under that value."""
