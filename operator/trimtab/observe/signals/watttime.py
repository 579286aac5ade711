"""WattTime, version 3: the forecast of marginal or average emissions, and the last day of it."""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Final

from trimtab.api.signals import WattTime
from trimtab.observe.signals.http import Http
from trimtab.observe.signals.signal import Reason, Signal, SignalError, entry, grams_of, list_of, series, time_of
from trimtab.plan.snapshot import IntensityPoint

_GRAMS_PER_KWH: Final = {"lbs_co2_per_mwh": 0.453_592_37, "kg_co2_per_mwh": 1.0, "g_co2_per_kwh": 1.0}
_TOKEN_LASTS = timedelta(minutes=25)
"""WattTime's tokens last for 30 minutes."""
_HISTORY = timedelta(days=1)
_LONGEST_HOURS = 72
"""What `horizon_hours` may be at most."""


class WattTimeClient:
    """Keeps the tokens of logins: WattTime allows few logins, and many requests with each."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._lock = Lock()
        self._tokens: dict[tuple[str, str, str], tuple[str, datetime]] = {}

    def fetch(self, source: WattTime, zone: str, login: tuple[str, str], horizon: timedelta, now: datetime) -> Signal:
        """The region's forecast and past day.

        Args:
            source: Region, signal and address.
            zone: The region where the source names none.
            login: Name and password of the account.
            horizon: How far ahead is wanted; three days at most are given.
            now: The present.

        Raises:
            SignalError: when the forecast cannot be had; the past is left out where the plan does not include it.
        """
        account = (source.url.rstrip("/"), *login)
        params = {"region": source.region or zone, "signal_type": source.signal.value}
        ahead = {**params, "horizon_hours": str(min(_LONGEST_HOURS, math.ceil(horizon / timedelta(hours=1))))}
        forecast, made_at = parse(self._get("/v3/forecast", ahead, account, now), "the forecast of WattTime")
        if not forecast:
            raise SignalError(Reason.NO_DATA, f"WattTime has no forecast for region {params['region']!r}")
        # Whole half hours, so that a request repeats itself and the cache can answer it.
        end = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
        span = {"start": (end - _HISTORY).isoformat(), "end": end.isoformat()}
        try:
            history, _ = parse(self._get("/v3/historical", {**params, **span}, account, now), "the history of WattTime")
        except SignalError as error:
            return Signal(forecast=forecast, forecast_made_at=made_at, note=f"no history from the source: {error}")
        return Signal(history=history, forecast=forecast, forecast_made_at=made_at)

    def _get(self, path: str, params: dict[str, str], login: tuple[str, str, str], now: datetime) -> Any:
        def ask(token: str) -> Any:
            return self._http.get_json(f"{login[0]}{path}", params, {"Authorization": f"Bearer {token}"})

        return self._with_token(ask, login, now)

    def _with_token(self, ask: Callable[[str], Any], login: tuple[str, str, str], now: datetime) -> Any:
        token, fresh = self._token(login, now)
        try:
            return ask(token)
        except SignalError as error:
            if error.reason is not Reason.UNAUTHORIZED or fresh:
                raise
        # A token may be revoked before its time: one new login settles it.
        with self._lock:
            self._tokens.pop(login, None)
        return ask(self._token(login, now)[0])

    def _token(self, login: tuple[str, str, str], now: datetime) -> tuple[str, bool]:
        """A token, and whether it is brand new."""
        with self._lock:
            held = self._tokens.get(login)
        if held is not None and timedelta(0) <= now - held[1] < _TOKEN_LASTS:
            return held[0], False
        url, username, password = login
        token = entry(self._http.get_json(f"{url}/login", auth=(username, password)), "WattTime's login").get("token")
        if not isinstance(token, str) or not token:
            raise SignalError(Reason.BAD_ANSWER, "WattTime's login gives no token")
        with self._lock:
            self._tokens[login] = (token, now)
        return token, True


def parse(body: Any, what: str) -> tuple[tuple[IntensityPoint, ...], datetime | None]:
    """The points of an answer, and when the forecast was made.

    Raises:
        SignalError: when it is not what the API's reference says, or in a unit that is not known.
    """
    entries = [entry(item, what) for item in list_of(body, "data", what)]
    meta = entry(body.get("meta"), f"meta of {what}")
    factor = _GRAMS_PER_KWH.get(str(meta.get("units")))
    if factor is None:
        raise SignalError(Reason.BAD_ANSWER, f"{what} is in {meta.get('units')!r}, which is not known here")
    points = series(
        (time_of(item.get("point_time"), what), grams_of(item.get("value"), what, factor)) for item in entries
    )
    made_at = meta.get("generated_at")
    return points, time_of(made_at, "generated_at") if made_at else None
