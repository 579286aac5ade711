"""The real operator process: what it makes, that it can be killed at any moment, and that little can stop it."""

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.control_plane.applied import config_of
from tests.control_plane.operator_process import (
    TORCH,
    Heart,
    Namespace,
    Operator,
    hardware_class,
    running,
    variant_for_serving,
)

from trimtab.kube.client import KubeClient, Object
from trimtab.kube.paths import DEPLOYMENTS, JOBS, NAMESPACES, OWN, PODS, SERVICES, object_path
from trimtab.local.control_plane import ControlPlane
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

pytestmark = pytest.mark.xdist_group("operator-process")

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def plane() -> Iterator[tuple[ControlPlane, KubeClient]]:
    """An apiserver with its controllers, a node that looks alive, and a class for it."""
    with ControlPlane("operator-process", controllers=True) as up:
        command = [up.kubectl, "--kubeconfig", up.kubeconfig]
        subprocess.run([*command, "apply", "--server-side", "-f", ROOT / "crds"], check=True, capture_output=True)
        wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]
        subprocess.run([*command, *wait], check=True, capture_output=True)
        kube = KubeClient.from_kubeconfig(str(up.kubeconfig))
        with Heart(kube):
            kube.apply(object_path(OWN["HardwareClass"], "plain"), hardware_class())
            yield up, kube
        kube.close()


@pytest.fixture
def namespace(plane: tuple[ControlPlane, KubeClient]) -> Iterator[Namespace]:
    _, kube = plane
    name = f"operator-{next(_NUMBERS)}"
    path = object_path(NAMESPACES, name)
    kube.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Namespace(kube, name)
    kube.delete(path)


@pytest.fixture
def operator(plane: tuple[ControlPlane, KubeClient], tmp_path: Path) -> Iterator[Operator]:
    made = Operator(plane[0].kubeconfig, tmp_path)
    yield made
    made.kill()


def test_a_training_gets_its_job_and_the_job_its_pod(operator: Operator, namespace: Namespace) -> None:
    made = namespace.make("TrainingWorkload", "digits", TORCH)
    operator.start()
    operator.wait_for(lambda: namespace.all(PODS), "a pod of the Job")
    (job,) = namespace.all(JOBS).values()
    assert job["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    operator.wait_for(
        lambda: (namespace.get(OWN["TrainingWorkload"], "digits").get("status") or {}).get("decision"), "the decision"
    )
    assert operator.ask(operator.health_port, "/healthz")
    namespace.kube.delete(namespace.path(OWN["TrainingWorkload"], "digits"))
    operator.wait_for(lambda: not namespace.all(JOBS) and not namespace.all(SERVICES), "the end of the children")


def test_at_rest_nothing_is_written(operator: Operator, namespace: Namespace) -> None:
    namespace.make("TrainingWorkload", "digits", TORCH)
    operator.start()
    operator.wait_for(lambda: namespace.all(PODS), "a pod of the Job")
    operator.wait_for_passes(2)

    def present() -> dict[str, Object]:
        workload = namespace.get(OWN["TrainingWorkload"], "digits")
        return {**namespace.all(JOBS), **namespace.all(SERVICES), "workload": workload}

    before = present()
    operator.wait_for_passes(3)
    assert present() == before


def test_sigterm_ends_it_in_order_and_leaves_what_runs(operator: Operator, namespace: Namespace) -> None:
    namespace.make("TrainingWorkload", "digits", TORCH)
    operator.start()
    operator.wait_for(lambda: namespace.all(JOBS), "the Job")
    uid = namespace.get(JOBS, "digits")["metadata"]["uid"]
    assert operator.terminate() == 0, operator.log()[-3000:]
    assert "Traceback" not in operator.log()
    assert namespace.get(JOBS, "digits")["metadata"]["uid"] == uid


class Users:
    """People who create, edit and delete trainings, from a seed."""

    def __init__(self, seed: int, namespace: Namespace) -> None:
        self._random, self._namespace = random.Random(seed), namespace
        self.wanted: dict[str, dict[str, Any]] = {}

    def moment(self) -> float:
        """When the operator is killed, in seconds after its start: some fall into its start, some into a pass."""
        return self._random.uniform(0.3, 6.0)

    def act(self) -> None:
        """Do one thing."""
        name = f"job-{self._random.randrange(6)}"
        if name in self.wanted and self._random.random() < 0.3:
            self._namespace.kube.delete(self._namespace.path(OWN["TrainingWorkload"], name))
            del self.wanted[name]
            return
        cpu = self._random.choice(["250m", "500m", "750m"])
        self.wanted[name] = {**TORCH, "resources": {"cpu": cpu}, "suspend": self._random.random() < 0.25}
        self._namespace.make("TrainingWorkload", name, self.wanted[name])


