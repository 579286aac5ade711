"""The control plane that tests use is a real one, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.local.control_plane import ControlPlane
from trimtab.local.errors import LocalError
from trimtab.local.process import wait_until

HOLDER = """
import sys, time
from trimtab.local.control_plane import ControlPlane
plane = ControlPlane("orphan")
plane.up()
print(*[process.pid for process in plane._processes], plane.directory, flush=True)
sys.stdin.read()
"""


def test_it_answers_validates_and_remembers(control_plane) -> None:
    assert "v1.37" in control_plane.kubectl("version")
    control_plane.kubectl("create", "namespace", "remembers")
    control_plane.kubectl("-n", "remembers", "create", "configmap", "c", "--from-literal=a=b")
    assert control_plane.kubectl("-n", "remembers", "get", "configmap", "c", "-o=jsonpath={.data.a}") == "b"
    refused = control_plane.try_kubectl("create", "namespace", "Not_A_Name")
    assert refused.returncode != 0
    assert "Invalid value" in refused.stderr


def test_it_says_that_it_is_not_up() -> None:
    with pytest.raises(LocalError, match="not up"):
        _ = ControlPlane("never").kubeconfig


def test_its_processes_die_with_the_one_that_started_it() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    *pids, directory = holder.stdout.readline().split()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    try:
        wait_until(
            lambda: not any(_is_alive(int(pid)) for pid in pids),
            timeout_seconds=10,
            failure=lambda: f"still there: {pids}",
        )
        assert len(pids) == 2
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
