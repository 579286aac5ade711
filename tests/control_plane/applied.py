"""A namespace of a real apiserver in which the operator's passes are made by hand: observe, plan, apply."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from trimtab.api.common import Usage
from trimtab.apply.actuator import Actuator, ApplyReport
from trimtab.apply.settings import ApplySettings, Images
from trimtab.apply.triton import TritonControl
from trimtab.kube.client import KubeClient, Object
from trimtab.kube.errors import KubeError
from trimtab.kube.paths import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    JOBS,
    NODES,
    OWN,
    PODS,
    SERVICES,
    Resource,
    collection,
    object_path,
)
from trimtab.local.process import wait_until
from trimtab.observe.cache import ClusterCache
from trimtab.observe.observer import Observer
from trimtab.observe.settings import ObserveSettings
from trimtab.observe.triton import TritonVersions
from trimtab.plan.decisions import Plan
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

IMAGES = Images(train="example/train:1", optimize="example/optimize:1", serve="example/serve:1")
TORCH = {"torch": {"epochs": 3}, "checkpoint": {"claimName": "models"}, "resources": {"cpu": "500m"}}


def new_actuator(kube: KubeClient) -> Actuator:
    """An operator that has just been started: it remembers nothing."""
    return Actuator(kube, TritonControl(), ApplySettings(images=IMAGES))


@dataclass
class World:
    """One namespace with a hardware class and a node of its own; passes look at nothing else."""

    api: "Api"
    kube: KubeClient
    namespace: str
    start: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.api.kubectl("create", "namespace", self.namespace)
        wait_until(self._served, timeout_seconds=30, failure=lambda: "the custom resources are not served")
        self._node()
        power = {"idleWatts": "10", "peakWatts": "50"}
        spec = {
            "nodeSelector": {"sort": self.namespace}, "price": {"usdPerHour": "0.1"}, "power": power, "gridZone": "ES",
        }  # fmt: skip
        self.make("HardwareClass", self.namespace, spec)
        self.actuator = new_actuator(self.kube)
        self.observer = Observer(
            ClusterCache(), self.kube, None, TritonVersions(timeout_seconds=0.2), ObserveSettings()
        )

    def _classes(self) -> tuple[str, str]:
        """Its own class, and a second one that a test may make."""
        return self.namespace, f"{self.namespace}-next"

    def _served(self) -> bool:
        try:
            return all(self.kube.list(collection(resource)) for resource in OWN.values())
        except KubeError:
            return False

    def _node(self) -> None:
        name = f"node-{self.namespace}"
        node = {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"sort": self.namespace}},
        }  # fmt: skip
        self.kube.apply(object_path(NODES, name), node)
        size = {"cpu": "16", "memory": "32Gi", "pods": "110"}
        ready = {"type": "Ready", "status": "True", "reason": "Up", "message": "up"}
        status = {"allocatable": size, "capacity": size, "conditions": [ready]}
        self.kube.apply_status(object_path(NODES, name), {**node, "status": status})
        # The API server taints every new node as not ready; here no controller takes that away.
        self.api.kubectl("taint", "nodes", name, "node.kubernetes.io/not-ready-")

    def close(self) -> None:
        """Remove what is not in the namespace, and ask for the end of what is."""
        self.actuator.close()
        self.observer.close()
        self.kube.delete(object_path(NODES, f"node-{self.namespace}"))
        for name in self._classes():
            self.kube.delete(object_path(OWN["HardwareClass"], name))
        self.api.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def path(self, resource: Resource, name: str) -> str:
        """Path of an object of this world."""
        return object_path(resource, name, self.namespace if resource.namespaced else "")

    def make(self, kind: str, name: str, spec: Mapping[str, Any]) -> Object:
        """Create or edit a custom resource as a user would."""
        resource = OWN[kind]
        metadata = {"name": name, **({"namespace": self.namespace} if resource.namespaced else {})}
        body = {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
        return self.kube.apply(self.path(resource, name), body)

    def write_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        """Write the status of a custom resource, as an earlier pass would have."""
        metadata = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": OWN[kind].api_version, "kind": kind, "metadata": metadata, "status": dict(status)}
        self.kube.apply_status(self.path(OWN[kind], name), body)

    def snapshot(self, after: float = 0.0) -> Snapshot:
        """What is in this world, so many seconds after its start."""
        now = self.start + timedelta(seconds=after)
        self.observer.relist(now)
        whole = self.observer.snapshot(now)
        kept = {
            kind: tuple(state for state in getattr(whole, kind) if state.meta.namespace == self.namespace)
            for kind in ("training", "serving", "variants", "policies")
        }
        hardware = tuple(h for h in whole.hardware if h.meta.name in self._classes())
        return whole.model_copy(update={**kept, "hardware": hardware, "carbon": ()})

    def run(
        self, after: float = 0.0, usage: Mapping[str, Usage] | None = None, decisions: Plan | None = None
    ) -> ApplyReport:
        """One pass, so many seconds after the start."""
        snapshot = self.snapshot(after)
        return self.actuator.apply(snapshot, decisions or plan(snapshot), usage or {}, snapshot.taken_at)

    def settle(self) -> None:
        """Passes until the operator has nothing more to do."""
        for _ in range(3):
            assert self.run().errors == {}

    def restart(self) -> None:
        """The operator is killed and comes back."""
        self.actuator.close()
        self.actuator = new_actuator(self.kube)

    def get(self, resource: Resource, name: str) -> Object:
        """An object that must be there."""
        found = self.kube.get(self.path(resource, name))
        assert found is not None, f"{resource.kind} {name} does not exist"
        return found

    def status(self, kind: str, name: str) -> Object:
        """Status of a custom resource."""
        return dict(self.get(OWN[kind], name).get("status") or {})

    def condition(self, kind: str, name: str, type_: str) -> Object:
        """A condition that must be there."""
        (found,) = [c for c in self.status(kind, name)["conditions"] if c["type"] == type_]
        return dict(found)

    def all(self, resource: Resource) -> list[Object]:
        """All objects of a resource in this world."""
        return self.kube.list(collection(resource, self.namespace)).items

    def events(self) -> list[tuple[str, str]]:
        """Reason and name of the object of every event, sorted."""
        return sorted((event["reason"], event["regarding"]["name"]) for event in self.all(EVENTS))

    def versions(self) -> dict[str, str]:
        """resourceVersion of everything in this world that the operator may write."""
        kinds = (
            JOBS,
            SERVICES,
            CONFIG_MAPS,
            DEPLOYMENTS,
            DISRUPTION_BUDGETS,
            EVENTS,
            *(r for r in OWN.values() if r.namespaced),
        )
        found = {
            f"{resource.kind}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for resource in kinds
            for one in self.all(resource)
        }
        own_class = self.get(OWN["HardwareClass"], self.namespace)
        return {**found, "HardwareClass": own_class["metadata"]["resourceVersion"]}

    def pod(self, name: str, kind: str, workload: str) -> Object:
        """A pod of a workload that nobody runs: it stays Pending until it is deleted."""
        labels = {"trimtab.dev/workload": workload, "trimtab.dev/workload-kind": kind}
        body = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }  # fmt: skip
        return self.kube.create(collection(PODS, self.namespace), body)

    def kubectl(self, *arguments: str) -> str:
        """What somebody else does in this namespace."""
        return self.api.kubectl("-n", self.namespace, *arguments)


def config_of(workload: Object) -> Any:
    """TRIMTAB_CONFIG of the first container of a Job or Deployment."""
    (variable,) = workload["spec"]["template"]["spec"]["containers"][0]["env"]
    return json.loads(variable["value"])
