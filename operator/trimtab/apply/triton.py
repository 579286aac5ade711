"""Switches the version that running Triton servers serve, and the settings that they serve it with, live.

A load with another version policy or other settings keeps the old version serving until the new one is ready, and a
load that fails leaves the old one in place. Nothing is ever unloaded: that would answer 404 to requests in between.
"""

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from tritonclient.utils import InferenceServerException

from trimtab.apply.triton_load import address, load_version

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True)
class SwitchTarget:
    """A server that serves another version than it should, or with other settings."""

    pod: str
    ip: str
    model: str
    version: int
    settings: str = ""
    """Settings to load it with, as `children.triton_settings` writes them; empty keeps those that it has."""


@dataclass(frozen=True)
class _Failure:
    attempts: int
    again_at: datetime
    message: str


def backoff(attempts: int) -> timedelta:
    """Time until the next try after so many failed ones."""
    return timedelta(seconds=min(_LONGEST_BACKOFF_SECONDS, 2.0 ** min(attempts, 16)))


class TritonControl:
    """Switches in the background, so that a slow load holds up no decision; the next Snapshot shows what came of it."""

    def __init__(self, port: int = 8001, load_timeout_seconds: float = 90.0, parallel: int = 2) -> None:
        self._port, self._load_timeout_seconds = port, load_timeout_seconds
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="triton-load")
        self._running: set[str] = set()
        self._failures: dict[SwitchTarget, _Failure] = {}
        self._lock = threading.Lock()

    def switch(self, targets: Iterable[SwitchTarget], now: datetime) -> dict[str, str]:
        """Begin to switch servers that are not being switched already.

        Returns:
            The last failure of each pod that has one, by name: it goes on serving its old version.
        """
        failed: dict[str, str] = {}
        self._forget_old(now)
        for target in targets:
            with self._lock:
                failure = self._failures.get(target)
                if failure is not None:
                    failed[target.pod] = failure.message
                # One load at a time for a server: two could end in the wrong order.
                if target.ip in self._running or (failure is not None and now < failure.again_at):
                    continue
                self._running.add(target.ip)
            self._pool.submit(self._load, target, now)
        return failed

    def _forget_old(self, now: datetime) -> None:
        """Failures of servers that nobody wants to switch any more."""
        with self._lock:
            for target, failure in list(self._failures.items()):
                if now - failure.again_at > timedelta(minutes=10):
                    del self._failures[target]

    def _load(self, target: SwitchTarget, now: datetime) -> None:
        error = ""
        try:
            where = address(target.ip, self._port)
            load_version(where, target.model, target.version, self._load_timeout_seconds, target.settings)
        except (InferenceServerException, OSError) as problem:
            error = f"{type(problem).__name__}: {problem}"
            logger.warning("pod %s cannot load version %d of %s: %s", target.pod, target.version, target.model, error)
        except Exception:
            logger.exception("switching %s failed in an unforeseen way", target)
            error = "an unforeseen error: see the operator's log"
        with self._lock:
            self._running.discard(target.ip)
            before = self._failures.pop(target, None)
            if error:
                attempts = before.attempts + 1 if before else 1
                self._failures[target] = _Failure(attempts, now + backoff(attempts), error)

    def close(self) -> None:
        """Wait for loads in progress."""
        self._pool.shutdown()
