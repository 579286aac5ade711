"""Who else scales or writes a workload's children, as the operator sees it with the chart's rights."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, BatchV1Api, Configuration
from kubernetes.config import load_kube_config
from tests.control_plane.admission_world import World, world
from tests.control_plane.foreign_crds import SCALED_OBJECT, VERTICAL_SCALER
from tests.control_plane.operator_process import TORCH, Namespace, Operator, variant_for_serving

from trimtab.kube.paths import DEPLOYMENTS, JOBS, OWN

pytestmark = pytest.mark.xdist_group("conflicts")

_NUMBERS = itertools.count()
SERVING: dict[str, Any] = {
    "model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 200}},
    "resources": {"cpu": "1"}, "maxReplicas": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world("conflicts", tmp_path_factory.mktemp("conflicts")) as up:
        yield up


@dataclass(frozen=True)
class Scene:
    """A service that runs, its operator, and what can be done to it."""

    world: World
    namespace: Namespace
    operator: Operator

    @property
    def deployment(self) -> str:
        (name,) = self.namespace.all(DEPLOYMENTS)
        return name

    def make(self, manifest: dict[str, Any]) -> None:
        self.world.api.kubectl("apply", "-n", self.namespace.name, "-f", "-", input=yaml.safe_dump(manifest))

    def autoscaler(self, api_version: str, kind: str, name: str, most: int = 5) -> None:
        """A HorizontalPodAutoscaler named `fast`."""
        metric = {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
        }
        spec = {
            "scaleTargetRef": {"apiVersion": api_version, "kind": kind, "name": name}, "maxReplicas": most,
            "metrics": [metric],
        }  # fmt: skip
        self.make(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "fast"},
                "spec": spec,
            }
        )

    def conflict(self) -> tuple[str, str]:
        return self.namespace.condition("ServingWorkload", "digits", "ScalingConflict")

    def until(self, reason: str) -> None:
        status = "False" if reason == "NoConflict" else "True"
        self.operator.wait_for(lambda: self.conflict() == (status, reason), reason)

    def events(self) -> list[str]:
        listed = self.world.api.kubectl("get", "events.events.k8s.io", "-n", self.namespace.name, "-o", "json")
        return [e["note"] for e in json.loads(listed)["items"] if e["reason"] == "ScalingConflict"]


@pytest.fixture
def scene(here: World, tmp_path: Path) -> Iterator[Scene]:
    namespace = Namespace(here.kube, here.namespace(f"conflicts-{next(_NUMBERS)}"))
    operator = here.operator(tmp_path, TRIMTAB_ADMISSION="off", TRIMTAB_RELIST_SECONDS="1")
    variant_for_serving(operator, namespace)
    namespace.make("ServingWorkload", "digits", SERVING)
    operator.start()
    operator.wait_for(lambda: namespace.all(DEPLOYMENTS), "the Deployment")
    made = Scene(here, namespace, operator)
    made.until("NoConflict")
    yield made
    operator.kill()
    assert "forbidden: User" not in operator.log(), operator.log()[-3000:]
    here.api.kubectl("delete", "namespace", namespace.name, "--wait=false")


def test_an_autoscaler_of_the_child_is_said_until_it_is_gone(scene: Scene) -> None:
    scene.autoscaler("apps/v1", "Deployment", scene.deployment)
    scene.until("ScalesChild")
    scene.operator.wait_for(scene.events, "the event")
    (note,) = scene.events()
    assert f"HorizontalPodAutoscaler 'fast' scales Deployment '{scene.deployment}'" in note
    assert "kind: ServingWorkload, name: digits" in note
    scene.world.api.kubectl("delete", "hpa", "fast", "-n", scene.namespace.name)
    scene.until("NoConflict")


def test_an_autoscaler_of_the_workload_needs_a_count_and_then_is_welcome(scene: Scene) -> None:
    scale = ("scale", "servingworkload", "digits", "-n", scene.namespace.name, "--replicas=2")
    # What the condition is about: an autoscaler reads the count first, and there is none.
    path = f"{scene.namespace.path(OWN['ServingWorkload'], 'digits')}/scale"
    assert 'field ".spec.replicas" does not exist' in scene.world.api.try_kubectl("get", "--raw", path).stderr
    scene.autoscaler("trimtab.dev/v1alpha1", "ServingWorkload", "digits")
    scene.until("NoCount")
    scene.namespace.make("ServingWorkload", "digits", {**SERVING, "replicas": 1})
    scene.until("NoConflict")
    scene.world.api.kubectl(*scale)
    scene.operator.wait_for(
        lambda: scene.namespace.get(DEPLOYMENTS, scene.deployment)["spec"]["replicas"] == 2, "two replicas"
    )
    scene.autoscaler("trimtab.dev/v1alpha1", "ServingWorkload", "digits", most=9)
    scene.until("BoundsDiffer")
    refused = scene.world.api.try_kubectl(*scale[:-1], "--replicas=9")
    assert "replicas must lie between minReplicas and maxReplicas" in refused.stderr


def with_crd(scene: Scene, crd: dict[str, Any], steps: Callable[[], None]) -> None:
    """While the operator runs, a resource of others comes, and goes."""
    scene.make(crd)
    scene.world.api.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{crd['metadata']['name']}")
    try:
        steps()
    finally:
        scene.world.api.kubectl("delete", "crd", crd["metadata"]["name"])
    scene.until("NoConflict")


def test_keda_may_come_later_and_go_again(scene: Scene) -> None:
    def steps() -> None:
        spec = {"scaleTargetRef": {"name": scene.deployment}, "triggers": [{"type": "cron", "metadata": {}}]}
        keda = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "queue"}, "spec": spec}
        scene.make(keda)
        scene.until("ScalesChild")
        paused = {"name": "queue", "annotations": {"autoscaling.keda.sh/paused": "true"}}
        scene.make({**keda, "metadata": paused})
        scene.until("NoConflict")
        scene.make({**keda, "metadata": {"name": "queue", "annotations": {"autoscaling.keda.sh/paused": "false"}}})
        scene.until("ScalesChild")

    with_crd(scene, SCALED_OBJECT, steps)


def test_a_vertical_autoscaler_that_acts_is_said_and_one_that_recommends_is_not(scene: Scene) -> None:
    def steps() -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": scene.deployment}
        vertical: dict[str, Any] = {
            "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "size"},
            "spec": {"targetRef": target, "updatePolicy": {"updateMode": "Recreate"}},
        }  # fmt: skip
        scene.make(vertical)
        scene.until("VerticalScaler")
        scene.make({**vertical, "spec": {"targetRef": target, "updatePolicy": {"updateMode": "Off"}}})
        scene.until("NoConflict")

    with_crd(scene, VERTICAL_SCALER, steps)


def test_another_operator_that_goes_on_and_on_is_said_and_one_edit_is_not(scene: Scene) -> None:
    name = scene.deployment
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": scene.namespace.name},
        "spec": {"replicas": 4},
    }  # fmt: skip

    def edit() -> None:
        options = ("--server-side", "--force-conflicts", "--field-manager=second-operator", "--validate=false")
        scene.world.api.kubectl("apply", *options, "-f", "-", input=json.dumps(body))

    def put_right() -> bool:
        return bool(scene.namespace.get(DEPLOYMENTS, name)["spec"]["replicas"] == 1)

    # With a count of its own; without one and without metrics trimtab would hold what it finds.
    scene.namespace.make("ServingWorkload", "digits", {**SERVING, "replicas": 1})
    edit()
    scene.operator.wait_for(put_right, "the replicas that trimtab wants")
    scene.operator.wait_for_passes(2)
    assert scene.conflict() == ("False", "NoConflict")
    edit()
    scene.until("OtherWriter")
    scene.operator.wait_for(put_right, "the replicas that trimtab wants")
    assert any("'second-operator' set spec.replicas" in note for note in scene.events())


@contextmanager
def kueue(kubeconfig: Path) -> Iterator[BatchV1Api]:
    """Writes as Kueue's manager does: its User-Agent is all that the API server has to name the writer by.

    Kueue v0.15 sends `kueue/VERSION (OS/ARCH) COMMIT` (pkg/util/useragent), and stops a Job that it manages by a merge
    patch of `spec.suspend` (pkg/controller/jobframework).
    """
    configuration = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    with ApiClient(configuration) as api:
        api.user_agent = "kueue/v0.15.2 (linux/amd64) 0123456"
        yield BatchV1Api(api)


def test_kueue_that_manages_jobs_without_a_queue_is_said(here: World, tmp_path: Path) -> None:
    namespace = Namespace(here.kube, here.namespace(f"conflicts-{next(_NUMBERS)}"))
    operator = here.operator(tmp_path, TRIMTAB_ADMISSION="off", TRIMTAB_RELIST_SECONDS="1")
    namespace.make("TrainingWorkload", "digits", TORCH)
    operator.start()

    def runs() -> bool:
        return [job["spec"].get("suspend", False) for job in namespace.all(JOBS).values()] == [False]

    try:
        operator.wait_for(runs, "the Job")
        (name,) = namespace.all(JOBS)
        with kueue(here.api.kubeconfig) as batch:

            def stopped_again_and_said() -> bool:
                """It goes on and on: whenever trimtab lets the Job run, it is stopped."""
                job: Any = batch.patch_namespaced_job(name, namespace.name, {"spec": {"suspend": True}})
                assert {entry.manager for entry in job.metadata.managed_fields} >= {"kueue"}
                said = namespace.condition("TrainingWorkload", "digits", "ScalingConflict")
                return said == ("True", "KueueManages")

            operator.wait_for(stopped_again_and_said, "the conflict")
        operator.wait_for(runs, "the Job as trimtab wants it, once Kueue keeps off")
        found = namespace.get(OWN["TrainingWorkload"], "digits")["status"]["conditions"]
        (said,) = [c["message"] for c in found if c["type"] == "ScalingConflict"]
        assert f"Kueue (kueue) sets spec.suspend of Job '{name}'" in said
        assert "manageJobsWithoutQueueName: false" in said
    finally:
        operator.kill()
    here.api.kubectl("delete", "namespace", namespace.name, "--wait=false")
