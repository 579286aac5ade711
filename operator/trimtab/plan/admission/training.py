"""What is wrong with a TrainingWorkload that is about to be stored."""

from collections.abc import Iterator
from datetime import timedelta

from trimtab.api.common import Rate
from trimtab.plan.admission.budgets import Spending, training_budget_findings
from trimtab.plan.admission.findings import Finding, Severity, number, span
from trimtab.plan.admission.limits import least_intensity, limit_findings
from trimtab.plan.admission.room import Room, Wanted, no_room_now, usable_rooms
from trimtab.plan.intensity import usable_series
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import rate_of
from trimtab.plan.snapshot import IntensityPoint, Snapshot, TrainingState
from trimtab.plan.training.options import SUSPEND_RESUME_SECONDS, remaining_samples
from trimtab.plan.training.scaling import scaling_curve

_MOST_COUNTS = 64
"""Numbers of replicas whose speed is looked at on one class."""


def training_findings(state: TrainingState, policy: EffectivePolicy, snapshot: Snapshot) -> list[Finding]:
    """Everything that does not fit."""
    spec, now = state.spec, snapshot.taken_at
    series = usable_series(snapshot.carbon, now)
    least = spec.replicas or spec.min_replicas
    path = "spec.replicas" if spec.replicas else "spec.minReplicas"
    wanted = Wanted(spec.resources, spec.hardware.classes, least, path, together=True)
    usable, findings = usable_rooms(wanted, snapshot.hardware)

    def points_of(room: Room) -> tuple[IntensityPoint, ...]:
        return series.get(room.hardware.spec.grid_zone, ())

    over = limit_findings(
        usable.rooms, lambda room, grams: _rate(state, room, least, grams), least, path, policy,
        snapshot.policies, state.meta, points_of, now,
    )  # fmt: skip
    findings += over if usable.closed else [finding.warned() for finding in over]
    if not findings and not spec.suspend:
        findings += no_room_now(wanted, usable, snapshot, state.meta.uid)
    findings += _too_late(state, usable.rooms, snapshot, closed=usable.closed)
    left = remaining_samples(state)
    if left is not None and usable.closed:
        ways = [
            Spending(room.name, left / speed / 3600.0, _rate(state, room, count, least_intensity(points_of(room), now)))
            for room in usable.rooms
            for count, speed in _speeds(state, room)
        ]
        unknown = any(scaling_curve(state, room.name) is None for room in usable.rooms)
        if ways and not unknown:
            findings += training_budget_findings(state, snapshot.policies, ways)
    return findings


def _rate(state: TrainingState, room: Room, replicas: int, grams_per_kwh: float) -> Rate:
    """At full load, as the planner has it; with a declared power where there is one."""
    declared = [p.watts for p in state.spec.profiles if p.hardware_class == room.name and p.watts is not None]
    watts = declared[0] * replicas if declared else None
    return rate_of(room.hardware, room.units * replicas, 1.0, grams_per_kwh, watts)


def _speeds(state: TrainingState, room: Room) -> Iterator[tuple[int, float]]:
    """Numbers of replicas that the class has room for, with their speed (samples a second) where it is known."""
    curve = scaling_curve(state, room.name)
    if curve is None:
        return
    spec = state.spec
    least = spec.replicas or spec.min_replicas
    most = min(room.most, spec.replicas or spec.max_replicas)
    step = max(1, (most - least) // _MOST_COUNTS)
    counts = {*range(least, most + 1, step), most, *(k for k in curve.points if least <= k <= most)}
    limit = spec.torch.samples_per_second_limit if spec.torch else None
    for count in sorted(counts):
        speed = curve.samples_per_second(count)
        if speed > 0.0:
            yield count, min(speed, limit) if limit else speed


def _too_late(state: TrainingState, rooms: tuple[Room, ...], snapshot: Snapshot, *, closed: bool) -> list[Finding]:
    """A deadline that the fastest way to run would miss."""
    deadline, left = state.spec.targets.complete_within, remaining_samples(state)
    if deadline is None or not left or not rooms:
        return []
    ways = [(speed, count, room.name) for room in rooms for count, speed in _speeds(state, room)]
    unknown = [room.name for room in rooms if scaling_curve(state, room.name) is None]
    if not ways:
        return []
    speed, replicas, name = max(ways)
    runs = state.job is not None and not state.job.suspended
    needed = timedelta(seconds=left / speed + (0.0 if runs else SUSPEND_RESUME_SECONDS))
    allowed = state.meta.created_at + deadline - snapshot.taken_at
    if needed <= allowed:
        return []
    late = needed - allowed
    text = (
        f"{number(left)} samples take {span(needed)} at the best known speed ({number(speed)} samples/s, {replicas} "
        f"replica{'s' if replicas != 1 else ''} on {name}), {span(late)} longer than there is"
    )
    right = f"; the shortest that can be held is {_whole_minutes(deadline + late)}"
    more = _wider(state, rooms)
    severity = Severity.REFUSE if closed and not unknown else Severity.WARN
    if unknown:
        right += f"; the speed on {', '.join(unknown)} is not known"
    return [Finding("DeadlineTooShort", "spec.targets.completeWithin", text + right + more, severity)]


def _wider(state: TrainingState, rooms: tuple[Room, ...]) -> str:
    most = max(room.most for room in rooms)
    asked = state.spec.replicas or state.spec.max_replicas
    return f", or allow more replicas (there is room for {most})" if most > asked else ""


def _whole_minutes(time: timedelta) -> str:
    minutes = -(-time // timedelta(minutes=1))
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest}m" if hours and rest else f"{hours}h" if hours else f"{rest}m"
