"""The load that each workload is planned for: what it is expected to be once a replica that is started now serves."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trimtab.plan.fleet.forecast import FloatArray, forecast
from trimtab.plan.fleet.level import level, unknown_share
from trimtab.plan.fleet.problem import Workload

_JUMP = 0.99
"""Above this quantile of what was forecast for it, the present load is a new level."""
_KNOWN_INTERVALS = 12
"""From so many intervals on, a load has a level to speak of."""
_BEYOND = 1.25
"""A rising load is followed up to so many times what was ever seen in the window."""


@dataclass(frozen=True)
class Demand:
    """Requests a second of each workload (workloads,)."""

    expected: FloatArray
    """What ways are compared by."""
    ready_for: FloatArray
    """What replicas are to be ready for: the forecast's quantile, the backlog counted in."""


def budget_spent(workload: Workload) -> float:
    """Requests that missed the target over those that may: below 1 there is error budget left."""
    late, allowed = workload.load.late_share, 1.0 - workload.target.quantile
    return 1.0 if late is None or allowed <= 0.0 else late / allowed


def patience_seconds(workload: Workload) -> float:
    """For how long fewer replicas must have been enough: down to two thirds while no error budget is spent.

    As far as the past of the load tells how it wanders: a quiet beginning does not.
    """
    load = workload.load
    past = len(load.requests_per_second) * load.interval_seconds
    known = 1.0 - unknown_share(past, _ahead_seconds(workload))
    unspent = 1.0 - min(1.0, budget_spent(workload))
    return workload.settings.scale_down_stabilization_seconds * (1.0 - known * unspent / 3.0)


def _confidence(workload: Workload) -> float:
    """The quantile to be ready for: down to two thirds while no error budget is spent, up as it is overspent.

    To hundredths, so that workloads whose budgets are alike are forecast together.
    """
    confidence, spent = workload.settings.confidence, budget_spent(workload)
    if spent <= 1.0:
        return max(0.01, round(confidence * (2.0 + spent) / 3.0, 2))
    return min(0.99, round(confidence + (1.0 - confidence) * (1.0 - 1.0 / spent), 2))


def _ahead_seconds(workload: Workload) -> float:
    """Until a decision made now bears fruit: the start of a replica, and what passes until the next decision."""
    running, settings = workload.running, workload.settings
    serving = [o for o in workload.options if o.variant == running.variant and o.pool == running.pool]
    start = min((o.start_seconds for o in serving or workload.options), default=0.0)
    return settings.interval_seconds + start


def _load_of(
    window: FloatArray, interval: float, ahead: float, over: float, confidence: float, waits: float
) -> tuple[FloatArray, FloatArray]:
    """Mean and quantile of the forecast, from the next interval on; of its level, where bursts are absorbed.

    A load that jumps beyond what the past allows is a new level: it counts at once. And the errors that a jump leaves
    in the window say nothing of the load after it: nobody is made ready for much more than was ever seen.
    """
    if over > 0.0 and window.shape[1] >= _KNOWN_INTERVALS:
        smooth = level(window, interval, ahead, over, confidence, waits)
        return smooth.mean, smooth.ready_for
    far, near = forecast(window, interval, ahead, over), forecast(window, interval, interval, over)
    width = min(window.shape[1], max(1, round(over / interval)))
    seen = sliding_window_view(window, width, axis=1).mean(axis=2)
    present, most = seen[:, -1], seen.max(axis=1)
    jumped = np.zeros(len(window), dtype=np.bool_)
    if window.shape[1] > width:
        jumped = present > forecast(window[:, :-width], interval, width * interval, over).quantile(_JUMP)
    mean = np.maximum(far.mean, near.mean)
    mean = np.minimum(np.where(jumped, np.maximum(mean, present), mean), _BEYOND * most)
    ready = np.maximum(far.quantile(confidence), near.quantile(confidence))
    return mean, np.maximum(mean, np.minimum(ready, np.maximum(mean, most)))


def demand(workloads: tuple[Workload, ...]) -> Demand:
    """Forecast each workload's load; 0 where nothing fresh is known. Windows of one shape are worked on together."""
    expected, ready_for = np.zeros(len(workloads)), np.zeros(len(workloads))
    groups: dict[tuple[int, float, float, float, float, float], list[int]] = defaultdict(list)
    for i, workload in enumerate(workloads):
        load = workload.load
        if load.fresh and load.requests_per_second:
            shape = (len(load.requests_per_second), load.interval_seconds)
            settings = workload.settings
            waits = workload.target.bound_seconds if _absorbs(workload) else 0.0
            key = (*shape, _ahead_seconds(workload), settings.load_window_seconds, _confidence(workload), waits)
            groups[key].append(i)
    for (_, interval, ahead, over, confidence, waits), members in groups.items():
        window = np.array([workloads[i].load.requests_per_second for i in members], dtype=np.float64)
        expected[members], ready_for[members] = _load_of(window, interval, ahead, over, confidence, waits)
    ready_for *= np.array([_burst_share(w) for w in workloads])
    rounding = [_rounding(w, rate) for w, rate in zip(workloads, expected.tolist(), strict=True)]
    ready = np.maximum(expected, ready_for - np.array(rounding))
    backlog = np.array([_backlog(w, rate) for w, rate in zip(workloads, expected.tolist(), strict=True)])
    return Demand(expected, ready + backlog)


def _absorbs(workload: Workload) -> bool:
    """Whether bursts may be left to queues and slots: asked for, and there is a level to tell them from."""
    return workload.settings.load_window_seconds > 0.0 and len(workload.load.requests_per_second) >= _KNOWN_INTERVALS


def _burst_share(workload: Workload) -> float:
    """Part of a rise that replicas must hold: requests of a rise may wait, up to the target, until new ones serve."""
    ahead = _ahead_seconds(workload)
    return ahead / (ahead + workload.target.bound_seconds) if _absorbs(workload) else 1.0


def _rounding(workload: Workload, requests_per_second: float) -> float:
    """Load of half a replica: counts are rounded up, so that small fleets have this much headroom on average anyway."""
    replicas = workload.running.replicas
    return requests_per_second / replicas / 2.0 if replicas > 0 and _absorbs(workload) else 0.0


def _backlog(workload: Workload, requests_per_second: float) -> float:
    """The backlog as load; a part of it may wait within the target, half of the bound being for those before it."""
    load, settings = workload.load, workload.settings
    if not load.fresh:
        return 0.0
    within = requests_per_second * workload.target.bound_seconds / 2.0 if _absorbs(workload) else 0.0
    return max(0.0, load.pending_requests - within) / settings.drain_seconds
