"""What the demo prints: headings, commands, states, events, and the table at its end."""

import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Narrator:
    """Prints with the time since the start. Safe to use from several threads."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock, self._start = console, threading.Lock(), time.monotonic()

    def _print(self, text: str) -> None:
        with self._lock:
            self._console.print(
                f"[dim]{time.monotonic() - self._start:6.1f}s[/] {text}", highlight=False, soft_wrap=True
            )

    def heading(self, number: int, title: str) -> None:
        """A new step of the story."""
        with self._lock:
            self._console.print()
            self._console.rule(f"[bold]{number}. {escape(title)}", align="left")

    def say(self, text: str) -> None:
        """A sentence of explanation."""
        self._print(escape(text))

    def command(self, program: str, *arguments: str) -> None:
        """A command that a user could have typed."""
        shown = " ".join(f"'{a}'" if " " in a or "{" in a else a for a in arguments)
        self._print(f"[bold cyan]$ {program} {escape(shown)}[/]")

    def output(self, text: str) -> None:
        """What a command printed."""
        for line in text.rstrip().splitlines():
            self._print(f"  {escape(line)}")

    def state(self, line: str) -> None:
        """How far something is."""
        self._print(f"  [yellow]{escape(line)}[/]")

    def event(self, about: str, reason: str, message: str, warning: bool) -> None:
        """An event of the operator, as `kubectl describe` shows it."""
        style = "bold red" if warning else "green"
        self._print(f"  [{style}]{escape(reason)}[/] {escape(about)}: {escape(message)}")

    def result(self, text: str) -> None:
        """Something that was shown to hold."""
        self._print(f"[bold green]ok[/] {escape(text)}")

    def table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """A table."""
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        with self._lock:
            self._console.print()
            self._console.print(table)
