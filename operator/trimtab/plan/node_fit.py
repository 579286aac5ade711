"""Whether replicas fit onto nodes, each whole on one: one rule for what is refused at admission and what is planned."""

import math
from collections.abc import Iterable, Mapping

from trimtab.api.common import Resources
from trimtab.api.quantity import parse_quantity
from trimtab.plan.snapshot import HardwareState, NodeShape

_SLACK = 1e-9


def shapes_of(hardware: HardwareState) -> tuple[NodeShape, ...]:
    """Sizes of the class's nodes; where they were not observed, its mean node with as much memory as anybody wants."""
    if hardware.shapes or not hardware.nodes:
        return hardware.shapes
    units = hardware.units_per_node
    cores = units if hardware.spec.resource_name == "cpu" else hardware.cpu_cores_per_node or math.inf
    return (NodeShape(nodes=hardware.nodes, cpu_cores=cores, memory_bytes=math.inf, units=units),)


def needs_of(resources: Resources, hardware: HardwareState) -> dict[str, float]:
    """What one replica asks of a node, by resource."""
    needs = {"CPU": resources.cpu, "memory": parse_quantity(resources.memory)}
    if resources.accelerators:
        needs[hardware.spec.resource_name] = float(resources.accelerators)
    return needs


def offers_of(shape: NodeShape, hardware: HardwareState) -> dict[str, float]:
    """What a node has, by resource."""
    return {"CPU": shape.cpu_cores, "memory": shape.memory_bytes, hardware.spec.resource_name: shape.units}


def replicas_on(needs: Mapping[str, float], has: Mapping[str, float]) -> int:
    """How many replicas fit onto a node."""
    return max(0, math.floor(min(has[name] / need for name, need in needs.items()) + _SLACK))


def most_replicas(resources: Resources, hardware: HardwareState, *, ready: bool = False) -> int:
    """How many replicas all nodes of a class have room for when nothing else is on them.

    Args:
        resources: Of a replica.
        hardware: The class.
        ready: Only nodes that are ready; else those too that may be ready again in a moment.
    """
    needs = needs_of(resources, hardware)
    return sum(
        _count(shape, ready=ready) * replicas_on(needs, offers_of(shape, hardware)) for shape in shapes_of(hardware)
    )


def _count(shape: NodeShape, *, ready: bool) -> int:
    return shape.nodes if not ready or shape.ready is None else shape.ready


class NodePacking:
    """What is free on each ready node of each class, as gangs are put onto them. Local to one call of the planner.

    Which node a pod is given is not decided here, and not known of pods of others: they are taken to stand where they
    leave most room. So what does not fit here fits nowhere, and what fits here is put by the scheduler where it likes.
    """

    def __init__(self, hardware: Iterable[HardwareState], held_units: Mapping[str, float]) -> None:
        """Put what is held already onto the nodes.

        Args:
            hardware: The classes.
            held_units: By class: units of its resource that others, services and builds hold.
        """
        self._hardware = {h.meta.name: h for h in hardware}
        self._free: dict[str, list[dict[str, float]]] = {}
        for name, one in self._hardware.items():
            nodes = [dict(offers_of(shape, one)) for shape in shapes_of(one) for _ in range(_count(shape, ready=True))]
            self._free[name] = nodes
            self._hold(name, one, held_units.get(name, 0.0))

    def _hold(self, name: str, hardware: HardwareState, units: float) -> None:
        resource = "CPU" if hardware.spec.resource_name == "cpu" else hardware.spec.resource_name
        for node in sorted(self._free[name], key=lambda node: node[resource]):
            held = min(node[resource], units)
            node[resource] -= held
            units -= held

    def copy(self) -> "NodePacking":
        """The same nodes with the same on them."""
        other = NodePacking((), {})
        other._hardware = self._hardware
        other._free = {name: [dict(node) for node in nodes] for name, nodes in self._free.items()}
        return other

    def place(self, hardware_class: str, resources: Resources, replicas: int) -> bool:
        """Put a gang onto the nodes of a class, all of it or nothing; the fullest nodes that have room first."""
        hardware, left = self._hardware[hardware_class], replicas
        needs = needs_of(resources, hardware)
        taken: list[tuple[dict[str, float], int]] = []
        for node in sorted(
            self._free[hardware_class], key=lambda node: (replicas_on(needs, node), sorted(node.items()))
        ):
            here = min(left, replicas_on(needs, node))
            if here:
                taken.append((node, here))
                left -= here
            if not left:
                break
        if left:
            return False
        for node, here in taken:
            for name, need in needs.items():
                node[name] -= here * need
        return True

    def room(self, hardware_class: str, resources: Resources) -> int:
        """How many more replicas of that size fit."""
        needs = needs_of(resources, self._hardware[hardware_class])
        return sum(replicas_on(needs, node) for node in self._free[hardware_class])
