"""Where the replicas of jobs are: nodes with equal counts of GPUs, and a job's share of each."""

from collections.abc import Iterable
from dataclasses import dataclass

Placement = tuple[tuple[int, int], ...]
"""(node, replicas) in the order of the ring; empty when the job does not run."""


@dataclass(frozen=True)
class ClusterShape:
    """A cluster of equal nodes."""

    nodes: int
    gpus_per_node: int

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.nodes * self.gpus_per_node


def replicas_of(placement: Placement) -> int:
    """Replicas of a job in all."""
    return sum(count for _, count in placement)


def free_gpus(shape: ClusterShape, placements: Iterable[Placement]) -> list[int]:
    """Free GPUs of each node.

    Raises:
        ValueError: a node is given more than it has.
    """
    free = [shape.gpus_per_node] * shape.nodes
    for placement in placements:
        for node, count in placement:
            free[node] -= count
    for node, left in enumerate(free):
        if left < 0:
            raise ValueError(f"node {node} has {shape.gpus_per_node} GPUs; {shape.gpus_per_node - left} were given out")
    return free


def take_emptiest(free: list[int], replicas: int) -> Placement:
    """Takes GPUs from the nodes with most free, one after the other; `free` is changed.

    Raises:
        ValueError: there are not so many.
    """
    if replicas > sum(free):
        raise ValueError(f"{replicas} GPUs are asked for; {sum(free)} are free")
    placement = []
    while replicas > 0:
        node = max(range(len(free)), key=free.__getitem__)
        count = min(free[node], replicas)
        placement.append((node, count))
        free[node] -= count
        replicas -= count
    return tuple(placement)
