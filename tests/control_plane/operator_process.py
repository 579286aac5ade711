"""The operator as it is deployed: a process of its own, against an apiserver with its controllers."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.kube.client import KubeClient, Object
from trimtab.kube.paths import NODES, OWN, Resource, collection, object_path
from trimtab.local.process import wait_until
from trimtab.plan.snapshot import Snapshot
from trimtab.plan.variants import spec_hash

ROOT = Path(__file__).parents[2]
NODE = "worker"
NODE_LABELS = {"sort": "plain"}
TORCH: dict[str, Any] = {"torch": {"epochs": 3}, "checkpoint": {"claimName": "models"}, "resources": {"cpu": "500m"}}
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Heart:
    """Renews a node's lease as its kubelet would: without, the controllers take the node for dead."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube, self._stop = kube, threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def __enter__(self) -> None:
        size = {"cpu": "64", "memory": "128Gi", "pods": "200"}
        ready = {"type": "Ready", "status": "True", "reason": "Up", "message": "up"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": NODE_LABELS}}
        path = object_path(NODES, NODE)
        self._kube.apply(path, node)
        status = {"allocatable": size, "capacity": size, "conditions": [ready]}
        self._kube.apply_status(path, {**node, "status": status})
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while True:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": now}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE}, "spec": spec}
            self._kube.apply(_LEASE, body)
            if self._stop.wait(timeout=10):
                return


@dataclass
class Operator:
    """`python -m trimtab.handlers` with settings of its own; it may be killed and started again."""

    kubeconfig: Path
    directory: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.health_port, self.metrics_port = free_port(), free_port()
        self.snapshot_path = self.directory / "snapshot.json"
        self.log_path = self.directory / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None, "the operator was not started"
        return self._process

    def environment(self) -> dict[str, str]:
        """What the chart would set, for a quick rhythm."""
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("TRIMTAB_")}
        return {
            **inherited,
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "TRIMTAB_LOOP_SECONDS": "2",
            "TRIMTAB_SCRAPE_SECONDS": "1",
            "TRIMTAB_DEBOUNCE_SECONDS": "0.1",
            "TRIMTAB_HEALTH_PORT": str(self.health_port),
            "TRIMTAB_METRICS_PORT": str(self.metrics_port),
            "TRIMTAB_SNAPSHOT_PATH": str(self.snapshot_path),
            **self.settings,
        }

    def start(self) -> None:
        """Start it; what it logs is added to the log of its predecessors."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "trimtab.handlers"],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def runs_for(self, seconds: float) -> bool:
        """Whether it is still alive after so long."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def kill(self) -> None:
        """SIGKILL: no time to say good-bye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """SIGTERM, as Kubernetes stops a pod; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def log(self) -> str:
        """All that it said."""
        return self.log_path.read_text()

    def snapshot(self) -> Snapshot:
        """The Snapshot that it wrote last."""
        return Snapshot.model_validate_json(self.snapshot_path.read_text())

    def ask(self, port: int, path: str) -> str:
        """GET from one of its ports; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def passes(self) -> float:
        """How many passes have ended."""
        for line in self.ask(self.metrics_port, "/metrics").splitlines():
            if line.startswith('trimtab_pass_seconds_count{phase="apply"}'):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def wait_for(self, condition: Any, what: str, timeout_seconds: float = 60) -> None:
        """Wait for what the operator shall bring about; says what it logged when it does not."""

        def alive_and_so() -> bool:
            code = self.process.poll()
            assert code is None, f"the operator ended with {code}:\n{self.log()[-3000:]}"
            return bool(condition())

        wait_until(
            alive_and_so, timeout_seconds=timeout_seconds, interval_seconds=0.3,
            failure=lambda: f"{what} did not come about; the operator's log ends\n{self.log()[-3000:]}",
        )  # fmt: skip

    def wait_for_passes(self, count: int) -> None:
        """Until so many more passes have ended."""
        target = self.passes() + count
        self.wait_for(lambda: self.passes() >= target, f"{count} more passes")


@contextmanager
def running(operator: Operator) -> Iterator[Operator]:
    """An operator that is there for a while."""
    operator.start()
    try:
        yield operator
    finally:
        operator.kill()


@dataclass(frozen=True)
class Namespace:
    """Where the workloads of one test are."""

    kube: KubeClient
    name: str

    def path(self, resource: Resource, name: str) -> str:
        """Path of an object here."""
        return object_path(resource, name, self.name)

    def make(self, kind: str, name: str, spec: Mapping[str, Any]) -> Object:
        """Create or edit a custom resource as a user would."""
        metadata = {"name": name, "namespace": self.name}
        body = {"apiVersion": OWN[kind].api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
        return self.kube.apply(self.path(OWN[kind], name), body)

    def get(self, resource: Resource, name: str) -> Object:
        """An object; empty when there is none."""
        return self.kube.get(self.path(resource, name)) or {}

    def all(self, resource: Resource) -> dict[str, Object]:
        """All objects of a resource, by name."""
        return {one["metadata"]["name"]: one for one in self.kube.list(collection(resource, self.name)).items}

    def condition(self, kind: str, name: str, type_: str) -> tuple[str, str]:
        """Status and reason of a condition; empty when it is not there."""
        conditions = (self.get(OWN[kind], name).get("status") or {}).get("conditions") or ()
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == type_), ("", ""))


def hardware_class() -> Object:
    """A class that the one node belongs to."""
    spec = {
        "nodeSelector": NODE_LABELS, "price": {"usdPerHour": "0.1"}, "power": {"idleWatts": "10", "peakWatts": "50"},
        "gridZone": "ES",
    }  # fmt: skip
    own = OWN["HardwareClass"]
    return {"apiVersion": own.api_version, "kind": "HardwareClass", "metadata": {"name": "plain"}, "spec": spec}


def variant_for_serving(operator: Operator, namespace: Namespace) -> None:
    """A variant that was made and measured: what earlier passes wrote. The operator is not running meanwhile."""
    namespace.make("TrainingWorkload", "digits", {**TORCH, "suspend": True})
    done = {"completionTime": "2026-11-24T12:00:00Z", "state": "Succeeded"}
    write_status(namespace, "TrainingWorkload", "digits", done)
    namespace.make("ModelVariant", "fp32", {"source": {"trainingWorkload": "digits"}, "steps": []})
    with running(operator):
        operator.wait_for(lambda: operator.snapshot_path.exists(), "a Snapshot")
    snapshot = operator.snapshot()
    (state,) = [v for v in snapshot.variants if v.meta.namespace == namespace.name]
    (source,) = [t for t in snapshot.training if t.meta.namespace == namespace.name]
    point = {"batch": 1, "p50Milliseconds": "5", "p95Milliseconds": "6", "p99Milliseconds": "7"}
    status = {
        "specHash": spec_hash(state, source),
        "artifact": {"claimName": "models", "path": "variants/fp32/model.onnx", "sha256": "0" * 64, "sizeBytes": 9},
        "accuracy": {"value": "0.98", "low": "0.97", "high": "0.99", "samples": 360},
        "cpuCores": "1",
        "hardwareClass": "plain",
        "profile": [{**point, "itemsPerSecond": "200", "cpuSecondsPerItem": "0.005"}],
    }
    write_status(namespace, "ModelVariant", "fp32", status)


def write_status(namespace: Namespace, kind: str, name: str, status: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": namespace.name}
    body = {"apiVersion": OWN[kind].api_version, "kind": kind, "metadata": metadata, "status": status}
    namespace.kube.apply_status(namespace.path(OWN[kind], name), body)
