"""Hardware classes with the nodes that belong to them. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import cast

from trimtab.api.common import Toleration
from trimtab.api.hardware import HardwareClassSpec, HardwareClassStatus
from trimtab.observe.facts import KindFact, NodeFact, PodFact, Taint
from trimtab.plan.snapshot import HardwareState, NodeShape

_CONDITION_TAINTS = "node.kubernetes.io/"
"""Kubernetes taints nodes so that are not ready, not reachable or short of something, and takes the taint away."""


def hardware_states(
    classes: Iterable[KindFact], nodes: Iterable[NodeFact], pods: Iterable[PodFact]
) -> tuple[HardwareState, ...]:
    """Each class with what its usable nodes offer and what pods of others hold of them."""
    known, foreign = list(nodes), foreign_requests(pods)
    return tuple(_state(fact, known, foreign) for fact in classes)


def foreign_requests(pods: Iterable[PodFact]) -> dict[str, dict[str, float]]:
    """What scheduled, unfinished pods that are not trimtab's hold, by node and resource name."""
    held: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for pod in pods:
        if pod.owner is None and pod.node and not pod.finished:
            for name, units in pod.requests.items():
                held[pod.node][name] += units
    return held


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether pods with these tolerations may go onto a node with this taint, as the scheduler has it."""
    return any(
        (not one.effect or one.effect == taint.effect)
        and (one.key == taint.key or (not one.key and one.operator == "Exists"))
        and (one.operator == "Exists" or one.value == taint.value)
        for one in tolerations
    )


def _state(fact: KindFact, nodes: list[NodeFact], foreign: dict[str, dict[str, float]]) -> HardwareState:
    spec = cast(HardwareClassSpec, fact.spec)
    members = [node for node in nodes if _belongs(spec, node, but_for_conditions=True)]
    mine = [node for node in members if node.ready and node.schedulable and _belongs(spec, node)]
    capacity = sum(node.allocatable.get(spec.resource_name, 0.0) for node in mine)
    cores = sum(node.allocatable.get("cpu", 0.0) for node in mine)
    return HardwareState(
        meta=fact.meta,
        spec=spec,
        status=cast(HardwareClassStatus, fact.status),
        nodes=len(mine),
        capacity_units=capacity,
        units_per_node=capacity / len(mine) if mine else 0.0,
        foreign_units=sum(foreign.get(node.name, {}).get(spec.resource_name, 0.0) for node in mine),
        cpu_cores_per_node=cores / len(mine) if mine else 0.0,
        shapes=_shapes(spec, members, frozenset(node.name for node in mine)),
    )


def _shapes(spec: HardwareClassSpec, nodes: list[NodeFact], ready: frozenset[str]) -> tuple[NodeShape, ...]:
    names = ("cpu", "memory", spec.resource_name)
    sizes, usable = Counter[tuple[float, ...]](), Counter[tuple[float, ...]]()
    for node in nodes:
        size = tuple(node.allocatable.get(name, 0.0) for name in names)
        sizes[size] += 1
        usable[size] += node.name in ready
    return tuple(
        NodeShape(nodes=count, cpu_cores=size[0], memory_bytes=size[1], units=size[2], ready=usable[size])
        for size, count in sorted(sizes.items(), reverse=True)
    )


def _belongs(spec: HardwareClassSpec, node: NodeFact, *, but_for_conditions: bool = False) -> bool:
    """Whether pods of the class may go onto the node; or might, once it is well again."""
    taints = (t for t in node.taints if not (but_for_conditions and t.key.startswith(_CONDITION_TAINTS)))
    return spec.node_selector.items() <= node.labels.items() and all(tolerates(spec.tolerations, t) for t in taints)
