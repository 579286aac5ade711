"""Local servers that answer as the published APIs do, their refusals included. Real HTTP on a free port of loopback."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

HALF_HOUR, HOUR = timedelta(minutes=30), timedelta(hours=1)


@dataclass(frozen=True)
class Request:
    """What was asked."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    send: Callable[[BaseHTTPRequestHandler], None] | None = None
    """Writes the answer in some other way, such as too slowly."""


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


Answer = Callable[[Request], Reply]


class Server:
    """A server, what it was asked, and how it answers now."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.requests, self._lock = answer, [], Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                request = Request(parts.path, query, {k.lower(): v for k, v in self.headers.items()})
                with outer._lock:
                    outer.requests.append(request)
                reply = outer.answer(request)
                try:
                    if reply.send is not None:
                        reply.send(self)
                        return
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    if reply.status != 204:
                        self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                except OSError:
                    pass  # The client has given up.

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def asked(self, path: str) -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    server = Server(answer)
    try:
        yield server
    finally:
        server.close()


def with_etag(reply: Reply, request: Request) -> Reply:
    """As servers with validators do: a body that has not changed is not sent again."""
    tag = f'W/"{hashlib.sha256(reply.body).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == tag:
        return Reply(304, headers={"ETag": tag})
    return Reply(reply.status, reply.body, {**reply.headers, "ETag": tag})


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ElectricityMapsApi:
    """https://portal.electricitymaps.com/developer-hub/api/reference, carbon-intensity/history and /forecast."""

    def __init__(self, now: datetime, token: str = "em-token-1234", zone: str = "DE", forecast: bool = True) -> None:
        self.now, self.token, self.zone, self.forecast = (
            now.replace(minute=0, second=0, microsecond=0),
            token,
            zone,
            forecast,
        )
        self.fallback_to_caller, self.longest_horizon = False, 72

    def __call__(self, request: Request) -> Reply:
        if "auth-token" not in request.headers:
            return as_json({"error": "Missing auth-token"}, 401)
        if request.headers["auth-token"] != self.token:
            return Reply(403, b"Access denied", {"Content-Type": "text/html"})
        zone = request.query.get("zone")
        if zone != self.zone:
            assert request.query["shouldUseFallbackCallerLookup"] == "false"
            if not self.fallback_to_caller:
                return as_json({"error": f"Zone '{zone}' does not exist."}, 404)
            zone = "IE"  # "Auto fallback": where the caller seems to be.
        kind = request.query.get("emissionFactorType", "lifecycle")
        if request.path.endswith("/carbon-intensity/history"):
            entries = [self._entry(zone, self.now - HOUR * back, 300.0 + back, kind) for back in range(23, -1, -1)]
            entries[5]["carbonIntensity"] = None
            return with_etag(as_json({"zone": zone, "temporalGranularity": "hourly", "history": entries}), request)
        if request.path.endswith("/carbon-intensity/forecast"):
            if not self.forecast:
                return as_json({"error": "Not authorized for this endpoint or zone"}, 401)
            hours = int(request.query.get("horizonHours", "24"))
            if hours not in (6, 24, 48, 72):
                return as_json({"error": "horizonHours must be one of 6, 24, 48, 72"}, 400)
            if hours > self.longest_horizon:
                return as_json({"error": "Your plan does not include this horizon"}, 403)
            ahead = [{"carbonIntensity": 200 + i, "datetime": _stamp(self.now + HOUR * i)} for i in range(hours)]
            return with_etag(as_json({"zone": zone, "forecast": ahead, "updatedAt": _stamp(self.now)}), request)
        return as_json({"error": "Not found"}, 404)

    @staticmethod
    def _entry(zone: str, at: datetime, grams: float, kind: str) -> dict[str, Any]:
        return {
            "zone": zone,
            "carbonIntensity": grams,
            "datetime": _stamp(at),
            "updatedAt": _stamp(at + HOUR),
            "createdAt": _stamp(at),
            "emissionFactorType": kind,
            "isEstimated": False,
            "estimationMethod": None,
        }


