"""Progress of long simulations, on the standard error stream."""

import sys
import threading
import time
from collections.abc import Generator, Iterable, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

SHOWN_AFTER_SECONDS = 2.0
"""What is done sooner shows nothing."""

_LINE_EVERY_SECONDS = 10.0
_UPDATE_EVERY_SECONDS = 0.1


def track(
    iterable: Iterable[T], description: str, total: int | None = None, enabled: bool | None = None
) -> Generator[T, None, None]:
    """Iterate, and show how far it is once it lasts over two seconds.

    On a terminal that is a bar, one below the other for iterations within iterations; else a line about every ten
    seconds.

    Args:
        iterable: What to iterate over.
        description: What is being done, for a person.
        total: How many items there are; taken from the iterable where it knows.
        enabled: False shows nothing, True a bar even where there is no terminal; by default it depends on the
            standard error stream.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if enabled is False:
        yield from iterable
        return
    terminal = enabled or sys.stderr.isatty()
    shown: _Bar | _Lines = _Bar(description, total) if terminal else _Lines(description, total)
    try:
        for done, item in enumerate(iterable):
            shown.update(done)
            yield item
    finally:
        shown.close()


class _Lines:
    """A line about every ten seconds: for logs."""

    def __init__(self, description: str, total: int | None) -> None:
        self._description = description
        self._total = total
        self._begin = self._last = time.monotonic()

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_SECONDS:
            return
        self._last = now
        far = f"{done} of {self._total} ({done / self._total:.0%})" if self._total else str(done)
        print(f"{self._description}: {far} after {now - self._begin:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class _Bar:
    """A bar that appears after a while. All bars of the process share one display: a terminal has room for one."""

    _lock = threading.Lock()
    _display: Progress | None = None
    _open = 0

    def __init__(self, description: str, total: int | None) -> None:
        self._last = 0.0
        with self._lock:
            if _Bar._display is None:
                _Bar._display = _new_display()
            _Bar._open += 1
            self._shared = _Bar._display
            self._task = self._shared.add_task(description, total=total)
        # A single item may take longer than the wait: a timer, not the next item, brings the bar up.
        self._timer = threading.Timer(SHOWN_AFTER_SECONDS, self._show)
        self._timer.daemon = True
        self._timer.start()

    def _show(self) -> None:
        with self._lock:
            if _Bar._display is self._shared:
                self._shared.start()

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _UPDATE_EVERY_SECONDS:
            self._last = now
            self._shared.update(self._task, completed=done)

    def close(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._shared.remove_task(self._task)
            _Bar._open -= 1
            if not _Bar._open:
                self._shared.stop()
                _Bar._display = None


def _new_display() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
