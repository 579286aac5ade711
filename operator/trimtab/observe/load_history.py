"""How the load of each serving workload went: its rates over past intervals, from which the planner forecasts.

One subquery for all workloads, an hour long: as far back as the forecasts look. It is read whole once, and then what is
new of it. Who lets fewer replicas be enough for less than two minutes (`scaling.scaleDownStabilization`) follows the
present rate alone.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from trimtab.api.serving import ServingWorkloadSpec
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series

_SPAN = timedelta(hours=1)
_LEAST_PATIENCE = timedelta(minutes=2)
_READ_AGAIN = 3
"""Of so many intervals the last samples may not have been there yet when they were read."""
_FEWEST_INTERVALS = 12
"""A shorter history says less of what comes than the present rate alone."""


def interval_seconds(scrape_interval_seconds: float) -> float:
    """Length of an interval: several scrapes, or 10 s where that is more."""
    return max(10.0, 3.0 * scrape_interval_seconds)


def history_query(specs: Iterable[ServingWorkloadSpec], interval: float, span: timedelta = _SPAN) -> str | None:
    """Answered requests a second of each workload at the end of each interval of a span that ends now.

    None when nobody looks back.
    """
    if not any(_span(spec) for spec in specs):
        return None
    step = seconds(interval)
    rate = f'rate(nv_inference_request_success{{workload_kind="{SERVING}",workload!=""}}[{step}])'
    return f"sum by (namespace, workload) ({rate})[{seconds(span.total_seconds())}:{step}]"


def _span(spec: ServingWorkloadSpec) -> timedelta:
    """How far back a workload is looked at; nothing where its user wants it to follow the present."""
    return _SPAN if spec.scaling.scale_down_stabilization >= _LEAST_PATIENCE else timedelta(0)


class LoadMemory:
    """What was read of the last hour. For one thread at a time."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._read_at: datetime | None = None

    def query(self, specs: Iterable[ServingWorkloadSpec], now: datetime) -> str | None:
        """What is not known yet, and the last intervals once more; None when nobody looks back."""
        missing = _SPAN if self._read_at is None or now < self._read_at else now - self._read_at
        intervals = math.ceil(missing.total_seconds() / self.interval) + _READ_AGAIN
        return history_query(specs, self.interval, min(_SPAN, timedelta(seconds=intervals * self.interval)))

    def take(self, series: Mapping[str, Iterable[Series]], now: datetime) -> None:
        """Take up what the query gave, by `namespace/name` of the workload."""
        begin = (now - _SPAN).timestamp()
        for key in self._points.keys() | series.keys():
            new = [point for one in series.get(key, ()) for point in one.points]
            first = new[0][0] if new else math.inf
            kept = [point for point in self._points.get(key, ()) if begin < point[0] < first] + new
            if kept:
                self._points[key] = kept
            else:
                del self._points[key]
        self._read_at = now

    def rates(self, key: str, spec: ServingWorkloadSpec, now: datetime) -> tuple[float, ...]:
        """Of one workload, as `load_history` gives them."""
        return load_history([Series({}, tuple(self._points.get(key, ())))], spec, self.interval, now)


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
    begin = (now - _span(spec)).timestamp()
    rates: list[float] = []
    expected = now.timestamp()
    for at, value in reversed(points):
        if at < begin or expected - at > 2.0 * interval:
            break
        rates.append(value)
        expected = at
    return tuple(reversed(rates)) if len(rates) >= _FEWEST_INTERVALS else ()
