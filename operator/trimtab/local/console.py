"""What the embedded cluster says while it works: one line a step, with its time, and bars for long builds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from trimtab.local.errors import LocalError

# Standard error: what `kubeconfig` and `env` print on standard output is for other programs to read.
console = Console(stderr=True, highlight=False)


def say(text: str, seconds: float | None = None) -> None:
    """Print one line, with the time that the step took."""
    took = "" if seconds is None else f" [dim]({seconds:.1f} s)[/dim]"
    console.print(f"[green]-[/green] {text}{took}")


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show a spinner during the block where the output is a terminal, then the step with its time."""
    started = time.monotonic()
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield
    say(text, time.monotonic() - started)


def building() -> Progress:
    """Return the display for builds: a bar with a count on a terminal, nothing but lines elsewhere."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Say what went wrong in one paragraph instead of a traceback, and exit with status 1."""
    try:
        yield
    except LocalError as error:
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
