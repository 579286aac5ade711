"""What Prometheus says of all serving workloads' Triton servers: one query, and the pure reading of its result.

Triton adds the compute time of an execution once for each request in it: so it is divided by requests to get that of
an execution, and multiplied by executions to get how long the instances were busy.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from trimtab.api.serving import Percentile, ServingWorkloadSpec
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series, at_time
from trimtab.plan.serving_facts import ServingMetrics
from trimtab.plan.snapshot import WorkloadPod

_COMPUTE = tuple(f"nv_inference_compute_{phase}_duration_us" for phase in ("input", "infer", "output"))
_QUEUE = "nv_inference_queue_duration_us"
_SUCCESS, _FAILURE = "nv_inference_request_success", "nv_inference_request_failure"
_ITEMS, _EXECUTIONS = "nv_inference_count", "nv_inference_exec_count"
_COUNTERS = (*_COMPUTE, _QUEUE, _SUCCESS, _FAILURE, _ITEMS, _EXECUTIONS)
_SUMMARY = "nv_inference_request_summary_us"
_PENDING = "nv_inference_pending_request_count"
_QUANTILES = {Percentile.P50: "0.5", Percentile.P90: "0.9", Percentile.P95: "0.95", Percentile.P99: "0.99"}


def serving_query(window_seconds: float) -> str:
    """Raw samples of the window, of every serving workload's pods."""
    names = "|".join((*_COUNTERS, _SUMMARY, _PENDING))
    return f'{{__name__=~"{names}",workload_kind="{SERVING}",workload!=""}}[{seconds(window_seconds)}]'


@dataclass(frozen=True)
class _PodLoad:
    """One server's counters as increases a second, and its gauges."""

    rates: dict[str, float]
    pending: float
    latency_us: float | None
    newest: float
    """Unix time of its last scrape."""


@dataclass
class _Sums:
    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def ratio(self, above: Iterable[str], below: str) -> float | None:
        """None without the events of `below`, or with so small a part of one that the quotient is no number."""
        divisor = self.rates[below]
        quotient = sum(self.rates[name] for name in above) / divisor if divisor > 0 else math.inf
        return quotient if math.isfinite(quotient) else None


def serving_metrics(
    series: Iterable[Series],
    spec: ServingWorkloadSpec,
    pods: Sequence[WorkloadPod],
    now: datetime,
    settle_seconds: float,
) -> ServingMetrics | None:
    """Read one workload's series.

    Args:
        series: Its series, of whatever pods.
        spec: Says the model, the percentile and the instances.
        pods: Its pods; only those that are ready count.
        now: The present.
        settle_seconds: How long a pod may run before its figures must be there.

    Returns:
        None when nothing usable is known, or when a pod that has been ready for a while tells nothing: the load of the
        others alone would look like less than there is.
    """
    by_pod: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        if one.label("model") == spec.model:
            by_pod[one.label("pod")].append(one)
    quantile = _QUANTILES[spec.targets.latency.percentile]
    loads: list[_PodLoad] = []
    for pod in (pod for pod in pods if pod.ready and not pod.deleting):
        load = _pod_load(by_pod[pod.name], quantile)
        if load is not None:
            loads.append(load)
        elif pod.started_at is None or now - pod.started_at > timedelta(seconds=settle_seconds):
            return None
    return _combine(loads, spec.triton.instances) if loads else None


def _pod_load(series: list[Series], quantile: str) -> _PodLoad | None:
    """One pod's load; None before its second scrape. All series of a pod share the times of its scrapes."""
    times = {at for one in series if one.name in _COUNTERS for at, _ in one.points}
    if len(times) < 2:
        return None
    first, newest = min(times), max(times)
    rates: dict[str, float] = defaultdict(float)
    for one in series:
        if one.name in _COUNTERS:
            rates[one.name] += _increase(one, first) / (newest - first)
    current = [one for one in series if one.points[-1][0] == newest]
    latencies = [one.points[-1][1] for one in current if one.name == _SUMMARY and one.label("quantile") == quantile]
    pending = sum(one.points[-1][1] for one in current if one.name == _PENDING)
    return _PodLoad(dict(rates), pending, max(latencies, default=None), newest)


def _increase(series: Series, first: float) -> float:
    """Increase of a counter since the pod's first scrape in the window.

    A series that begins later belongs to a version that was loaded since, and began at zero; one that fell was reset.
    """
    values = [value for _, value in series.points]
    if series.points[0][0] > first:
        values.insert(0, 0.0)
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def _combine(loads: list[_PodLoad], instances: int) -> ServingMetrics:
    sums = _Sums()
    for load in loads:
        for name, rate in load.rates.items():
            sums.rates[name] += rate
    compute_us, queue_us = sums.ratio(_COMPUTE, _SUCCESS), sums.ratio((_QUEUE,), _SUCCESS)
    busy = sums.rates[_EXECUTIONS] * (compute_us or 0.0) / 1e6 / (instances * len(loads))
    latencies = [load.latency_us for load in loads if load.latency_us is not None]
    return ServingMetrics(
        requests_per_second=sums.rates[_SUCCESS] + sums.rates[_FAILURE],
        items_per_second=sums.rates[_ITEMS],
        latency_ms=max(latencies) / 1000.0 if latencies else None,
        mean_compute_ms=compute_us / 1000.0 if compute_us is not None else None,
        mean_queue_ms=queue_us / 1000.0 if queue_us is not None else None,
        mean_batch=sums.ratio((_ITEMS,), _EXECUTIONS),
        pending_requests=sum(load.pending for load in loads),
        busy_share=min(1.0, busy),
        failures_per_second=sums.rates[_FAILURE],
        pods=len(loads),
        observed_at=at_time(max(load.newest for load in loads)),
    )
