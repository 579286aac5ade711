"""Whether replicas fit onto the nodes of the classes that a workload may use: ever, and now."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trimtab.api.common import Resources
from trimtab.plan.admission.findings import Finding, Severity, memory, number, warns_only
from trimtab.plan.node_fit import most_replicas, needs_of, offers_of, replicas_on, shapes_of
from trimtab.plan.rates import offers, units_per_replica
from trimtab.plan.snapshot import HardwareState, NodeShape, Snapshot

_SLACK = 1e-9


@dataclass(frozen=True)
class Room:
    """A class, and how many replicas all of its nodes have room for when nothing else is on them."""

    hardware: HardwareState
    units: float
    """Units of the class's resource that one replica holds."""
    most: int

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.hardware.meta.name


def room_of(resources: Resources, hardware: HardwareState) -> Room:
    """How many replicas the class has room for, each whole on one node."""
    return Room(hardware, units_per_replica(resources, hardware), most_replicas(resources, hardware))


@dataclass(frozen=True)
class Wanted:
    """What a workload asks for."""

    resources: Resources
    classes: tuple[str, ...]
    """Names of the classes allowed; empty means all."""
    least: int
    """Fewest replicas."""
    least_path: str
    """The field that says so."""
    together: bool
    """They start together or not at all, on one class."""


@dataclass(frozen=True)
class Usable:
    """Where a workload may run."""

    rooms: tuple[Room, ...]
    """Classes with room for what it asks for at least."""
    closed: bool
    """No class could come into question that is not known: what fits nowhere here will never fit."""


def usable_rooms(wanted: Wanted, hardware: tuple[HardwareState, ...]) -> tuple[Usable, list[Finding]]:
    """The classes that come into question, and what is wrong with the others where none is left."""
    known = {h.meta.name: h for h in hardware}
    missing = [name for name in wanted.classes if name not in known]
    allowed = [h for h in hardware if not wanted.classes or h.meta.name in wanted.classes]
    offering = [h for h in allowed if offers(wanted.resources, h)]
    findings = [
        Finding("HardwareClassNotFound", "spec.hardware.classes", f"there is no HardwareClass {n!r} yet", Severity.WARN)
        for n in missing
    ]
    closed = not missing and all(shapes_of(h) and not warns_only(h.meta) for h in offering)
    if not offering:
        if not missing:
            findings.append(_no_class(wanted, allowed))
        return Usable((), closed=bool(wanted.classes) and closed), findings
    with_nodes = [h for h in offering if shapes_of(h)]
    if not with_nodes:
        names = ", ".join(h.meta.name for h in offering)
        text = f"no node matches the nodeSelector of {names}: it waits until there is one"
        return Usable((), closed), [*findings, Finding("NoNodes", "spec.hardware", text, Severity.WARN)]
    rooms = tuple(room_of(wanted.resources, h) for h in with_nodes)
    usable = tuple(r for r in rooms if r.most >= (wanted.least if wanted.together else 1))
    misfit = _misfit(wanted, rooms)
    if misfit is not None:
        findings.append(misfit if closed else misfit.warned())
    return Usable(usable if misfit is None else (), closed), findings


def _no_class(wanted: Wanted, allowed: list[HardwareState]) -> Finding:
    what = "accelerators" if wanted.resources.accelerators else "CPU"
    if not wanted.classes:
        text = f"no HardwareClass offers {what} yet: it waits until there is one"
        return Finding("NoClass", "spec.resources", text, Severity.WARN)
    offered = ", ".join(f"{h.meta.name} ({h.spec.resource_name})" for h in allowed)
    right = (
        "allow a class with accelerators, or leave spec.resources.accelerators out"
        if wanted.resources.accelerators
        else "allow a class whose resourceName is cpu, or ask for accelerators in spec.resources.accelerators"
    )
    text = f"a replica asks for {what}, which none of the classes allowed offers: {offered}; {right}"
    return Finding("NoClass", "spec.hardware.classes", text)


