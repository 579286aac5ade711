"""Runs other programs, and says well what they said when they fail."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from trimtab.local.errors import LocalError


def run(
    arguments: Sequence[str | Path],
    *,
    text_input: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Run a program to its end and return what it printed.

    Args:
        arguments: The program and its arguments.
        text_input: What it reads on standard input; nothing by default.
        environment: Variables in addition to this process's own.
        directory: Where to run it.

    Raises:
        LocalError: If it is missing or fails, with the end of its output.
    """
    command = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            command,
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            cwd=directory,
        )
    except FileNotFoundError as missing:
        raise LocalError(f"{command[0]} is not installed") from missing
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise LocalError(f"{' '.join(command[:6])} failed (exit {done.returncode}):\n{said}")
    return done.stdout


def succeeds(arguments: Sequence[str | Path]) -> bool:
    """Run a program for its exit status alone; a missing program counts as a failure."""
    command = [str(argument) for argument in arguments]
    if shutil.which(command[0]) is None:
        return False
    return (
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout_seconds: float,
    failure: Callable[[], str],
    interval_seconds: float = 0.1,
) -> None:
    """Wait for a condition.

    Args:
        condition: Asked every interval.
        timeout_seconds: How long to wait.
        failure: What to say when the time is over.
        interval_seconds: The time between two questions.

    Raises:
        LocalError: If the condition did not come true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LocalError(failure())
        time.sleep(interval_seconds)


def last_lines(path: Path, count: int = 12) -> str:
    """Return the last lines of a log file, or a note that there are none."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    return "\n".join(f"    {line[:300]}" for line in lines) or "    (no output)"


def processes_below(directories: Iterable[Path]) -> set[int]:
    """Return the ids of all processes in these cgroup directories and below them."""
    found: set[int] = set()
    for directory in directories:
        for folder, _, _ in os.walk(directory):
            try:
                found.update(int(line) for line in (Path(folder) / "cgroup.procs").read_text().split())
            except OSError:
                # The group went away while it was read, or has no processes of its own kind (cgroup v2).
                continue
    return found
