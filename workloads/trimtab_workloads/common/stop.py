"""A request to stop, by SIGTERM or SIGINT, that the work looks at between its steps."""

from __future__ import annotations

import os
import select
import signal
import sys
from types import FrameType


class StopRequest:
    """Set once a termination signal arrived. Install it from the main thread, as Python's signal handling asks."""

    def __init__(self) -> None:
        # A pipe, not a threading.Event: setting an Event from a handler that interrupted its own wait can deadlock.
        self._read, self._write = os.pipe()
        self._requested = False

    def install(self) -> StopRequest:
        """Takes over SIGTERM and SIGINT; returns itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._requested:
            self._requested = True
            os.write(self._write, b"\0")

    @property
    def requested(self) -> bool:
        """Whether the signal came."""
        return self._requested

    def wait(self, seconds: float) -> bool:
        """Sleeps, but no longer than until the request; returns whether it came."""
        select.select([self._read], [], [], max(0.0, seconds))
        return self._requested


def exit_on_sigterm(status: int = 143) -> None:
    """Makes SIGTERM end the process at once, for work that is simply done again.

    As the first process of a container, one without a handler would ignore the signal and live until it is killed.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(status))
