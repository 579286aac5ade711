"""One round of planning for elastic jobs: who has how many GPUs, where, and what stands in the way of more.

Least is to be the sum over all jobs of (time until done) x (weight of the delay), plus (GPU time) x (price). What has
to be known of a job is what an operator knows: the progress that is left of what its user declared, the step times
that it measured so far, and the gradient noise that it reports. A job of which nothing is measured is run at once,
small: that is how it becomes known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.divide import divide, scales
from trimtab.plan.elastic.pack import pack
from trimtab.plan.elastic.placement import ClusterShape, Placement, replicas_of
from trimtab.plan.elastic.worth import concave, progress_worths

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

UNKNOWN_GAIN = 1e6
"""Weights of delay that a job is worth of which nothing is measured: before all others."""
UNKNOWN_SCALE_GAIN = 1e-3
"""Weights of delay that each doubling of its scale is worth: it takes GPUs that would stand idle, and no others."""


class SpeedModel(Protocol):
    """What is known of a job's speed: a goodput model, or speeds measured by scale."""

    def speeds(self, replicas: IntArray, gpus_per_node: int, fixed_batch: int | None = None) -> FloatArray:
        """Progress a second at each scale, 0 where the job cannot have it. Shape: that of `replicas`."""
        ...


@dataclass(frozen=True)
class ElasticDemand:
    """A job that is submitted and not done."""

    key: str
    placement: Placement
    """Where it runs now."""
    work_left: float
    """Progress left, in steps of the initial batch."""
    model: SpeedModel | None
    """What is known of its speed; None before the first measurement."""
    most_replicas: int
    """Limit for now: by its user, or because more would be too far from what was measured."""
    fixed_batch: int | None = None
    """Global batch of a job that keeps it; None where it may be chosen."""
    delay_weight: float = 1.0
    """What a second of delay costs."""


@dataclass(frozen=True)
class ElasticSettings:
    """How the planner weighs changes."""

    restart_seconds: float = 30.0
    """Time in which a job does not progress after each change."""
    settle_seconds: float = 300.0
    """How long a division is expected to last: a restart has to pay within it."""


@dataclass(frozen=True)
class GpuPrice:
    """Money and priced carbon of a GPU second, in the unit of the delay weights."""

    now: float = 0.0
    ahead: float = 0.0
    """Expected mean over the time in which the jobs run."""


@dataclass(frozen=True)
class ElasticDecision:
    """The plan of one job, and why it is so."""

    key: str
    placement: Placement
    speed: float
    """Steps of the initial batch a second; 0 while nothing is known."""
    bound_by: str
    """What keeps it from the next larger scale: Capacity, Measured (more is not allowed yet), Price, Restart, Scaling
    (it would not be faster)."""
    next_replicas: int | None = None
    """The next larger scale."""
    next_gain: float = 0.0
    """What it would gain by it (weights of delay, restart and price counted), were the GPUs free."""


@dataclass(frozen=True)
class _Candidate:
    """A job with what each scale would give it. Shape of arrays: (scales,)."""

    demand: ElasticDemand
    speeds: FloatArray
    gains: FloatArray


def plan_elastic(
    demands: Sequence[ElasticDemand],
    shape: ClusterShape,
    settings: ElasticSettings | None = None,
    price: GpuPrice | None = None,
) -> tuple[ElasticDecision, ...]:
    """Plans a round.

    Args:
        demands: the jobs, with unique keys.
        shape: the cluster.
        settings: how changes are weighed.
        price: of GPUs; without it completion time alone counts.

    Returns:
        A decision for each job, in the order of the demands.
    """
    settings, price = settings or ElasticSettings(), price or GpuPrice()
    sizes = scales(shape.gpus, shape.gpus_per_node)
    candidates = _candidates(demands, sizes, shape, settings, price)
    chosen = divide([candidate.gains for candidate in candidates], sizes, shape.gpus)
    counts = {candidate.demand.key: int(sizes[index]) for candidate, index in zip(candidates, chosen, strict=True)}
    placements = pack(counts, {demand.key: demand.placement for demand in demands}, shape)
    decisions = {
        candidate.demand.key: _explain(candidate, int(index), sizes, placements, price)
        for candidate, index in zip(candidates, chosen, strict=True)
    }
    return tuple(decisions[demand.key] for demand in demands)


