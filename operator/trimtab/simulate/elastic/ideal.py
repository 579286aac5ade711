"""How well an application could be trained if nothing were in its way: from the traces, with full knowledge of its
convergence.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.placement import ClusterShape
from trimtab.simulate.elastic.application import Application

FloatArray = npt.NDArray[np.float64]

LOCAL_BATCHES = 24
"""Local batches that are tried on each placement, besides the traced ones, in geometric steps."""
MOST_PASSES = 8
"""Passes before gradients are exchanged, at most; a batch that needs more on a placement is not tried there."""


@dataclass(frozen=True)
class Ideal:
    """Limits of any way to train an application from beginning to end on a cluster."""

    fastest_seconds: float
    """With the fastest placement and batch in each epoch."""
    least_gpu_seconds: float
    """With the placement and batch that need least GPU time in each epoch."""
    fastest_gpu_share: float
    """Least GPU time that can be done by the second, at most, as a share of all of it."""


def ideal(application: Application, shape: ClusterShape) -> Ideal:
    """Searches placements (all that were traced, and the densest of each scale) and batches (a dense grid).

    Args:
        application: with its traces.
        shape: the cluster; placements that it does not hold are left out.
    """
    fastest = np.full(application.epochs, np.inf)
    leanest = np.full(application.epochs, np.inf)
    progress = np.diff(application.epoch_progress, prepend=0.0)
    for placement in _placements(application, shape):
        replicas = sum(placement)
        for local, passes in _splits(application, placement):
            time = application.step_time(placement, local)
            seconds = time.step_seconds + time.compute_seconds * (passes - 1)
            size = local * passes * replicas
            taken = progress * seconds / application.gains(size)
            fastest = np.minimum(fastest, taken)
            leanest = np.minimum(leanest, taken * replicas)
    least = float(leanest.sum())
    return Ideal(float(fastest.sum()), least, float(np.max(leanest / fastest)) / least)


def _placements(application: Application, shape: ClusterShape) -> list[tuple[int, ...]]:
    each, most = shape.gpus_per_node, min(shape.gpus, application.limits.most_replicas)
    traced = [
        placement
        for placement in application.trace.placements
        if sum(placement) <= most and len(placement) <= shape.nodes and max(placement) <= each
    ]
    dense = [(each,) * (count // each) + ((count % each,) if count % each else ()) for count in range(1, most + 1)]
    return list(dict.fromkeys([*traced, *dense]))


def _splits(application: Application, placement: tuple[int, ...]) -> list[tuple[int, int]]:
    """Local batches and passes to try."""
    limits, replicas = application.limits, sum(placement)
    trace = application.trace.placements.get(placement)
    grid = np.geomspace(limits.local_minimum, limits.local_maximum, LOCAL_BATCHES).astype(int).tolist()
    traced = [] if trace is None else trace.local_batch.astype(int).tolist()
    found = []
    for local in sorted({*grid, *traced}):
        for passes in range(1, MOST_PASSES + 1):
            fits = limits.initial <= local * passes * replicas <= limits.maximum and local <= limits.local_maximum
            if fits and _is_traced(application, placement, local):
                found.append((local, passes))
    return found


def _is_traced(application: Application, placement: tuple[int, ...], local: int) -> bool:
    try:
        application.step_time(placement, local)
    except ValueError:
        return False
    return True
