"""Starts the entry points as the processes that they are in pods, and ends them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "workloads"
PATIENCE_SECONDS = 90


@dataclass
class Entry:
    """A running entry point."""

    process: subprocess.Popen[bytes]
    output: Path
    termination: Path
    config: Mapping[str, object] = field(default_factory=dict)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def result(self) -> dict:
        return json.loads(self.termination.read_text())

    def events(self, name: str) -> list[dict]:
        lines = [
            json.loads(line)
            for line in self.text().splitlines(keepends=True)
            if line.startswith("{") and line.endswith("}\n")
        ]
        return [line for line in lines if line["event"] == name]

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, event: str, count: int = 1) -> list[dict]:
        def ready() -> list[dict]:
            assert self.process.poll() is None or len(self.events(event)) >= count, self.text()
            return self.events(event)

        eventually(lambda: len(ready()) >= count, lambda: self.text())
        return self.events(event)


def eventually(condition: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen in {PATIENCE_SECONDS} s: {explain()}"
        time.sleep(0.02)


@contextlib.contextmanager
def entry(
    module: str, config: Mapping[str, object], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Entry]:
    """Runs `python3 -m trimtab_workloads.<module>`; on leaving it is over, one way or the other."""
    folder.mkdir(parents=True, exist_ok=True)
    termination = folder / "termination-log"
    variables = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TRIMTAB_CONFIG": json.dumps(config),
        "TRIMTAB_TERMINATION_LOG": str(termination),
        **(environment or {}),
    }
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", f"trimtab_workloads.{module}"], env=variables, stdout=file, stderr=file, cwd=folder
        )
        try:
            yield Entry(process, output, termination, config)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def run(module: str, config: Mapping[str, object], folder: Path) -> Entry:
    """Runs an entry point to its end."""
    with entry(module, config, folder) as it:
        it.wait()
        return it


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [it.getsockname()[1] for it in sockets]