def _candidates(
    demands: Sequence[ElasticDemand], sizes: IntArray, shape: ClusterShape, settings: ElasticSettings, price: GpuPrice
) -> list[_Candidate]:
    """What each scale is worth to each job; those of which nothing is known come first."""
    unknown = [
        _Candidate(demand, np.zeros(sizes.size), _gains_unknown(demand, sizes, price))
        for demand in demands
        if demand.model is None
    ]
    known = []
    for demand in demands:
        if demand.model is not None:
            speeds = demand.model.speeds(sizes, shape.gpus_per_node, demand.fixed_batch)
            known.append((demand, np.where(sizes <= _most_replicas(demand), speeds, 0.0)))
    # The shortest first: by the GPU time that is left at the most efficient scale.
    known.sort(key=lambda pair: _gpu_seconds_left(pair[0], pair[1], sizes) / pair[0].delay_weight)
    every = np.arange(shape.gpus + 1)
    curves = [concave(np.interp(every, sizes, np.maximum.accumulate(speeds))) for _, speeds in known]
    worths = progress_worths(curves, [demand.delay_weight for demand, _ in known], price.ahead)
    return unknown + [
        _Candidate(demand, speeds, _gains(demand, speeds, float(worth), sizes, settings, price))
        for (demand, speeds), worth in zip(known, worths, strict=True)
    ]


def _most_replicas(demand: ElasticDemand) -> int:
    """A job may always keep what it has."""
    return max(demand.most_replicas, replicas_of(demand.placement))


def _gpu_seconds_left(demand: ElasticDemand, speeds: FloatArray, sizes: IntArray) -> float:
    best = float(np.max(speeds[1:] / sizes[1:]))
    return demand.work_left / best if best > 0 else np.inf


def _gains_unknown(demand: ElasticDemand, sizes: IntArray, price: GpuPrice) -> FloatArray:
    gains = (
        demand.delay_weight * (UNKNOWN_GAIN + UNKNOWN_SCALE_GAIN * np.log2(np.maximum(sizes, 1))) - price.now * sizes
    )
    gains[0] = 0.0
    return np.where(sizes <= max(_most_replicas(demand), 1), gains, -np.inf)


def _gains(
    demand: ElasticDemand, speeds: FloatArray, worth: float, sizes: IntArray, settings: ElasticSettings, price: GpuPrice
) -> FloatArray:
    """Gain by unit of time of each scale: worth of the progress less the price, restarts counted."""
    progress = worth * speeds
    held = replicas_of(demand.placement)
    if held:
        with np.errstate(divide="ignore"):
            ending = demand.work_left / speeds + settings.restart_seconds
        lasting = np.minimum(settings.settle_seconds, ending)
        kept = np.maximum(1.0 - settings.restart_seconds / lasting, 0.0)
        # A job that is stopped has to start again later: that much of its progress is lost with it.
        stopped = -worth * float(np.interp(held, sizes, speeds)) * settings.restart_seconds / settings.settle_seconds
        progress = np.where(sizes == held, progress, np.where(sizes == 0, stopped, progress * kept))
    return np.where(sizes <= _most_replicas(demand), progress - price.now * sizes, -np.inf)


def _explain(
    candidate: _Candidate, index: int, sizes: IntArray, placements: dict[str, Placement], price: GpuPrice
) -> ElasticDecision:
    demand, speeds, gains = candidate.demand, candidate.speeds, candidate.gains
    placement = placements.get(demand.key, ())
    speed = float(speeds[index])
    if index + 1 == sizes.size:
        return ElasticDecision(demand.key, placement, speed, "Capacity")
    following = int(sizes[index + 1])
    if following > _most_replicas(demand):
        return ElasticDecision(demand.key, placement, speed, "Measured", following)
    gain = float(gains[index + 1] - gains[index])
    if demand.model is not None and speeds[index + 1] <= speed:
        bound = "Scaling"
    elif gain > 0:
        bound = "Capacity"
    elif gain + price.now * float(sizes[index + 1] - sizes[index]) <= 0:
        bound = "Restart"
    else:
        bound = "Price"
    return ElasticDecision(demand.key, placement, speed, bound, following, gain)
