"""Fetches sources in the background: a slow API never holds up a pass; what was fetched last stays in memory."""

import logging
import random
import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.observe.signals.signal import Reason, Signal, SignalError
from trimtab.plan.intensity_forecast import LONGEST_HISTORY, OwnForecast, own_forecast
from trimtab.plan.snapshot import IntensityPoint

logger = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(seconds=30)
"""Until the next try after one failure; it doubles, up to the source's `refresh`."""
_SPREAD = 0.1
"""Sources that were made together are fetched up to so much of the interval apart."""

Fetch = Callable[[CarbonSourceSpec, datetime], Signal]
"""Asks a source once.

Raises:
    SignalError: when it gives nothing usable.
"""


@dataclass(frozen=True)
class Failure:
    """Why the last fetch gave nothing."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Held:
    """What is known of a source."""

    spec: CarbonSourceSpec
    signal: Signal | None = None
    """What it gave last, with the history of earlier answers."""
    own: OwnForecast | None = None
    """The forecast from its past, where it gives none itself."""
    points: tuple[IntensityPoint, ...] = ()
    """Past and forecast as one series: made once for each fetch, since every pass looks at it."""
    fetched_at: datetime | None = None
    """When the last fetch that succeeded was begun."""
    failure: Failure | None = None
    """Set while the last fetch failed."""
    failures: int = 0
    """In a row."""
    tried_at: datetime | None = None
    next_at: datetime | None = None
    """When it is asked again."""


class SignalFetcher:
    """Begins fetches that are due, and tells what came of earlier ones. `look` belongs to one thread."""

    def __init__(self, fetch: Fetch, parallel: int = 4) -> None:
        """Set up.

        Args:
            fetch: Asks a source once; called in threads of the pool.
            parallel: Sources asked at the same time.
        """
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="carbon-signal")
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._running: set[str] = set()

    def look(self, name: str, spec: CarbonSourceSpec, now: datetime) -> Held:
        """What is known of a source now. Never waits for the network.

        Args:
            name: The source's name.
            spec: As it is now: when it has changed, what was fetched for the old one is forgotten.
            now: The present.
        """
        with self._lock:
            held = self._held.get(name)
            if held is None or _other(held.spec, spec):
                held = Held(spec)
            elif held.spec != spec:
                held = replace(held, spec=spec)
            self._held[name] = held
            # A clock that was set back must not put the next fetch off by as much.
            waits = held.tried_at is not None and held.next_at is not None and held.tried_at <= now < held.next_at
            if waits or name in self._running:
                return held
            self._running.add(name)
        self._pool.submit(self._run, name, held, now)
        return held

    def forget(self, keep: Set[str]) -> None:
        """Let go of sources that are no more."""
        with self._lock:
            for name in self._held.keys() - keep:
                del self._held[name]

    def close(self) -> None:
        """Begin nothing more; fetches under way end by their own time limits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, name: str, before: Held, now: datetime) -> None:
        try:
            after = self._succeeded(name, before, self._fetch(before.spec, now), now)
        except SignalError as error:
            logger.warning("CarbonSource %s: %s", name, error)
            after = failed(name, before, error, now)
        except Exception:
            logger.exception("CarbonSource %s: fetching it failed in an unforeseen way", name)
            unforeseen = SignalError(Reason.BAD_ANSWER, "an unforeseen error: see the operator's log")
            after = failed(name, before, unforeseen, now)
        with self._lock:
            self._running.discard(name)
            current = self._held.get(name)
            if current is not None and not _other(current.spec, before.spec):
                self._held[name] = replace(after, spec=current.spec)

    def _succeeded(self, name: str, before: Held, signal: Signal, now: datetime) -> Held:
        earlier = before.signal.history if before.signal else ()
        history = joined(earlier, signal.history, now - LONGEST_HISTORY)
        own, note = None, signal.note
        if before.spec.own_forecast and not signal.forecast and history:
            try:
                own = own_forecast(history, before.spec.forecast_horizon)
            except Exception as error:
                # What was measured counts all the same: a model that does not fit must not cost it.
                logger.exception("CarbonSource %s: its own forecast failed", name)
                note = f"{note}; its own forecast failed: {type(error).__name__}, see the operator's log".lstrip("; ")
        whole = replace(signal, history=history, note=note)
        return Held(
            spec=before.spec,
            signal=whole,
            own=own,
            points=merged(whole, own),
            fetched_at=now,
            tried_at=now,
            next_at=now + _spread(before.spec.refresh, name),
        )


def failed(name: str, before: Held, error: SignalError, now: datetime) -> Held:
    """What is known after a fetch that failed: what was known before, why it failed, and when the next try is."""
    refresh = before.spec.refresh
    wait = min(refresh, _FIRST_WAIT * 2 ** min(before.failures, 10))
    if error.reason is Reason.RATE_LIMITED and error.retry_after is None:
        wait = refresh
    wait = max(_spread(wait, f"{name}/{before.failures}"), error.retry_after or timedelta(0))
    return replace(
        before,
        failure=Failure(error.reason, str(error)),
        failures=before.failures + 1,
        tried_at=now,
        next_at=now + wait,
    )


def merged(signal: Signal, own: OwnForecast | None) -> tuple[IntensityPoint, ...]:
    """Past and forecast as one series; what was measured counts before what was expected."""
    ahead = signal.forecast
    if not ahead and own is not None and signal.history:
        # The own forecast is hourly; what was measured may be finer, and reach into its first hour.
        ahead = tuple(point for point in own.points if point.start > signal.history[-1].start)
    points = {p.start: p for p in (*ahead, *signal.history)}
    return tuple(points[start] for start in sorted(points))


def joined(
    earlier: tuple[IntensityPoint, ...], later: tuple[IntensityPoint, ...], since: datetime
) -> tuple[IntensityPoint, ...]:
    """Two series as one from an instant on; where both have a figure, the later series is right."""
    points = {p.start: p for p in (*earlier, *later) if p.start >= since}
    return tuple(points[start] for start in sorted(points))


def _other(a: CarbonSourceSpec, b: CarbonSourceSpec) -> bool:
    """Whether two specs ask different things: what one gave says nothing of the other."""
    return (a.live, a.zone) != (b.live, b.zone)


def _spread(wait: timedelta, seed: str) -> timedelta:
    return wait * (1.0 + _SPREAD * random.Random(seed).random())
