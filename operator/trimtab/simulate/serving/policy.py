"""What a policy sees and says: the interface between the engine and everything that scales."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trimtab.simulate.serving.requests import Requests

FloatArray = npt.NDArray[np.float64]

Desired = Mapping[int, int]
"""Replicas that are wanted, by index of the option; an option that is left out is wanted 0 times."""


@dataclass(frozen=True)
class OptionState:
    """What runs of one option."""

    ready: int
    starting: int
    utilization: float
    """Mean share of the last window in which a ready replica did anything; 0 when none was ready."""


@dataclass(frozen=True)
class Observation:
    """What can be measured of the running service; nothing of the future."""

    now_seconds: float
    window_seconds: float
    """Since the policy was asked last."""
    requests_per_second: float
    """Arrivals in the window."""
    rates: FloatArray
    """Arrivals a second in each past control interval, the newest last."""
    interval_seconds: float
    """Length of a control interval."""
    concurrency: float
    """Mean number of requests in the system over the window."""
    waiting: int
    """Requests that no replica is working on now."""
    options: tuple[OptionState, ...]
    latency_seconds: float | None
    """The target's quantile of latency over requests answered in the last minute; None when there were none."""
    late_share: float
    """Share of the requests of the last hour that were answered later than the target."""
    recent: Requests
    """The last requests that ended, up to ten thousand, in that order: lengths only, the times mean nothing."""
    lengths: tuple[FloatArray, FloatArray]
    """Mean prompt and output tokens of the requests that arrived in each interval of `rates`."""
    grams_per_kwh: float
    """Carbon intensity now; 0 when the run has no carbon data."""

    def recent_rate(self, window_seconds: float) -> float:
        """Requests a second over the last control intervals that make up a window."""
        rates = self.rates[-max(round(window_seconds / self.interval_seconds), 1) :]
        return float(np.mean(rates)) if len(rates) else self.requests_per_second

    def recent_count(self, window_seconds: float) -> int:
        """About how many requests ended in a window: by the rate of arrivals, at least 50."""
        return max(int(self.recent_rate(window_seconds) * window_seconds), 50)

    def replicas(self, option: int) -> int:
        """Replicas of an option, ready or starting."""
        return self.options[option].ready + self.options[option].starting


class Policy(Protocol):
    """Decides how many replicas of which option there shall be."""

    interval_seconds: float
    """How often it is asked."""

    def start(self) -> Desired:
        """The fleet that serves when the simulation begins."""
        ...

    def decide(self, seen: Observation) -> Desired:
        """The fleet that is wanted from now on."""
        ...
