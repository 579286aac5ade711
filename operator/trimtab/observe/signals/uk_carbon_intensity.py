"""Great Britain's Carbon Intensity API: half hours of the past day and of the next two; no key."""

from datetime import datetime
from typing import Any

from trimtab.api.signals import UKCarbonIntensity
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError, entry, grams_of, list_of, series, time_of
from trimtab.plan.snapshot import IntensityPoint


def fetch(http: Http, source: UKCarbonIntensity, now: datetime) -> Signal:
    """The past day and the forecast of Great Britain or of a region.

    Raises:
        SignalError: when one of them cannot be had.
    """
    at = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    base, start = source.url.rstrip("/"), f"{at:%Y-%m-%dT%H:%MZ}"
    if source.region_id is None:
        root, tail = f"{base}/intensity/{start}", ""
    else:
        root, tail = f"{base}/regional/intensity/{start}", f"/regionid/{source.region_id}"
    past = parse(http.get_json(f"{root}/pt24h{tail}"))
    ahead = parse(http.get_json(f"{root}/fw48h{tail}"))
    if not ahead and not past:
        raise SignalError(Reason.NO_DATA, f"the Carbon Intensity API has no figures around {start}")
    # The half hour that runs is in both answers or in either: it belongs to the present.
    history = tuple(point for point in series((p.start, p.grams_per_kwh) for p in (*ahead, *past)) if point.start <= at)
    return Signal(history=history, forecast=tuple(point for point in ahead if point.start > at))


def parse(body: Any) -> tuple[IntensityPoint, ...]:
    """The points of an answer: what was measured where it is known, else what was expected.

    Raises:
        SignalError: when it is not what the API's definition says.
    """
    what = "the answer of the Carbon Intensity API"
    if isinstance(body, dict) and isinstance(body.get("data"), dict):
        body = body["data"]  # Regional answers have one level more.
    points = []
    for item in (entry(item, what) for item in list_of(body, "data", what)):
        figures = entry(item.get("intensity"), what)
        measured = figures.get("actual")
        value = measured if measured is not None else figures.get("forecast")
        if value is not None:
            points.append((time_of(item.get("from"), what), grams_of(value, what)))
    return series(points)
