"""How far simulated trainings are. Pure: pods and the time come in, readings go out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trimtab_workloads.simulated.config import Profile


@dataclass(frozen=True)
class SimulatedPod:
    """A running pod on a simulated node."""

    namespace: str
    name: str
    workload: str
    workload_uid: str
    model: str
    hardware_class: str
    total_samples: float
    gang_size: int
    """Pods that must run before any of them makes progress."""


@dataclass(frozen=True)
class Reading:
    """What a pod's metrics say. The workload's progress is on every pod of its gang, as the slowest would see it."""

    pod: SimulatedPod
    progress_samples: float
    samples_per_second: float
    """This pod's own share, in simulated time."""
    watts: float

    @property
    def done(self) -> bool:
        """Whether the gang's work is done."""
        return self.progress_samples >= self.pod.total_samples


class UnknownProfileError(Exception):
    """A pod has a model on a hardware class that no profile describes."""


@dataclass
class Progress:
    """Integrates the work of gangs over time.

    Progress is kept by the workload's uid, in memory: it outlives suspension and restarts of the pods, and is lost
    with the exporter's own process.
    """

    profiles: Sequence[Profile]
    speedup: float
    scaling_efficiency: float
    samples: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Samples done, by the workload's uid."""
    _rates: dict[str, float] = field(default_factory=dict)
    _last_seconds: float | None = None

    def advance(self, pods: Iterable[SimulatedPod], now_seconds: float) -> list[Reading]:
        """Adds the work since the last call, by those that ran since then, and reads all that run now.

        Args:
            pods: Those that run now and have a profile (see `profile_of`).
            now_seconds: Any clock that does not go back.
        """
        elapsed = 0.0 if self._last_seconds is None else max(0.0, now_seconds - self._last_seconds)
        self._last_seconds = now_seconds
        gangs: dict[str, list[SimulatedPod]] = defaultdict(list)
        for pod in pods:
            gangs[pod.workload_uid].append(pod)
        for uid, rate in self._rates.items():
            # Only those that still run: a pod that went away may have done so at any time since the last look.
            if uid in gangs:
                limit = gangs[uid][0].total_samples
                self.samples[uid] = min(limit, self.samples[uid] + rate * elapsed * self.speedup)
        readings = [reading for gang in gangs.values() for reading in self._read(gang)]
        self._rates = {uid: self._gang_rate(gang) for uid, gang in gangs.items()}
        return readings

    def profile_of(self, pod: SimulatedPod) -> Profile:
        """The profile of a pod.

        Raises:
            UnknownProfileError: There is none.
        """
        for profile in self.profiles:
            if (profile.model, profile.hardware_class) == (pod.model, pod.hardware_class):
                return profile
        raise UnknownProfileError(
            f"{pod.namespace}/{pod.name}: no profile of model {pod.model!r} on hardware class {pod.hardware_class!r}"
        )

    def _read(self, gang: list[SimulatedPod]) -> list[Reading]:
        done = self.samples[gang[0].workload_uid]
        working = self._gang_rate(gang) > 0 and done < gang[0].total_samples
        rate = self._gang_rate(gang) / len(gang) if working else 0.0
        return [Reading(pod, done, rate, self.profile_of(pod).watts if working else 0.0) for pod in gang]

    def _gang_rate(self, gang: list[SimulatedPod]) -> float:
        """Samples a second of a whole gang: synchronous, so all go at the pace of the slowest."""
        if len(gang) < gang[0].gang_size:
            return 0.0
        slowest = min(self.profile_of(pod).samples_per_second for pod in gang)
        return slowest * len(gang) * self.scaling_efficiency ** math.log2(len(gang))
