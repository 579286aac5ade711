"""Electricity Maps, version 3: the last day, and the forecast where the account's plan has one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from trimtab.api.signals import ElectricityMaps
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError, entry, grams_of, list_of, series, time_of
from trimtab.plan.snapshot import IntensityPoint

_ASK_AGAIN_AFTER = timedelta(days=1)
"""A plan without forecasts is tried again after this: it may have been changed."""
_HORIZONS_HOURS = (6, 24, 48, 72)
"""What the API takes as `horizonHours`."""


class ElectricityMapsClient:
    """Remembers which zones the account has no forecast for, so that no request is wasted on them."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._without_forecast: dict[tuple[str, str], datetime] = {}

    def fetch(self, source: ElectricityMaps, zone: str, key: str, horizon: timedelta, now: datetime) -> Signal:
        """The zone's past day and forecast.

        Args:
            source: Zone, emission factors and address.
            zone: The zone where the source names none.
            key: The API key.
            horizon: How far ahead is wanted.
            now: The present.

        Raises:
            SignalError: when the past cannot be had; a forecast that fails is noted only.
        """
        zone = source.zone or zone
        base = f"{source.url.rstrip('/')}/carbon-intensity"
        # Without the last one the API would answer for the place of the caller where it does not know the zone.
        params = {
            "zone": zone,
            "emissionFactorType": source.emission_factors.value,
            "shouldUseFallbackCallerLookup": "false",
        }
        headers = {"auth-token": key}
        history = parse(self._http.get_json(f"{base}/history", params, headers), "history", zone)
        if not history:
            raise SignalError(Reason.NO_DATA, f"Electricity Maps has no figure for zone {zone!r} in the last day")
        if now < self._without_forecast.get((source.url, zone), now):
            return Signal(history=history, note="the account's plan has no forecast for this zone")
        try:
            body = self._forecast(f"{base}/forecast", params, headers, horizon)
            forecast = parse(body, "forecast", zone)
            made_at = time_of(body["updatedAt"], "updatedAt") if body.get("updatedAt") else None
        except SignalError as error:
            if error.reason is Reason.UNAUTHORIZED:
                self._without_forecast[source.url, zone] = now + _ASK_AGAIN_AFTER
            return Signal(history=history, note=f"no forecast from the source: {error}")
        return Signal(history=history, forecast=forecast, forecast_made_at=made_at)

    def _forecast(self, url: str, params: dict[str, str], headers: dict[str, str], horizon: timedelta) -> Any:
        """The forecast as far ahead as is wanted; a plan that refuses that is asked for what it gives by default."""
        hours = next((h for h in _HORIZONS_HOURS if h >= horizon / timedelta(hours=1)), _HORIZONS_HOURS[-1])
        try:
            return self._http.get_json(url, {**params, "horizonHours": str(hours)}, headers)
        except SignalError as error:
            if error.reason not in (Reason.UNAUTHORIZED, Reason.NOT_FOUND):
                raise
        return self._http.get_json(url, params, headers)


def parse(body: Any, key: str, zone: str) -> tuple[IntensityPoint, ...]:
    """The points of an answer; entries without a figure are passed over.

    Raises:
        SignalError: when it is not what the API's reference says, or is of another zone: Electricity Maps answers for
            the caller's own location when it does not know a zone.
    """
    what = f"the {key} of Electricity Maps"
    entries = [entry(item, what) for item in list_of(body, key, what)]
    if isinstance(body, Mapping) and body.get("zone") not in (None, zone):
        raise SignalError(
            Reason.NOT_FOUND, f"{what} is of zone {str(body['zone'])[:63]!r}, not {zone!r}: check the zone's name"
        )
    return series(
        (time_of(item.get("datetime"), what), grams_of(item["carbonIntensity"], what))
        for item in entries
        if item.get("carbonIntensity") is not None
    )
