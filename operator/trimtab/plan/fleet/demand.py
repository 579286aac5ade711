"""The load that each workload is planned for: what it is expected to be once a replica that is started now serves."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from trimtab.plan.fleet.forecast import FloatArray, forecast
from trimtab.plan.fleet.problem import Workload


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


def _confidence(workload: Workload) -> float:
    """The quantile to be ready for: down to half of what is set while no error budget is spent, up as it is overspent.

    To hundredths, so that workloads whose budgets are alike are forecast together.
    """
    confidence, spent = workload.settings.confidence, budget_spent(workload)
    if spent <= 1.0:
        return max(0.01, round(confidence * (1.0 + spent) / 2.0, 2))
    return min(0.99, round(confidence + (1.0 - confidence) * (1.0 - 1.0 / spent), 2))


def _ahead_seconds(workload: Workload) -> float:
    """Until a decision made now bears fruit: the start of a replica, and what passes until the next decision."""
    running, settings = workload.running, workload.settings
    serving = [o for o in workload.options if o.variant == running.variant and o.pool == running.pool]
    start = min((o.start_seconds for o in serving or workload.options), default=0.0)
    return settings.interval_seconds + start


def demand(workloads: tuple[Workload, ...]) -> Demand:
    """Forecast each workload's load; 0 where nothing fresh is known. Windows of one shape are worked on together."""
    expected, ready_for = np.zeros(len(workloads)), np.zeros(len(workloads))
    groups: dict[tuple[int, float, float, float, float], list[int]] = defaultdict(list)
    for i, workload in enumerate(workloads):
        load = workload.load
        if load.fresh and load.requests_per_second:
            shape = (len(load.requests_per_second), load.interval_seconds)
            settings = workload.settings
            key = (*shape, _ahead_seconds(workload), settings.load_window_seconds, _confidence(workload))
            groups[key].append(i)
    for (_, interval, ahead, over, confidence), members in groups.items():
        window = np.array([workloads[i].load.requests_per_second for i in members], dtype=np.float64)
        far, near = forecast(window, interval, ahead, over), forecast(window, interval, interval, over)
        expected[members] = np.maximum(far.mean, near.mean)
        ready_for[members] = np.maximum(far.quantile(confidence), near.quantile(confidence))
    backlog = [w.load.pending_requests / w.settings.drain_seconds if w.load.fresh else 0.0 for w in workloads]
    return Demand(expected, np.maximum(expected, ready_for) + np.array(backlog, dtype=np.float64))
