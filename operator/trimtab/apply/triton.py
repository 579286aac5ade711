"""Switches the version that running Triton servers serve, live.

A load with another version policy keeps the old version serving until the new one is ready, and a load that fails
leaves the old one in place. Nothing is ever unloaded: that would answer 404 to requests in between.
"""

import json
import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True)
class SwitchTarget:
    """A server that serves another version than it should."""

    pod: str
    ip: str
    model: str
    version: int


@dataclass(frozen=True)
class _Failure:
    attempts: int
    again_at: datetime
    message: str


def backoff(attempts: int) -> timedelta:
    """Time until the next try after so many failed ones."""
    return timedelta(seconds=min(_LONGEST_BACKOFF_SECONDS, 2.0**attempts))


def with_version(config: dict[str, object], version: int) -> str:
    """The model's configuration with the policy to serve exactly one version, as JSON for a load."""
    return json.dumps({**config, "versionPolicy": {"specific": {"versions": [str(version)]}}})


class TritonControl:
    """Switches in the background, so that a slow load holds up no decision; the next Snapshot shows what came of it."""

    def __init__(self, port: int = 8001, load_timeout_seconds: float = 90.0, parallel: int = 2) -> None:
        self._port, self._load_timeout_seconds = port, load_timeout_seconds
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="triton-load")
        self._running: set[SwitchTarget] = set()
        self._failures: dict[SwitchTarget, _Failure] = {}
        self._lock = threading.Lock()

    def switch(self, targets: Iterable[SwitchTarget], now: datetime) -> dict[str, str]:
        """Begin to switch servers that are not being switched already.

        Returns:
            The last failure of each pod that has one, by name: it goes on serving its old version.
        """
        failed: dict[str, str] = {}
        for target in targets:
            with self._lock:
                failure = self._failures.get(target)
                if failure is not None:
                    failed[target.pod] = failure.message
                if target in self._running or (failure is not None and now < failure.again_at):
                    continue
                self._running.add(target)
            self._pool.submit(self._load, target, now)
        return failed

    def _load(self, target: SwitchTarget, now: datetime) -> None:
        error = ""
        try:
            load_version(f"{target.ip}:{self._port}", target.model, target.version, self._load_timeout_seconds)
        except (InferenceServerException, OSError) as problem:
            error = f"{type(problem).__name__}: {problem}"
            logger.warning("pod %s cannot load version %d of %s: %s", target.pod, target.version, target.model, error)
        except Exception:
            logger.exception("switching %s failed in an unforeseen way", target)
            error = "an unforeseen error: see the operator's log"
        with self._lock:
            self._running.discard(target)
            before = self._failures.pop(target, None)
            if error:
                attempts = before.attempts + 1 if before else 1
                self._failures[target] = _Failure(attempts, now + backoff(attempts), error)

    def close(self) -> None:
        """Wait for loads in progress."""
        self._pool.shutdown()


def load_version(address: str, model: str, version: int, timeout_seconds: float) -> None:
    """Load one version of a model in place of the others.

    Raises:
        InferenceServerException: when the server cannot be asked, or cannot load it; the old version serves on.
    """
    client = InferenceServerClient(address)
    try:
        answer = client.get_model_config(model, as_json=True, client_timeout=timeout_seconds)
        config = with_version(answer["config"], version)
        client.load_model(model, config=config, client_timeout=timeout_seconds)
    finally:
        client.close()
