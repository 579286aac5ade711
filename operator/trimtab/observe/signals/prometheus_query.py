"""Carbon intensity from a PromQL expression, over a range: what some exporter has put into Prometheus."""

import math
from datetime import UTC, datetime
from typing import Any

from trimtab.api.signals import PrometheusIntensity
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError, entry, grams_of, list_of, series


def fetch(http: Http, source: PrometheusIntensity, url: str, token: str, now: datetime) -> Signal:
    """The expression's past.

    Args:
        http: The client.
        source: The expression, and how far back it is asked for.
        url: Base address of Prometheus.
        token: Bearer token; empty means none.
        now: The present.

    Raises:
        SignalError: when there is no usable series.
    """
    if not url:
        raise SignalError(
            Reason.UNREACHABLE,
            "the operator has no Prometheus: set spec.prometheus.url, or prometheus.url of the chart",
        )
    # Whole steps: the same instants each time, so that an hour's figure does not wander within the hour.
    step = max(1, round(source.step.total_seconds()))
    end = int(now.timestamp()) // step * step
    params = {
        "query": source.query,
        "start": str(end - int(source.history.total_seconds()) // step * step),
        "end": str(end),
        "step": str(step),
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        body = http.get_json(f"{url.rstrip('/')}/api/v1/query_range", params, headers)
    except SignalError as error:
        if error.reason is Reason.NOT_FOUND:
            raise SignalError(Reason.BAD_ANSWER, f"Prometheus refuses the query: {error}") from error
        raise
    return Signal(history=parse(body))


def parse(body: Any) -> tuple[Any, ...]:
    """The points of a range query that gives one series; samples that are NaN are passed over.

    Raises:
        SignalError: when it is not an answer of Prometheus, or gives no series or several.
    """
    what = "the answer of Prometheus"
    data = entry(entry(body, what).get("data"), what)
    if data.get("resultType") != "matrix":
        raise SignalError(Reason.BAD_ANSWER, f"{what} is of type {data.get('resultType')!r}, not a matrix")
    found = [entry(one, what) for one in list_of(data, "result", what)]
    if not found:
        raise SignalError(Reason.NO_DATA, "the query gives no series: check its metric and labels")
    if len(found) > 1:
        raise SignalError(
            Reason.BAD_ANSWER,
            f"the query gives {len(found)} series; make it one, such as avg(...) or a narrower selector",
        )
    points = []
    for sample in list_of(found[0], "values", what):
        at, value = _sample(sample, what)
        if not math.isnan(value):
            points.append((at, grams_of(value, what)))
    if not points:
        raise SignalError(Reason.NO_DATA, "the query gives no number")
    return series(points)


def _sample(sample: Any, what: str) -> tuple[datetime, float]:
    try:
        at, text = sample
        return datetime.fromtimestamp(float(at), UTC), float(text)
    except (TypeError, ValueError, OverflowError) as error:
        raise SignalError(Reason.BAD_ANSWER, f"{what}: a sample is not a time and a number") from error
