"""The first process in a cluster's own process namespace: it starts the components and restarts those that end.

When it ends, however it ends, the kernel kills every other process in the namespace, and with the last of them go
the cluster's mounts, its network and its links. It uses the standard library alone, so that it stays small.

Run as `python3 -m trimtab.local.supervisor SPEC.json`; it starts nothing until it reads a line on standard input,
which is how `up` gives it its network first, and how it ends by itself if `up` dies before.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TypedDict

_RESTART_DELAY_SECONDS = 1.0
_GATE_INTERVAL_SECONDS = 0.05


class ComponentSpec(TypedDict):
    """One component: its name, its command, its log file, and what must accept connections before it starts.

    A gate is a path of a Unix socket or `host:port`.
    """

    name: str
    command: list[str]
    log: str
    gates: list[str]


class Spec(TypedDict):
    """What the supervisor is told: environment variables, commands to run first, and the components."""

    environment: dict[str, str]
    setup: list[list[str]]
    components: list[ComponentSpec]


class Supervisor:
    """Keeps the components of one cluster running."""

    def __init__(self, spec: Spec) -> None:
        """Take over a specification; nothing starts yet."""
        self._spec = spec
        self._running: dict[int, ComponentSpec] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def run(self) -> None:
        """Start everything, then reap what ends and restart what should not have; never returns."""
        for component in self._spec["components"]:
            threading.Thread(target=self._start, args=(component,), daemon=True).start()
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                # Nothing is running yet, or everything ended at once: wait for the next start.
                self._changed.wait()
                self._changed.clear()
                continue
            with self._lock:
                ended = self._running.pop(pid, None)
            if ended is not None:
                print(f"{ended['name']} ended with status {status}: restarting it", flush=True)
                threading.Thread(target=self._start, args=(ended, True), daemon=True).start()

    def _start(self, component: ComponentSpec, again: bool = False) -> None:
        if again:
            time.sleep(_RESTART_DELAY_SECONDS)
        for gate in component["gates"]:
            while not _accepts(gate):
                time.sleep(_GATE_INTERVAL_SECONDS)
        log = os.open(component["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        command = component["command"]
        # Held during the start: the main thread must not see the end of a process that it cannot name yet.
        with self._lock:
            pid = os.posix_spawn(
                command[0], command, self._spec["environment"], file_actions=actions, setpgroup=0, setsigmask=[]
            )
            self._running[pid] = component
        self._changed.set()
        os.close(log)
        os.close(null)


def _accepts(gate: str) -> bool:
    if gate.startswith("/"):
        family, address = socket.AF_UNIX, gate
        target: str | tuple[str, int] = address
    else:
        host, _, port = gate.rpartition(":")
        family, target = socket.AF_INET, (host, int(port))
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(target) == 0


def main() -> None:
    """Read the specification, wait for the word to go, and keep the cluster running."""
    spec: Spec = json.loads(Path(sys.argv[1]).read_text())
    # The first process of a namespace ignores signals that it has no handler for; be plain about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.stdin.readline():
        sys.exit("the command that started this cluster ended before its network was ready")
    for command in spec["setup"]:
        subprocess.run(command, env=spec["environment"], stdin=subprocess.DEVNULL, check=True)
    Supervisor(spec).run()


if __name__ == "__main__":
    main()
