"""How the load of each serving workload went: its rates over past intervals, from which the planner forecasts.

One subquery for all workloads, an hour long: as far back as the forecasts look. Who lets fewer replicas be enough for
less than two minutes (`scaling.scaleDownStabilization`) follows the present rate alone.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from trimtab.api.serving import ServingWorkloadSpec
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series

_SPAN = timedelta(hours=1)
_FEWEST_INTERVALS = 12
"""A shorter history says less of what comes than the present rate alone."""


def interval_seconds(scrape_interval_seconds: float) -> float:
    """Length of an interval: several scrapes, or 10 s where that is more."""
    return max(10.0, 3.0 * scrape_interval_seconds)


def history_query(specs: Iterable[ServingWorkloadSpec], interval: float) -> str | None:
    """Answered requests a second of each workload at the end of each past interval; None when nobody looks back."""
    spans = [_span(spec, interval) for spec in specs]
    longest = max(spans, default=timedelta(0))
    if longest <= timedelta(0):
        return None
    step = seconds(interval)
    rate = f'rate(nv_inference_request_success{{workload_kind="{SERVING}",workload!=""}}[{step}])'
    return f"sum by (namespace, workload) ({rate})[{seconds(longest.total_seconds())}:{step}]"


def _span(spec: ServingWorkloadSpec, interval: float) -> timedelta:
    """How far back a workload is looked at; nothing where its user lets no past count that could be learned from."""
    patient = spec.scaling.scale_down_stabilization.total_seconds() >= _FEWEST_INTERVALS * interval
    return _SPAN if patient else timedelta(0)


def load_history(
    series: Iterable[Series], spec: ServingWorkloadSpec, interval: float, now: datetime
) -> tuple[float, ...]:
    """Rates of one workload over its past intervals, the newest last, without a hole.

    Args:
        series: Its series of the query: one, or none.
        spec: Says how far back.
        interval: Length of an interval in seconds.
        now: The present: what ends more than two intervals before it is no recent past.

    Returns:
        Empty when less is known than is needed to learn from it.
    """
    points = [point for one in series for point in one.points]
    begin = (now - _span(spec, interval)).timestamp()
    rates: list[float] = []
    expected = now.timestamp()
    for at, value in reversed(points):
        if at < begin or expected - at > 2.0 * interval:
            break
        rates.append(value)
        expected = at
    return tuple(reversed(rates)) if len(rates) >= _FEWEST_INTERVALS else ()