class WattTimeApi:
    """https://docs.watttime.org: /login, /v3/forecast, /v3/historical."""

    def __init__(self, now: datetime, region: str = "CAISO_NORTH") -> None:
        self.now, self.region = now.replace(minute=now.minute // 5 * 5, second=0, microsecond=0), region
        self.user, self.password = "ana", "s3cret-word"
        self.token, self.logins = "jwt-aaaa", 0
        self.historical = True
        self.units = "lbs_co2_per_mwh"

    def __call__(self, request: Request) -> Reply:
        if request.path == "/login":
            self.logins += 1
            expected = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if request.headers.get("authorization") != expected:
                return Reply(403, b"<html><title>403 Forbidden</title></html>", {"Content-Type": "text/html"})
            return as_json({"token": self.token})
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return as_json({"error": "Invalid token"}, 401)
        if request.query.get("region") != self.region:
            return as_json({"error": "Invalid region. Please check the region in your request and try again"}, 400)
        step = timedelta(minutes=5)
        if request.path == "/v3/forecast":
            hours = int(request.query.get("horizon_hours", "24"))
            if not 0 <= hours <= 72:
                return as_json({"error": "horizon_hours must be between 0 and 72"}, 400)
            data = [{"point_time": (self.now + step * i).isoformat(), "value": 800.0 + i} for i in range(12 * hours)]
            return as_json({"data": data, "meta": self._meta(request, generated_at=self.now.isoformat())})
        if request.path == "/v3/historical":
            if not self.historical:
                return as_json({"error": "Your plan does not include this endpoint"}, 403)
            start, end = (datetime.fromisoformat(request.query[key]) for key in ("start", "end"))
            count = int((end - start) / step)
            data = [{"point_time": (start + step * i).isoformat(), "value": 700.0} for i in range(count + 1)]
            return as_json({"data": data, "meta": self._meta(request)})
        return as_json({"error": "Not found"}, 404)

    def _meta(self, request: Request, **more: str) -> dict[str, Any]:
        return {
            "data_point_period_seconds": 300,
            "region": self.region,
            "warnings": [],
            "signal_type": request.query["signal_type"],
            "model": {"date": "2023-03-01"},
            "units": self.units,
            **more,
        }


class UKApi:
    """https://carbon-intensity.github.io/api-definitions/: /intensity and /regional/intensity, fw48h and pt24h."""

    def __call__(self, request: Request) -> Reply:
        parts = request.path.strip("/").split("/")
        regional = parts[0] == "regional"
        _, start_text, span, *rest = parts[1:] if regional else parts
        try:
            start = datetime.strptime(start_text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
        except ValueError:
            message = (
                "Please enter a valid date in ISO8601 format 'YYYY-MM-DDThh:mmZ' i.e. /intensity/2017-08-25T12:35Z"
            )
            return as_json({"error": {"code": "400 Bad Request", "message": message}}, 400)
        begin, count = (start - HALF_HOUR * 48, 49) if span == "pt24h" else (start, 97)
        data = [self._half_hour(begin + HALF_HOUR * i, past=span == "pt24h", regional=regional) for i in range(count)]
        if not regional:
            return as_json({"data": data})
        region = {"regionid": int(rest[1]), "dnoregion": "UKPN London", "shortname": "London", "data": data}
        return as_json({"data": region})

    @staticmethod
    def _half_hour(at: datetime, past: bool, regional: bool) -> dict[str, Any]:
        intensity: dict[str, Any] = {"forecast": 266, "index": "moderate"}
        if not regional:
            intensity["actual"] = 263 if past else None
        item = {"from": f"{at:%Y-%m-%dT%H:%MZ}", "to": f"{at + HALF_HOUR:%Y-%m-%dT%H:%MZ}", "intensity": intensity}
        return {**item, "generationmix": [{"fuel": "gas", "perc": 43.6}]} if regional else item


class CarbonAwareSdkApi:
    """The SDK's Web API: /emissions/forecasts/current and /emissions/bylocation."""

    def __init__(self, now: datetime, location: str = "eastus") -> None:
        self.now, self.location, self.forecasts, self.emissions = now, location, True, True

    def __call__(self, request: Request) -> Reply:
        location = request.query.get("location")
        if location != self.location:
            problem = {
                "title": "ArgumentException",
                "errors": {"location": [f"Unknown Location: {location!r}"]},
                "status": 400,
            }
            return as_json(problem, 400)
        start = self.now.replace(minute=0, second=0, microsecond=0)
        if request.path == "/emissions/forecasts/current":
            if not self.forecasts:
                return as_json(
                    {"title": "NotImplementedException", "status": 501, "detail": "The method is not implemented."}, 501
                )
            points = [
                {
                    "location": "PJM_ROANOKE",
                    "timestamp": (start + HOUR * i).isoformat(),
                    "duration": 60,
                    "value": 448.4 + i,
                }
                for i in range(24)
            ]
            body = {
                "generatedAt": self.now.isoformat(),
                "requestedAt": self.now.isoformat(),
                "location": location,
                "dataStartAt": points[0]["timestamp"],
                "dataEndAt": points[-1]["timestamp"],
                "windowSize": 60,
                "optimalDataPoints": [points[0]],
                "forecastData": points,
            }
            return as_json([body])
        if request.path == "/emissions/bylocation":
            if not self.emissions:
                return Reply(204)
            rows = [
                {
                    "location": "PJM_ROANOKE",
                    "time": (start - HOUR * i).isoformat(),
                    "rating": 500 + i,
                    "duration": "01:00:00",
                }
                for i in range(24, 0, -1)
            ]
            return as_json(rows)
        return as_json({"title": "Not Found", "status": 404}, 404)


class PrometheusApi:
    """https://prometheus.io/docs/prometheus/latest/querying/api/: /api/v1/query_range."""

    def __init__(self, series: int = 1) -> None:
        self.series = series

    def __call__(self, request: Request) -> Reply:
        if request.path != "/api/v1/query_range":
            return Reply(404, b"404 page not found\n")
        query, start, end, step = (request.query[key] for key in ("query", "start", "end", "step"))
        if "(" in query and ")" not in query:
            error = 'invalid parameter "query": 1:5: parse error: unclosed left parenthesis'
            return as_json({"status": "error", "errorType": "bad_data", "error": error}, 400)
        values = [[at, "NaN" if at % 7200 else str(150 + at % 50)] for at in range(int(start), int(end) + 1, int(step))]
        result = [{"metric": {"zone": f"Z{i}"}, "values": values} for i in range(self.series)]
        return as_json({"status": "success", "data": {"resultType": "matrix", "result": result}})