def cpu_of(job: Object) -> str:
    return str(job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])


def unlike_what_is_wanted(namespace: Namespace, wanted: dict[str, dict[str, Any]]) -> str:
    """The first way in which the children differ from what the users want; empty when they do not."""
    jobs, services = namespace.all(JOBS), namespace.all(SERVICES)
    workloads = namespace.all(OWN["TrainingWorkload"])
    if stray := jobs.keys() - wanted.keys():
        return f"Jobs of nobody: {stray}"
    if stray := services.keys() - {f"{name}-peers" for name in wanted}:
        return f"Services of nobody: {stray}"
    for name, spec in wanted.items():
        workload, job = workloads[name], jobs.get(name)
        if (workload.get("status") or {}).get("observedGeneration") != workload["metadata"]["generation"]:
            return f"{name}: the status is not of the present spec"
        if job is None:
            if not spec["suspend"]:
                return f"{name}: no Job"
            continue
        if [one["uid"] for one in job["metadata"]["ownerReferences"]] != [workload["metadata"]["uid"]]:
            return f"{name}: the Job is another workload's"
        if (cpu_of(job), job["spec"]["suspend"]) != (spec["resources"]["cpu"], spec["suspend"]):
            return f"{name}: the Job is of an older spec"
    return ""


def test_killed_at_any_moment_it_ends_up_with_exactly_what_is_wanted(operator: Operator, namespace: Namespace) -> None:
    users = Users(20261124, namespace)
    for _ in range(8):
        operator.start()
        for _ in range(2):
            users.act()
        assert operator.runs_for(users.moment()), operator.log()[-3000:]
        operator.kill()
        users.act()
    operator.start()
    difference = [""]

    def settled() -> bool:
        difference[0] = unlike_what_is_wanted(namespace, users.wanted)
        return not difference[0]

    try:
        operator.wait_for(settled, "what the users want", timeout_seconds=90)
    except Exception as error:
        raise AssertionError(difference[0]) from error
    uids = {name: job["metadata"]["uid"] for name, job in namespace.all(JOBS).items()}
    operator.wait_for_passes(3)
    assert {name: job["metadata"]["uid"] for name, job in namespace.all(JOBS).items()} == uids
    assert unlike_what_is_wanted(namespace, users.wanted) == ""
    assert "Traceback" not in operator.log()
    assert not list(operator.directory.glob("crash-*"))


