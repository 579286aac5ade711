"""The Web API of the Carbon Aware SDK, and the JSON that its exporter puts into a ConfigMap."""

import json
from datetime import datetime, timedelta
from typing import Any

from trimtab.api.signals import CarbonAwareSDK
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError, entry, grams_of, list_of, series, time_of
from trimtab.plan.snapshot import IntensityPoint

_HISTORY = timedelta(days=1)


def fetch(http: Http, source: CarbonAwareSDK, zone: str, now: datetime) -> Signal:
    """The location's past day and forecast. Either may be missing: it depends on the SDK's own data source.

    Raises:
        SignalError: when neither can be had; the reason is that of the forecast.
    """
    base, location = source.url.rstrip("/"), source.location or zone
    end = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    span = {"startTime": (end - _HISTORY).isoformat(), "endTime": end.isoformat()}
    problems: list[SignalError] = []
    forecast: tuple[IntensityPoint, ...] = ()
    history: tuple[IntensityPoint, ...] = ()
    made_at = None
    try:
        forecast, made_at = parse_forecast(
            http.get_json(f"{base}/emissions/forecasts/current", {"location": location}), location
        )
    except SignalError as error:
        problems.append(error)
    try:
        history = parse_emissions(http.get_json(f"{base}/emissions/bylocation", {"location": location, **span}))
    except SignalError as error:
        problems.append(error)
    if not forecast and not history:
        if problems:
            raise problems[0]
        raise SignalError(Reason.NO_DATA, f"the Carbon Aware SDK has no figure for location {location!r}")
    return Signal(history, forecast, made_at, note=f"a part is missing: {problems[0]}" if problems else "")


def parse_forecast(body: Any, location: str) -> tuple[tuple[IntensityPoint, ...], datetime | None]:
    """The points of `/emissions/forecasts/current`, and when they were made.

    Raises:
        SignalError: when it is not what the SDK's OpenAPI says.
    """
    what = "the forecast of the Carbon Aware SDK"
    if body is None:
        return (), None
    forecasts = body if isinstance(body, list) else []
    if not forecasts:
        raise SignalError(Reason.NO_DATA, f"{what} has no entry for location {location!r}")
    first = entry(forecasts[0], what)
    made_at = first.get("generatedAt")
    points = parse_points(list_of(first, "forecastData", what), what)
    return points, time_of(made_at, "generatedAt") if made_at else None


def parse_points(items: list[Any], what: str) -> tuple[IntensityPoint, ...]:
    """Points as the SDK writes them: timestamp, duration in minutes, value in gCO2e/kWh.

    Raises:
        SignalError: when one is not of that form.
    """
    return series(
        (time_of(item.get("timestamp"), what), grams_of(item.get("value"), what))
        for item in (entry(one, what) for one in items)
    )


def parse_exported(text: str) -> tuple[IntensityPoint, ...]:
    """What the SDK's exporter writes to a ConfigMap (`binaryData.data`): the forecast's points as a JSON list.

    Raises:
        SignalError: when it is not.
    """
    try:
        items = json.loads(text)
    except ValueError as error:
        raise SignalError(Reason.BAD_ANSWER, f"is not JSON: {error}") from error
    if not isinstance(items, list) or not items:
        raise SignalError(Reason.BAD_ANSWER, "must be a JSON list of points with timestamp, duration and value")
    return parse_points(items, "a point")


def parse_emissions(body: Any) -> tuple[IntensityPoint, ...]:
    """The points of `/emissions/bylocation`; none for no content.

    Raises:
        SignalError: when it is not what the SDK's OpenAPI says.
    """
    what = "the emissions of the Carbon Aware SDK"
    if body is None:
        return ()
    if not isinstance(body, list):
        raise SignalError(Reason.BAD_ANSWER, f"{what} are not a list")
    return series(
        (time_of(item.get("time"), what), grams_of(item.get("rating"), what))
        for item in (entry(one, what) for one in body)
    )
