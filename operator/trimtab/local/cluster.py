"""A real, if small, Kubernetes: one node that runs containers, and as many simulated ones as are declared."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trimtab.local import addons, cgroups, network
from trimtab.local.binaries import ensure
from trimtab.local.cluster_spec import API_PORT, FIXED_PLACES, SpecWriter
from trimtab.local.console import say, step
from trimtab.local.debian import require_packages
from trimtab.local.errors import LocalError
from trimtab.local.images import store
from trimtab.local.images.build import Built, ensure_built
from trimtab.local.locks import exclusive
from trimtab.local.network import Subnet
from trimtab.local.paths import PACKAGE, ClusterPaths, state_dir
from trimtab.local.process import last_lines, run, succeeds, wait_until

_DEFAULT_ACCOUNT = ("get", "serviceaccount", "default")


@dataclass(frozen=True)
class Record:
    """What `up` notes about a cluster.

    Attributes:
        subnet_index: Its subnet.
        supervisor_pid: Its first process, as the host numbers it.
        images: The full name of each image that its node has, and the key that it was built under.
        generation: The generation of the image store whose layers it uses.
    """

    subnet_index: int
    supervisor_pid: int
    images: dict[str, str]
    generation: str


class Cluster:
    """One embedded cluster, known by its name; several run side by side.

    Attributes:
        paths: Where its files are.
    """

    def __init__(self, name: str = "trimtab") -> None:
        """Name a cluster, which need not be up.

        Raises:
            LocalError: If the name does not fit.
        """
        self.paths = ClusterPaths.of(name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """The cluster's name, which is also its real node's."""
        return self.paths.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; there while the cluster is up."""
        return self.paths.kubeconfig

    @property
    def audit_log(self) -> Path:
        """What service accounts asked of the API, one JSON object a line."""
        return self.paths.audit_log

    @property
    def record(self) -> Record | None:
        """What `up` noted, or None if the cluster is down."""
        try:
            return Record(**json.loads(self.paths.record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def server(self) -> str | None:
        """The apiserver's address, or None if the cluster is down."""
        record = self.record
        return None if record is None else f"https://{Subnet(record.subnet_index).node}:{API_PORT}"

    @staticmethod
    def names() -> list[str]:
        """Return the names of the clusters that are up, or were not taken down entirely."""
        return sorted(path.parent.name for path in state_dir().glob("clusters/*/run"))

    def is_running(self) -> bool:
        """Whether its first process is alive."""
        return bool(self._supervisors())

    def is_ready(self) -> bool:
        """Whether the API answers, the node is ready and names are resolved."""
        record = self.record
        return (
            record is not None
            and self.is_running()
            and self._node_ready()
            and _answers(f"http://{Subnet(record.subnet_index).node}:8181/ready")
        )

    @property
    def kubectl_path(self) -> Path:
        """A kubectl of the cluster's version."""
        return ensure(["kubernetes"])["kubectl"]

    def kubectl(self, *arguments: str | Path, text_input: str | None = None) -> str:
        """Run kubectl as the administrator and return what it printed.

        Raises:
            LocalError: If it fails.
        """
        return run([*self._kubectl(), *arguments], text_input=text_input)

    def up(self, images: Iterable[str] = ()) -> None:
        """Start the cluster and return when it is ready; does nothing to one that is ready already.

        Args:
            images: Names of images, such as `operator`, that its node is to have. They are built if need be.

        Raises:
            LocalError: If it does not get ready. Nothing is left running then, except for the logs.
        """
        if os.geteuid() != 0:
            raise LocalError("a cluster needs root, for its namespaces and control groups: run this with sudo")
        with self._exclusive():
            with step("Debian packages"):
                require_packages()
            programs = ensure()
            built = ensure_built(images)
            if self.is_running() and self.record is not None:
                # Perhaps busy, perhaps still starting after a component failed: never throw away what runs.
                again = f"the running cluster (`trimtab local down --name {self.name}` ends it)"
                self._wait(again, self.is_ready, 60)
                self._load_missing(built)
                return
            self._tear_down()
            try:
                self._start(programs, built)
            except BaseException:
                self._tear_down()
                raise

    def load(self, images: Iterable[str]) -> None:
        """Load images into the running cluster, building those that are out of date.

        Args:
            images: Names from the catalog.

        Raises:
            LocalError: If the cluster is not up, or a build or the import fails.
        """
        with self._exclusive():
            self._load_missing(ensure_built(images))

    def down(self) -> None:
        """End every process of the cluster and remove all that it made, except its logs; idempotent.

        Raises:
            LocalError: If something cannot be removed.
        """
        with self._exclusive():
            self._tear_down()

    def enter_command(self) -> list[str]:
        """Return the prefix of a command that is to run inside the cluster's namespaces.

        Raises:
            LocalError: If the cluster is not up.
        """
        supervisors = self._supervisors()
        if not supervisors:
            raise LocalError(f"cluster {self.name} is not up: start it with `trimtab local up --name {self.name}`")
        return ["nsenter", "-t", str(supervisors[0]), "-m", "-n", "-p"]

    def _exclusive(self) -> AbstractContextManager[None]:
        return exclusive(self.paths.lock, lambda: say(f"another trimtab works on cluster {self.name}: waiting"))

    def _start(self, programs: dict[str, Path], images: list[Built]) -> None:
        paths = self.paths
        shutil.rmtree(paths.logs, ignore_errors=True)
        for folder in (paths.run, paths.logs, *FIXED_PLACES):
            folder.mkdir(parents=True, exist_ok=True)
        with step("images"):
            generation = store.clone(images, paths.containerd)
        with step("control plane"):
            cgroups.create(self.name)
            # Two clusters that start at once must not choose the same subnet: held until it is routed and recorded.
            with exclusive(state_dir() / "subnets.lock"):
                subnet = network.free_subnet(self._taken_subnets())
                spec = SpecWriter(paths, subnet, programs).write()
                pid = self._launch(spec)
                record = Record(subnet.index, pid, _keys(images), generation)
                paths.record.write_text(json.dumps(asdict(record)))
                network.connect(self.name, subnet, pid)
            self._go()
            self._wait("the API", lambda: succeeds([*self._kubectl(), "get", "--raw=/readyz"]), 60)
            self.kubectl("apply", "-f", "-", text_input=addons.manifests(paths.run))
        with step("node"):
            self._wait("the node", self._node_ready, 90)
            # Pods are refused before it is there.
            self._wait("the default service account", lambda: succeeds([*self._kubectl(), *_DEFAULT_ACCOUNT]), 60)
        with step("cluster DNS"):
            self._wait("the DNS", lambda: _answers(f"http://{subnet.node}:8181/ready"), 60)

    def _launch(self, spec: Path) -> int:
        """Start the supervisor in namespaces of its own and return its process id."""
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        supervisor = [sys.executable, "-I", "-S", str(PACKAGE / "supervisor.py"), str(spec)]
        with (self.paths.logs / "supervisor.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*namespaces, *supervisor],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # In the cluster's control groups before anything else happens: `down` always finds it.
                preexec_fn=lambda: cgroups.join(self.name),
            )
        self._wait("the supervisor", lambda: bool(self._supervisors()), 10)
        return self._supervisors()[0]

    def _go(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()

    def _wait(self, what: str, condition: Callable[[], bool], timeout_seconds: float) -> None:
        def asked() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise LocalError(self._why(f"{what} did not come up: the supervisor ended"))
            return condition()

        wait_until(
            asked,
            timeout_seconds=timeout_seconds,
            failure=lambda: self._why(f"{what} did not come up in {timeout_seconds:.0f} s"),
        )

    def _why(self, problem: str) -> str:
        logs = sorted(path for path in self.paths.logs.glob("*.log") if path != self.audit_log)
        shown = "\n".join(f"  {path.stem}:\n{last_lines(path, 5)}" for path in logs)
        return f"{problem}\n{shown}\n  All of it: less {self.paths.logs}/*.log"

    def _tear_down(self) -> None:
        cgroups.kill_members(self.name)
        if self._process is not None:
            self._process.wait()
            self._process = None
        network.disconnect(self.name)
        cgroups.remove(self.name)
        shutil.rmtree(self.paths.run, ignore_errors=True)
        if self.paths.run.exists():
            # The first pass may have met files that were going away meanwhile; a second one says what is wrong.
            shutil.rmtree(self.paths.run)
        with contextlib.suppress(FileNotFoundError):
            self.paths.record.unlink()
        store.prune(self._generations())

    def _supervisors(self) -> list[int]:
        """Return the first processes of the cluster's process namespace, as the host numbers them: one, or none."""
        return sorted(pid for pid in cgroups.members(self.name) if _is_first_of_namespace(pid))

    def _load_missing(self, images: list[Built]) -> None:
        record = self.record
        missing = [image for image in images if record and record.images.get(image.reference) != image.key]
        if record is None or not missing:
            say(f"cluster {self.name} is up")
            return
        with step(f"loading {', '.join(image.reference for image in missing)}"):
            store.load(missing, self.paths.containerd, self.enter_command())
        changed = replace(record, images={**record.images, **_keys(missing)})
        self.paths.record.write_text(json.dumps(asdict(changed)))

    def _kubectl(self) -> list[str | Path]:
        return [self.kubectl_path, "--kubeconfig", self.kubeconfig]

    def _node_ready(self) -> bool:
        if not self.kubeconfig.exists():
            return False
        path = '-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        done = subprocess.run(
            [*self._kubectl(), "--request-timeout=5s", "get", "node", self.name, path], capture_output=True, text=True
        )
        return done.stdout.strip() == "True"

    @staticmethod
    def _others() -> list[Record]:
        records = [Cluster(name).record for name in Cluster.names()]
        return [record for record in records if record is not None]

    def _taken_subnets(self) -> set[int]:
        return {record.subnet_index for record in self._others()}

    def _generations(self) -> set[str]:
        return {record.generation for record in self._others()}


def _keys(images: list[Built]) -> dict[str, str]:
    return {image.reference: image.key for image in images}


def _is_first_of_namespace(pid: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    # Pods have process namespaces of their own, one level further down.
    return len(numbers) == _own_depth() + 1 and numbers[-1] == "1"


def _own_depth() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(len(line.split()) - 1 for line in lines if line.startswith("NSpid:"))


def _answers(url: str) -> bool:
    # No proxy: the address is this machine's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as response:
            return int(response.status) == 200
    except (urllib.error.URLError, OSError):
        return False