def test_the_snapshot_file_gives_the_same_plan_again(operator: Operator, namespace: Namespace) -> None:
    namespace.make("TrainingWorkload", "runs", TORCH)
    namespace.make("TrainingWorkload", "waits", {**TORCH, "suspend": True})
    operator.start()
    operator.wait_for(lambda: namespace.all(JOBS), "the Job")
    operator.wait_for_passes(3)
    operator.kill()
    command = [Path(sys.executable).with_name("trimtab"), "plan", "--snapshot", operator.snapshot_path, "--json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    again = plan(Snapshot.model_validate_json(operator.snapshot_path.read_text()))
    assert json.loads(printed) == json.loads(again.model_dump_json())
    decided = {d.key: d for d in again.training}
    for name in ("runs", "waits"):
        written = namespace.get(OWN["TrainingWorkload"], name)["status"]["decision"]
        decision = decided[f"{namespace.name}/{name}"]
        assert (written["action"], written["replicas"]) == (decision.action.value, decision.replicas)
        assert [reason["code"] for reason in written["reasons"]] == [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("TRIMTAB_LOOP_SECONDS", "soon", "not a number"),
        ("TRIMTAB_LOOP_SECONDS", "-1", "above zero"),
        ("TRIMTAB_LOOP_SECONDS", "nan", "above zero"),
        ("TRIMTAB_LOOP_SECONDS", "inf", "TRIMTAB_LOOP_SECONDS"),
        ("TRIMTAB_HEALTH_PORT", "70000", "65535"),
        ("TRIMTAB_METRICS_PORT", "http", "not a number"),
        ("TRIMTAB_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("TRIMTAB_LOG_FORMAT", "xml", "json or text"),
        ("TRIMTAB_PROMETHEUS_URL", "prometheus:9090", "http://"),
    ],
)
def test_wrong_settings_end_it_at_once_with_one_line(tmp_path: Path, variable: str, text: str, words: str) -> None:
    operator = Operator(tmp_path / "no-kubeconfig", tmp_path, {variable: text})
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.handlers"],
        env=operator.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert variable in line
    assert words in line


def test_without_a_way_to_the_cluster_it_says_so(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "no-kubeconfig", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.handlers"],
        env=operator.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "KUBECONFIG" in line


@pytest.mark.parametrize("obstacle", ["full disk", "a file where a directory should be"])
def test_a_snapshot_that_cannot_be_written_stops_nothing(
    plane: tuple[ControlPlane, KubeClient], namespace: Namespace, tmp_path: Path, obstacle: str
) -> None:
    if obstacle == "full disk":
        os.symlink("/dev/full", tmp_path / "snapshot.partial")  # Every write to it fails with "no space left".
        target = tmp_path / "snapshot.json"
    else:
        (tmp_path / "file").write_text("")
        target = tmp_path / "file" / "snapshot.json"
    namespace.make("TrainingWorkload", "digits", TORCH)
    with running(Operator(plane[0].kubeconfig, tmp_path, {"TRIMTAB_SNAPSHOT_PATH": str(target)})) as operator:
        operator.wait_for(lambda: namespace.all(JOBS), "the Job")
        operator.wait_for_passes(2)
        assert f"cannot write the Snapshot to {target}" in operator.log()
        assert not target.exists()


def test_without_prometheus_it_says_so_and_what_runs_goes_on(
    plane: tuple[ControlPlane, KubeClient], namespace: Namespace, tmp_path: Path
) -> None:
    # Port 9 of loopback: nothing listens there.
    settings = {"TRIMTAB_PROMETHEUS_URL": "http://127.0.0.1:9"}
    operator = Operator(plane[0].kubeconfig, tmp_path, settings)
    variant_for_serving(operator, namespace)
    with running(operator):
        spec = {
            "model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 200}},
            "resources": {"cpu": "400m"}, "minReplicas": 2, "maxReplicas": 4,
        }  # fmt: skip
        namespace.make("ServingWorkload", "digits", spec)
        namespace.make("TrainingWorkload", "runs", TORCH)
        operator.wait_for(lambda: namespace.get(JOBS, "runs") and namespace.all(DEPLOYMENTS), "the children")
        unreachable = ("False", "PrometheusUnreachable")
        for kind, name in (("TrainingWorkload", "runs"), ("ServingWorkload", "digits")):
            operator.wait_for(
                lambda kind=kind, name=name: namespace.condition(kind, name, "MetricsAvailable") == unreachable,
                f"the condition of {name}",
            )
        (deployment,) = namespace.all(DEPLOYMENTS).values()
        job = namespace.get(JOBS, "runs")
        operator.wait_for_passes(3)
        (later,) = namespace.all(DEPLOYMENTS).values()
        assert later["metadata"]["generation"] == deployment["metadata"]["generation"]
        assert later["spec"]["replicas"] == 2
        assert config_of(later)["model"] == "digits"
        kept = namespace.get(JOBS, "runs")
        assert (kept["metadata"]["uid"], kept["spec"]["suspend"]) == (job["metadata"]["uid"], False)


def test_its_metrics_tell_of_the_workloads_and_forget_them(operator: Operator, namespace: Namespace) -> None:
    namespace.make("TrainingWorkload", "digits", TORCH)
    operator.start()
    line = f'trimtab_workload_cost_usd_per_hour{{kind="TrainingWorkload",namespace="{namespace.name}"'
    operator.wait_for(lambda: line in operator.ask(operator.metrics_port, "/metrics"), "the series of the workload")
    namespace.kube.delete(namespace.path(OWN["TrainingWorkload"], "digits"))
    operator.wait_for(lambda: line not in operator.ask(operator.metrics_port, "/metrics"), "the end of the series")
