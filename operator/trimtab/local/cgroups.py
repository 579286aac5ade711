"""The cluster's control groups: every process of it is in one, so that `down` finds each of them."""

import contextlib
import os
import signal
from pathlib import Path

from trimtab.local.errors import LocalError
from trimtab.local.process import processes_below, wait_until

_MOUNT = Path("/sys/fs/cgroup")
_CONTROLLERS_V2 = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


def hierarchies() -> list[Path]:
    """Return the roots of all control group hierarchies: one on version 2, one a controller on version 1."""
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return sorted({path.resolve() for path in _MOUNT.iterdir() if path.is_dir() and (path / "cgroup.procs").exists()})


def group_name(cluster: str) -> str:
    """Return the name of the cluster's group, the same in every hierarchy."""
    return f"trimtab-{cluster}"


def create(cluster: str) -> None:
    """Make the cluster's groups, ready for a kubelet to make pods' groups below them.

    Raises:
        LocalError: If they cannot be made.
    """
    try:
        for root in hierarchies():
            group = root / group_name(cluster)
            group.mkdir(exist_ok=True)
            (group / "system").mkdir(exist_ok=True)
            if (root / "cgroup.controllers").exists():
                _delegate(root)
                _delegate(group)
            elif (group / "cpuset.cpus").exists():
                _inherit_cpuset(root, group)
                _inherit_cpuset(group, group / "system")
    except OSError as refused:
        raise LocalError(f"cannot make control groups below {_MOUNT}: {refused}. Run as root") from refused


def join(cluster: str) -> None:
    """Move this process into the cluster's groups; for a new process, before it becomes something else."""
    for root in hierarchies():
        (root / group_name(cluster) / "system" / "cgroup.procs").write_text(str(os.getpid()))


def members(cluster: str) -> set[int]:
    """Return the ids of all processes of the cluster, those in containers included."""
    return processes_below(root / group_name(cluster) for root in hierarchies())


def kill_members(cluster: str) -> None:
    """Kill every process of the cluster and wait until they are gone.

    Raises:
        LocalError: If one does not die, which only a hung kernel call explains.
    """

    def none_left() -> bool:
        left = members(cluster)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(
        none_left,
        timeout_seconds=30,
        failure=lambda: f"processes {sorted(members(cluster))} of cluster {cluster} do not end",
    )


def remove(cluster: str) -> None:
    """Remove the cluster's groups, which no process is in any more.

    Raises:
        LocalError: If one cannot be removed.
    """
    for root in hierarchies():
        top = root / group_name(cluster)
        for folder, _, _ in os.walk(top, topdown=False):
            _remove_one(Path(folder))


def _remove_one(group: Path) -> None:
    def gone() -> bool:
        try:
            group.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            # Busy for a moment after its last process has died.
            return False
        return True

    wait_until(gone, timeout_seconds=10, failure=lambda: f"the control group {group} stays busy")


def _delegate(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in _CONTROLLERS_V2 if name in available)
    (group / "cgroup.subtree_control").write_text(wanted)


def _inherit_cpuset(parent: Path, child: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (child / name).read_text().strip():
            (child / name).write_text((parent / name).read_text())
