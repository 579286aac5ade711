"""The hardware classes that a training workload could run on, each with its speed and price of a sample."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Rate
from trimtab.plan.capacity import Capacity
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import limit_broken, offers, priced, rate_of, units_per_replica
from trimtab.plan.snapshot import HardwareState, IntensityPoint, TrainingState

SUSPEND_RESUME_SECONDS = 15.0
"""What a suspension costs in time: a checkpoint, new pods, loading it. Counted before deadlines."""


@dataclass(frozen=True)
class TrainingOption:
    """Running on one hardware class."""

    hardware: HardwareState
    replicas: int
    rate: Rate
    samples_per_second: float
    """Of all replicas together; relative to other classes only when `speed_known` is False."""
    speed_known: bool
    score_usd_per_sample: float
    """Cost plus priced carbon of a sample: the least is best."""

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.hardware.meta.name


@dataclass(frozen=True)
class Refused:
    """A class that cannot be used, and why."""

    name: str
    code: str
    message: str


def remaining_samples(state: TrainingState) -> float | None:
    """Work left, or None before the total is known."""
    total = state.spec.work.total_samples if state.spec.work else None
    done = 0.0
    if state.status.progress:
        total = total or state.status.progress.total_samples or None
        done = float(state.status.progress.completed_samples)
    if state.metrics:
        total = total or (int(state.metrics.total_samples) if state.metrics.total_samples else None)
        done = max(done, state.metrics.completed_samples or 0.0)
    return None if total is None else max(0.0, total - done)


def _speed(state: TrainingState, hardware: HardwareState, replicas: int) -> tuple[float, bool]:
    """Samples a second on a class: measured there, else declared, else only relative to other classes."""
    running_here = state.job is not None and state.job.hardware_class == hardware.meta.name
    measured = state.metrics.samples_per_second if state.metrics else None
    if running_here and measured and state.job and state.job.replicas:
        return measured * replicas / state.job.replicas, True
    recorded = state.status.progress.samples_per_second if state.status.progress else None
    decided = state.status.decision
    if running_here and recorded and decided and decided.replicas:
        return recorded * replicas / decided.replicas, True
    for profile in state.spec.profiles:
        if profile.hardware_class == hardware.meta.name:
            return profile.samples_per_second * replicas, True
    return hardware.spec.speed * replicas, False


def _watts(state: TrainingState, hardware: HardwareState, replicas: int) -> float | None:
    declared = [p.watts for p in state.spec.profiles if p.hardware_class == hardware.meta.name]
    return declared[0] * replicas if declared and declared[0] is not None else None


def _fitting_replicas(state: TrainingState, hardware: HardwareState, room: int) -> int:
    """As many replicas as are wanted and fit; 0 when the gang does not fit whole."""
    if state.spec.replicas is not None:
        return state.spec.replicas if room >= state.spec.replicas else 0
    wanted = min(state.spec.max_replicas, room)
    return wanted if wanted >= state.spec.min_replicas else 0


def _option(
    state: TrainingState,
    hardware: HardwareState,
    replicas: int,
    policy: EffectivePolicy,
    points: tuple[IntensityPoint, ...],
    now: datetime,
) -> TrainingOption:
    units = units_per_replica(state.spec.resources, hardware) * replicas
    speed, known = _speed(state, hardware, replicas)
    left = remaining_samples(state)
    horizon = timedelta(seconds=left / speed) if left and known and speed > 0 else timedelta(0)
    watts = _watts(state, hardware, replicas)
    now_rate = rate_of(hardware, units, 1.0, intensity_at(points, now), watts)
    ahead = rate_of(hardware, units, 1.0, mean_intensity(points, now, now + horizon), watts)
    score = priced(ahead, policy) / 3600.0 / speed if speed > 0 else float("inf")
    return TrainingOption(hardware, replicas, now_rate, speed, known, score)


def _largest_within_limits(
    state: TrainingState,
    hardware: HardwareState,
    replicas: int,
    policy: EffectivePolicy,
    points: tuple[IntensityPoint, ...],
    now: datetime,
) -> TrainingOption | Refused:
    """The option with the most replicas that fits the policy's limits."""
    least = state.spec.replicas or state.spec.min_replicas
    broken = ""
    for count in range(replicas, least - 1, -1):
        option = _option(state, hardware, count, policy, points, now)
        broken = limit_broken(option.rate, policy)
        if not broken:
            return option
    return Refused(hardware.meta.name, "OverLimit", f"{hardware.meta.name} with {least} replicas: {broken}")


def training_options(
    state: TrainingState,
    hardware: tuple[HardwareState, ...],
    policy: EffectivePolicy,
    series: dict[str, tuple[IntensityPoint, ...]],
    capacity: Capacity,
    now: datetime,
) -> tuple[list[TrainingOption], list[Refused]]:
    """Usable classes, best first, and the others with the reason.

    A Job that exists keeps its class: moving it is worth a checkpoint only when the class is no longer allowed or has
    no nodes.
    """
    allowed = set(state.spec.hardware.classes)
    options: list[TrainingOption] = []
    refused = [
        Refused(name, "HardwareClassNotFound", f"HardwareClass {name!r} does not exist")
        for name in sorted(allowed - {h.meta.name for h in hardware})
    ]
    for candidate in hardware:
        name = candidate.meta.name
        if (allowed and name not in allowed) or not offers(state.spec.resources, candidate):
            continue
        if candidate.nodes == 0:
            refused.append(Refused(name, "NoNodes", f"{name}: no ready node matches its nodeSelector"))
            continue
        units = units_per_replica(state.spec.resources, candidate)
        replicas = _fitting_replicas(state, candidate, capacity.replicas(candidate, units))
        if replicas == 0:
            need = (state.spec.replicas or state.spec.min_replicas) * units
            text = f"{name}: {capacity.left(name):g} {candidate.spec.resource_name} free, the gang needs {need:g}"
            refused.append(Refused(name, "CapacityShort", text))
            continue
        zone = series.get(candidate.spec.grid_zone, ())
        chosen = _largest_within_limits(state, candidate, replicas, policy, zone, now)
        if isinstance(chosen, Refused):
            refused.append(chosen)
        else:
            options.append(chosen)
    held = state.job.hardware_class if state.job else ""
    options.sort(key=lambda o: (o.name != held, not o.speed_known, o.score_usd_per_sample, o.name))
    return options, refused
