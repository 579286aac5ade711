"""The ways that a training workload could run: replicas on a hardware class, each with its speed and price."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Rate
from trimtab.plan.capacity import Capacity
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import limit_broken, offers, priced, rate_of, units_per_replica
from trimtab.plan.snapshot import HardwareState, IntensityPoint, TrainingState
from trimtab.plan.training.scaling import ScalingCurve, scaling_curve

SUSPEND_RESUME_SECONDS = 15.0
"""What a suspension costs in time: a checkpoint, new pods, loading it. Counted before deadlines."""
_MOST_SCALES = 8
"""Numbers of replicas that are weighed on one class; more differ too little to matter."""


@dataclass(frozen=True)
class TrainingOption:
    """Running with so many replicas on one hardware class."""

    hardware: HardwareState
    replicas: int
    units: float
    """Units of the class's resource that they hold together."""
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


@dataclass(frozen=True)
class _Context:
    """What the options of one workload depend on."""

    state: TrainingState
    policy: EffectivePolicy
    series: Mapping[str, tuple[IntensityPoint, ...]]
    now: datetime


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


def _watts(state: TrainingState, hardware: HardwareState, replicas: int) -> float | None:
    declared = [p.watts for p in state.spec.profiles if p.hardware_class == hardware.meta.name and p.watts is not None]
    return declared[0] * replicas if declared else None


def _scales(state: TrainingState, room: int, policy_most: int | None) -> list[int]:
    """Numbers of replicas to weigh, most first; empty when the gang does not fit whole.

    A policy's window makes a training narrower, but never narrower than its least gang.
    """
    if state.spec.replicas is not None:
        return [state.spec.replicas] if room >= state.spec.replicas else []
    least, most = state.spec.min_replicas, min(state.spec.max_replicas, room)
    if policy_most is not None:
        most = min(most, max(least, policy_most))
    if most < least:
        return []
    if most - least < _MOST_SCALES:
        return list(range(most, least - 1, -1))
    ratio = (most / least) ** (1.0 / (_MOST_SCALES - 1))
    counts = {round(least * ratio**i) for i in range(_MOST_SCALES)} | {least, most}
    if state.job is not None and least <= state.job.replicas <= most:
        counts.add(state.job.replicas)
    return sorted(counts, reverse=True)


def _option(context: _Context, hardware: HardwareState, replicas: int, curve: ScalingCurve | None) -> TrainingOption:
    state, points = context.state, context.series.get(hardware.spec.grid_zone, ())
    units = units_per_replica(state.spec.resources, hardware) * replicas
    speed = curve.samples_per_second(replicas) if curve else hardware.spec.speed * replicas
    left = remaining_samples(state)
    horizon = timedelta(seconds=left / speed) if left and curve and speed > 0 else timedelta(0)
    watts = _watts(state, hardware, replicas)
    now_rate = rate_of(hardware, units, 1.0, intensity_at(points, context.now), watts)
    ahead = rate_of(hardware, units, 1.0, mean_intensity(points, context.now, context.now + horizon), watts)
    score = priced(ahead, context.policy) / 3600.0 / speed if speed > 0 else float("inf")
    return TrainingOption(hardware, replicas, units, now_rate, speed, curve is not None, score)


def _on_class(context: _Context, hardware: HardwareState, room: int) -> list[TrainingOption] | Refused:
    """The options on one class, or why there is none."""
    state, name = context.state, hardware.meta.name
    counts = _scales(state, room, context.policy.max_replicas)
    least = state.spec.replicas or state.spec.min_replicas
    if not counts:
        need = least * units_per_replica(state.spec.resources, hardware)
        free = room * units_per_replica(state.spec.resources, hardware)
        text = f"{name}: {free:g} {hardware.spec.resource_name} free, the gang needs {need:g}"
        return Refused(name, "CapacityShort", text)
    curve = scaling_curve(state, name)
    options = [_option(context, hardware, count, curve) for count in counts]
    within = [option for option in options if not limit_broken(option.rate, context.policy)]
    if within:
        return within
    broken = limit_broken(options[-1].rate, context.policy)
    return Refused(name, "OverLimit", f"{name} with {least} replicas: {broken}")


def training_options(
    state: TrainingState,
    hardware: tuple[HardwareState, ...],
    policy: EffectivePolicy,
    series: Mapping[str, tuple[IntensityPoint, ...]],
    capacity: Capacity,
    now: datetime,
) -> tuple[list[TrainingOption], list[Refused]]:
    """Usable options, best class first and most replicas first within a class; and the other classes with the reason.

    A Job that exists keeps its class: moving it is worth a checkpoint only when the class is no longer allowed or has
    no room.

    Args:
        state: The workload.
        hardware: All classes.
        policy: What holds for it.
        series: Carbon intensity by zone.
        capacity: What all training workloads may share.
        now: The instant of the decision.
    """
    context, allowed = _Context(state, policy, series, now), set(state.spec.hardware.classes)
    by_class: list[list[TrainingOption]] = []
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
        room = capacity.replicas(candidate, state.spec.resources)
        chosen = _on_class(context, candidate, room)
        if isinstance(chosen, Refused):
            refused.append(chosen)
        else:
            by_class.append(chosen)
    held = state.job.hardware_class if state.job else ""
    by_class.sort(key=lambda o: (o[0].name != held, not o[0].speed_known, o[0].score_usd_per_sample, o[0].name))
    return [option for options in by_class for option in options], refused
