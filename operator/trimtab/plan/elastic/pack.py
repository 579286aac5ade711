"""Puts jobs on nodes: those whose scale stays are left where they are, as far as room can be found without moving
them.
"""

from collections.abc import Mapping

from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, replicas_of, take_emptiest


def pack(counts: Mapping[str, int], before: Mapping[str, Placement], shape: ClusterShape) -> dict[str, Placement]:
    """Places jobs.

    A job is spread over as few nodes as hold it. Where no node has room for one that fits in a node, the smallest
    jobs are moved out of the node with most room.

    Args:
        counts: replicas of each job; at most the cluster's GPUs in all.
        before: where the jobs were.
        shape: the cluster.

    Returns:
        Placement of each job that has replicas.

    Raises:
        ValueError: the counts are more than the GPUs.
    """
    if sum(counts.values()) > shape.gpus:
        raise ValueError(f"{sum(counts.values())} replicas are to be placed on {shape.gpus} GPUs")
    placed = {
        key: before[key]
        for key, count in counts.items()
        if count and replicas_of(before.get(key, ())) == count and _is_tight(before[key], count, shape)
    }
    # Largest first: with scales of which each divides the next, the smaller ones then fit in what is left.
    waiting = sorted((key for key in counts if counts[key] and key not in placed), key=lambda key: (-counts[key], key))
    while waiting:
        key = waiting.pop(0)
        free = free_gpus(shape, placed.values())
        placement = _fit(free, counts[key], shape)
        if placement is None:
            moved = _evict(placed, counts[key], free, shape)
            if moved:
                waiting = sorted([key, *waiting, *moved], key=lambda job: (-counts[job], job))
                continue
            placement = take_emptiest(free, counts[key])
        placed[key] = placement
    return placed


def _is_tight(placement: Placement, count: int, shape: ClusterShape) -> bool:
    return len(placement) <= -(-count // shape.gpus_per_node)


def _fit(free: list[int], count: int, shape: ClusterShape) -> Placement | None:
    """Whole nodes, and the rest on the node where it leaves least room; None if there are no such nodes."""
    whole, rest = divmod(count, shape.gpus_per_node)
    empty = [node for node, left in enumerate(free) if left == shape.gpus_per_node]
    if len(empty) < whole:
        return None
    nodes = empty[:whole]
    placement = [(node, shape.gpus_per_node) for node in nodes]
    if rest:
        fitting = [node for node, left in enumerate(free) if left >= rest and node not in nodes]
        if not fitting:
            return None
        placement.append((min(fitting, key=lambda node: (free[node], node)), rest))
    return tuple(sorted(placement))


def _evict(placed: dict[str, Placement], count: int, free: list[int], shape: ClusterShape) -> list[str]:
    """Takes jobs smaller than `count` off the node that needs least moved to have room; `placed` is changed.

    Returns:
        Those that were taken off; empty if no node can be emptied so.
    """
    need = min(count, shape.gpus_per_node)
    best: tuple[int, list[str]] | None = None
    for node in range(shape.nodes):
        if free[node] >= need:
            continue
        movable = sorted(
            (replicas_of(placement), key)
            for key, placement in placed.items()
            if len(placement) == 1 and placement[0][0] == node and replicas_of(placement) < count
        )
        gained, moved = 0, []
        for size, key in reversed(movable):
            if free[node] + gained >= need:
                break
            gained += size
            moved.append(key)
        if free[node] + gained >= need and (best is None or gained < best[0]):
            best = gained, moved
    if best is None:
        return []
    for key in best[1]:
        del placed[key]
    return best[1]
