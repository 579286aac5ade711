"""The decision loop: woken by changes, by time, and at once by a breach; one pass at a time for the whole cluster."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from trimtab.handlers.passes import Passes
from trimtab.handlers.settings import Settings
from trimtab.kube.errors import KubeError
from trimtab.observe.observer import Observer
from trimtab.plan.serving.load import observe_load
from trimtab.plan.snapshot import Snapshot

logger = logging.getLogger(__name__)

_FIRST_LIST_BACKOFF_SECONDS = (0.5, 1, 2, 4, 8, 15)


class ControlLoop:
    """Owns the rhythm; what a pass does is in `passes`."""

    def __init__(self, observer: Observer, passes: Passes, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._observer, self._passes, self._settings, self._clock = observer, passes, settings, clock
        self._dirty = asyncio.Event()
        self._listed_at: datetime | None = None
        self.last_pass_at: datetime | None = None
        self.started_at = clock()

    def mark_dirty(self) -> None:
        """Something changed that a decision may depend on. Called on the event loop's thread."""
        self._dirty.set()

    async def run(self) -> None:
        """Run until cancelled. A `PassCrashError` ends it, and with it the operator: Kubernetes starts it anew."""
        await self._list_until_synced()
        while True:
            self._dirty.clear()
            report = await asyncio.to_thread(self._passes.run, self._clock)
            self.last_pass_at = self._clock()
            if report.errors:
                logger.warning("could not apply %s", dict(report.errors))
            if (
                self._listed_at
                and (self.last_pass_at - self._listed_at).total_seconds() > self._settings.relist_seconds
            ):
                await self._relist()
            await self._wait()

    async def _list_until_synced(self) -> None:
        """Nothing is decided on half a picture: the first pass waits until everything has been listed once."""
        attempt = 0
        while not await self._relist():
            delay = _FIRST_LIST_BACKOFF_SECONDS[min(attempt, len(_FIRST_LIST_BACKOFF_SECONDS) - 1)]
            attempt += 1
            await asyncio.sleep(delay)

    async def _relist(self) -> bool:
        try:
            await asyncio.to_thread(self._observer.relist, self._clock())
        except KubeError as error:
            logger.warning("cannot list the cluster, will try again: %s", error)
            return False
        self._listed_at = self._clock()
        return True

    async def _wait(self) -> None:
        """Until something changes, a breach shows, a known change is due, or the period is over."""
        until = self._clock() + timedelta(seconds=self._settings.loop_seconds)
        plan = self._passes.last_plan
        if plan is not None and plan.wake_at is not None:
            until = min(until, plan.wake_at)
        while (left := (until - self._clock()).total_seconds()) > 0:
            try:
                async with asyncio.timeout(min(left, self._settings.scrape_seconds)):
                    await self._dirty.wait()
                await asyncio.sleep(self._settings.debounce_seconds)
                return
            except TimeoutError:
                if (until - self._clock()).total_seconds() > 0 and await asyncio.to_thread(self._hurries):
                    return

    def _hurries(self) -> bool:
        """Whether something cannot wait for the next pass: a cheap look between passes."""
        snapshot = self._passes.last_snapshot
        if snapshot is None or not snapshot.serving:
            return False
        return self._somebody_waits(snapshot) or self._breach_began(snapshot)

    def _somebody_waits(self, snapshot: Snapshot) -> bool:
        """Whether a connection waits for a service that slept at the last pass."""
        waiting = self._observer.waiting(snapshot, self._clock())
        return any(state.meta.key in waiting and not state.pods for state in snapshot.serving)

    def _breach_began(self, snapshot: Snapshot) -> bool:
        """Whether a latency target is broken now that was held at the last pass."""
        fresh = self._observer.serving_metrics(snapshot, self._clock())
        for state in snapshot.serving:
            now = state.model_copy(update={"metrics": fresh.get(state.meta.key)})
            stale_seconds = snapshot.metrics_stale_seconds
            before = observe_load(state, snapshot.taken_at, stale_seconds).breached
            if not before and observe_load(now, self._clock(), stale_seconds).breached:
                return True
        return False
