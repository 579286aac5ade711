"""One pass: take a Snapshot, settle the ledger, plan, apply. The same steps for every pass, in one thread."""

import json
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trimtab.apply.actuator import Actuator, ApplyReport
from trimtab.handlers.accounting import book_all, settle_all, settle_budgets
from trimtab.handlers.exporter import Exporter
from trimtab.observe.observer import Observer
from trimtab.plan.decisions import Plan
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

logger = logging.getLogger(__name__)


class PassCrashError(Exception):
    """A bug came to light in a pass. The Snapshot that shows it was written to the file that the message names."""


class Passes:
    """Runs passes and remembers the last one."""

    def __init__(self, observer: Observer, actuator: Actuator, exporter: Exporter, snapshot_path: Path) -> None:
        self._observer, self._actuator, self._exporter = observer, actuator, exporter
        self._snapshot_path = snapshot_path
        self.last_snapshot: Snapshot | None = None
        self.last_plan: Plan | None = None

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self._exporter.pass_seconds.labels(name).observe(time.monotonic() - start)

    def run(self, clock: Callable[[], datetime]) -> ApplyReport:
        """Make one pass.

        Raises:
            PassCrashError: when planning or applying fails in a way that is no outage and no user's mistake.
        """
        with self._phase("observe"):
            snapshot = self._observer.snapshot(clock())
        self.last_snapshot = snapshot
        self._write(snapshot, self._snapshot_path)
        try:
            with self._phase("meter"):
                books = book_all(snapshot, self._observer.readings(snapshot))
                usage, budgets = settle_all(snapshot, books), settle_budgets(snapshot, books)
            with self._phase("plan"):
                self.last_plan = plan(snapshot)
            with self._phase("apply"):
                report = self._actuator.apply(snapshot, self.last_plan, usage, clock(), budgets)
        except Exception as error:
            kept = self._snapshot_path.with_name(f"crash-{snapshot.taken_at:%Y%m%dT%H%M%S}.json")
            self._write(snapshot, kept)
            logger.error("%s", json.dumps({"event": "crash", "snapshot": str(kept), "error": traceback.format_exc()}))
            raise PassCrashError(f"{type(error).__name__}: {error}; Snapshot kept in {kept}") from error
        self._exporter.publish(snapshot, self.last_plan, clock().timestamp())
        self._exporter.apply_errors.inc(len(report.errors))
        return report

    def _write(self, snapshot: Snapshot, path: Path) -> None:
        """Write it whole or not at all. A full disk must not stop the operator: it is logged and the pass goes on."""
        partial = path.with_suffix(".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(snapshot.model_dump_json())
            os.replace(partial, path)
        except OSError as error:
            logger.warning("cannot write the Snapshot to %s: %s", path, error)
