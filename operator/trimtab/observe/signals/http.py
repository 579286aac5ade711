"""HTTP for sources of carbon intensity: bounded in time and size, retried, rate-limited, cached, silent about keys."""

import email.utils
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests
from cachecontrol import CacheControlAdapter
from cachecontrol.cache import BaseCache
from requests_ratelimiter import LimiterMixin
from urllib3.util.retry import Retry

from trimtab.observe.signals.signal import Reason, SignalError

_CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class HttpSettings:
    """Limits of one request, and of all requests to one host."""

    timeout_seconds: float = 10.0
    """Longest wait for a connection, and for each part of an answer."""
    total_seconds: float = 30.0
    """Longest that reading one answer may take."""
    retries: int = 2
    """How often a request is repeated at once after a broken connection or HTTP 5xx."""
    backoff_seconds: float = 0.5
    """Wait before the first repetition; it doubles, with as much again at random."""
    requests_per_minute: int = 60
    """Most requests to one host; more wait their turn."""
    most_bytes: int = 8 * 2**20
    """Longest answer."""
    cached_answers: int = 256
    """Most answers that are kept for conditional requests."""


class _RecentAnswers(BaseCache):
    """The last answers in memory: addresses that carry a time never come again, and must not pile up."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def set(self, key: str, value: bytes, expires: int | datetime | None = None) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def delete(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)


class _Adapter(LimiterMixin, CacheControlAdapter):  # type: ignore[misc]  # `send` passes on what it is given.
    """Waits for the host's turn, then answers from the cache or asks, conditionally where it can."""


class Http:
    """Gets JSON. Safe to share between threads."""

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self._settings = settings or HttpSettings()
        chosen = self._settings
        self._cache = _RecentAnswers(chosen.cached_answers)
        retry = Retry(
            total=chosen.retries,
            backoff_factor=chosen.backoff_seconds,
            backoff_jitter=chosen.backoff_seconds,
            status_forcelist=(500, 502, 503, 504),
            allowed_methods=("GET",),
            raise_on_status=False,
            # Retry-After can be hours: whoever schedules the next fetch honours it, no thread sleeps for it.
            respect_retry_after_header=False,
        )
        self._adapter = _Adapter(
            per_minute=chosen.requests_per_minute,
            max_delay=chosen.total_seconds,
            limit_statuses=(),  # A 429 is told to the scheduler, which waits; the bucket need not.
            cache=self._cache,
        )
        self._adapter.max_retries = retry  # The mixin passes no argument on that the cache's adapter does not name.

    def get_json(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        """The JSON that an address answers with; None for HTTP 204, no content.

        Args:
            url: The address; it carries no key.
            params: Query; it carries no key either.
            headers: With the key, if there is one.
            auth: User and password for basic authentication.

        Raises:
            SignalError: when there is no usable answer; the message tells the address and never a key.
        """
        secrets = (*(headers or {}).values(), *(auth or ()))
        what = f"GET {url}"
        # A session of its own for each call: sessions are not safe to share between threads, the adapter is.
        session = requests.Session()
        session.mount("http://", self._adapter)
        session.mount("https://", self._adapter)
        try:
            answer = session.get(
                url,
                params=params,
                headers={"Accept": "application/json", "User-Agent": "trimtab", **(headers or {})},
                auth=auth,
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,  # A custom header with a key would follow to another host.
                stream=True,
            )
            status, body = answer.status_code, self._read(answer, what)
        except requests.RequestException as error:
            raise SignalError(Reason.UNREACHABLE, f"{what}: {_hidden(_cause(error), secrets)}") from error
        if status == 204:
            return None
        if status != 200:
            raise _refusal(what, answer, _hidden(_excerpt(body), secrets))
        try:
            return json.loads(body)
        except ValueError as error:
            text = _hidden(_excerpt(body), secrets)
            raise SignalError(Reason.BAD_ANSWER, f"{what}: the answer is not JSON: {text!r}") from error

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def _read(self, answer: requests.Response, what: str) -> bytes:
        """The whole body, within the limits: `timeout` alone would let a trickle go on for ever."""
        started, parts, length = time.monotonic(), [], 0
        try:
            for part in answer.iter_content(_CHUNK_BYTES):
                parts.append(part)
                length += len(part)
                if length > self._settings.most_bytes:
                    most = self._settings.most_bytes
                    raise SignalError(Reason.BAD_ANSWER, f"{what}: the answer is over {most} bytes")
                if time.monotonic() - started > self._settings.total_seconds:
                    limit = self._settings.total_seconds
                    raise SignalError(Reason.UNREACHABLE, f"{what}: the answer took over {limit:g} s")
        finally:
            answer.close()
        return b"".join(parts)


def _refusal(what: str, answer: requests.Response, excerpt: str) -> SignalError:
    """What an answer means that is not 200."""
    status = answer.status_code
    said = f"{what}: HTTP {status}" + (f": {excerpt}" if excerpt else "")
    wait = _retry_after(answer.headers.get("Retry-After"))
    if status in (401, 403):
        return SignalError(Reason.UNAUTHORIZED, f"{said} (check the key, and that its plan includes this zone)", wait)
    if status == 429:
        return SignalError(Reason.RATE_LIMITED, said, wait)
    if status in (400, 404, 422):
        return SignalError(Reason.NOT_FOUND, f"{said} (check zone and url)", wait)
    if status >= 500:
        return SignalError(Reason.UNREACHABLE, said, wait)
    if 300 <= status < 400:
        to = urlsplit(answer.headers.get("Location", ""))
        return SignalError(Reason.BAD_ANSWER, f"{said}: it redirects to {to.scheme}://{to.netloc}; set url to that")
    return SignalError(Reason.BAD_ANSWER, said, wait)


def _retry_after(value: str | None) -> timedelta | None:
    """Seconds or an HTTP date; None where it is neither. A day at most."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return timedelta(seconds=min(max(seconds, 0.0), 86_400.0)) if seconds == seconds else None


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split())


def _cause(error: BaseException) -> str:
    """The innermost reason in one line: requests wraps errors several times over."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"[:300]


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    """The text without what must not be told: some servers echo a key that they refuse."""
    for secret in secrets:
        for part in {secret, secret.removeprefix("Bearer ")}:
            if len(part) >= 4:
                text = text.replace(part, "***")
    return text