def _misfit(wanted: Wanted, rooms: tuple[Room, ...]) -> Finding | None:
    if not any(room.most for room in rooms):
        return _too_large(wanted.resources, rooms)
    best = max(rooms, key=lambda r: (r.most, r.name))
    have = best.most if wanted.together else sum(r.most for r in rooms)
    if have >= wanted.least:
        return None
    nodes = sum(shape.nodes for shape in shapes_of(best.hardware))
    needs = needs_of(wanted.resources, best.hardware)
    a_node = max(replicas_on(needs, offers_of(shape, best.hardware)) for shape in shapes_of(best.hardware))
    missing = math.ceil((wanted.least - have) / a_node)
    if wanted.together:
        where = f"{best.name} has room for {have} at most ({nodes} node{'s' if nodes != 1 else ''})"
        text = f"{wanted.least} replicas start together, {wanted.least - have} more than there is room for: {where}"
    else:
        where = ", ".join(f"{r.name} for {r.most}" for r in rooms)
        text = f"{wanted.least} replicas are {wanted.least - have} more than there is room for: {where}"
    right = f"ask for {have}, allow another class, or add {missing} node{'s' if missing > 1 else ''} to {best.name}"
    return Finding("TooManyReplicas", wanted.least_path, f"{text}; {right}")


def _too_large(resources: Resources, rooms: Iterable[Room]) -> Finding:
    """By how much one replica is larger than the node that it comes nearest to fitting on."""
    sizes = [(room.hardware, shape) for room in rooms for shape in shapes_of(room.hardware)]

    def excess(size: tuple[HardwareState, NodeShape]) -> float:
        has = offers_of(size[1], size[0])
        return max(need / max(has[name], _SLACK) for name, need in needs_of(resources, size[0]).items())

    hardware, shape = min(sizes, key=lambda size: (excess(size), size[0].meta.name))
    has = offers_of(shape, hardware)
    lacks = [
        f"{_amount(name, need - has[name])} too much (it has {_amount(name, has[name])})"
        for name, need in needs_of(resources, hardware).items()
        if need > has[name]
    ]
    text = (
        f"one replica is larger than any node that it may run on; of the nearest, of class {hardware.meta.name}, it "
        f"asks {' and '.join(lacks)}: ask for no more than a node has, or allow a class with larger nodes"
    )
    return Finding("ReplicaTooLarge", "spec.resources", text)


def _amount(name: str, value: float) -> str:
    return f"{memory(value)} memory" if name == "memory" else f"{number(value)} {name}"


def held_units(snapshot: Snapshot, but: str) -> dict[str, float]:
    """Units of each class that trimtab's workloads hold now.

    Args:
        snapshot: The world.
        but: uid of a workload whose own do not count.
    """
    classes = {h.meta.name: h for h in snapshot.hardware}
    held = dict.fromkeys(classes, 0.0)
    for t in snapshot.training:
        job = t.job
        if job is not None and not (job.suspended or job.complete or job.failure) and t.meta.uid != but:
            _hold(held, classes, t.spec.resources, job.hardware_class, job.replicas)
    for s in snapshot.serving:
        for deployment in s.deployments if s.meta.uid != but else ():
            _hold(held, classes, s.spec.resources, deployment.hardware_class, deployment.replicas)
    return held


def _hold(
    held: dict[str, float], classes: Mapping[str, HardwareState], resources: Resources, name: str, replicas: int
) -> None:
    if name in classes:
        held[name] += units_per_replica(resources, classes[name]) * replicas


def no_room_now(wanted: Wanted, usable: Usable, snapshot: Snapshot, uid: str) -> list[Finding]:
    """A warning when what is free now is less than what it needs at least."""
    held = held_units(snapshot, uid)
    free = {r.name: max(0.0, r.hardware.capacity_units - r.hardware.foreign_units - held[r.name]) for r in usable.rooms}
    fitting = {r.name: math.floor(free[r.name] / r.units + _SLACK) for r in usable.rooms}
    have = max(fitting.values(), default=0) if wanted.together else sum(fitting.values())
    if not usable.rooms or have >= wanted.least:
        return []
    where = ", ".join(
        f"{r.name} has {number(free[r.name])} of {number(r.hardware.capacity_units)} "
        f"{r.hardware.spec.resource_name} free"
        for r in usable.rooms
    )
    need = number(max(r.units for r in usable.rooms) * wanted.least)
    text = f"does not fit now: {where}, it needs {need}; it waits until there is room"
    return [Finding("NoRoomNow", wanted.least_path, text, Severity.WARN)]
