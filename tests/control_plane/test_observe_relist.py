"""The cache and the Snapshot against a real API server: lists, watch events, and deletions that nobody saw."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from kubernetes import watch as kubernetes_watch

from trimtab.kube.client import KubeClient
from trimtab.kube.errors import KubeError
from trimtab.kube.paths import CONFIG_MAPS, NODES, OWN, PODS, collection, object_path
from trimtab.local.process import wait_until
from trimtab.observe.cache import ClusterCache
from trimtab.observe.facts import NodeFact
from trimtab.observe.observer import Observer
from trimtab.observe.prometheus import Prometheus
from trimtab.observe.settings import ObserveSettings
from trimtab.observe.triton import TritonVersions
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import MetricsHealth, Snapshot

CRDS = Path(__file__).parents[2] / "crds"
TRACE = "Datetime (UTC),Carbon Intensity gCO₂eq/kWh (LCA)\n2022-01-01 00:00:00,100\n2022-01-01 01:00:00,200\n"


@pytest.fixture(scope="module")
def kube(control_plane: Any) -> Iterator[KubeClient]:
    control_plane.kubectl("apply", "--server-side", "-f", CRDS)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", CRDS)
    client = KubeClient.from_kubeconfig(str(control_plane.kubeconfig))
    # A CRD is established a moment before its paths answer.
    wait_until(lambda: answers(client), timeout_seconds=30, failure=lambda: "the custom resources are not served")
    yield client
    client.close()


def answers(client: KubeClient) -> bool:
    try:
        return all(client.list(collection(resource)) for resource in OWN.values())
    except KubeError:
        return False


@pytest.fixture
def observer(kube: KubeClient) -> Iterator[Observer]:
    made = Observer(ClusterCache(), kube, None, TritonVersions(timeout_seconds=0.5), ObserveSettings())
    yield made
    made.close()


@pytest.fixture(scope="module")
def namespace(control_plane: Any, kube: KubeClient) -> str:
    control_plane.kubectl("create", "namespace", "observed")
    return "observed"


def custom(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "trimtab.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def make(kube: KubeClient, kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    return kube.apply(object_path(OWN[kind], name, namespace), custom(kind, name, spec, namespace))


def make_node(kube: KubeClient, name: str, **labels: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    kube.apply(object_path(NODES, name), node)
    status = {
        "allocatable": {"cpu": "4", "memory": "8Gi"}, "capacity": {"cpu": "4", "memory": "8Gi"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Up", "message": "up"}],
    }  # fmt: skip
    kube.apply_status(object_path(NODES, name), {**node, "status": status})


def make_pod(kube: KubeClient, namespace: str, name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    requests = {"resources": {"requests": {"cpu": "500m"}}}
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "none", **requests}], **spec},
    }  # fmt: skip
    return kube.create(collection(PODS, namespace), pod)


def only(states: Any, key: str) -> Any:
    """The one state of this key: other tests on the same apiserver use the same names in namespaces of their own."""
    (found,) = [state for state in states if state.meta.key == key]
    return found


def look(observer: Observer) -> Snapshot:
    now = datetime.now(UTC)
    observer.relist(now)
    return observer.snapshot(now)


def test_a_snapshot_of_a_small_cluster(
    control_plane: Any, kube: KubeClient, observer: Observer, namespace: str
) -> None:
    for name in ("obs-node-1", "obs-node-2", "obs-node-tainted"):
        make_node(kube, name, sort="observed")
    # The API server taints every new node as not ready; here no controller takes that away.
    control_plane.kubectl("taint", "nodes", "obs-node-1", "obs-node-2", "node.kubernetes.io/not-ready-")
    power = {"idleWatts": 10, "peakWatts": "60.5"}
    hardware = {"nodeSelector": {"sort": "observed"}, "price": {"usdPerHour": "0.2"}, "power": power, "gridZone": "ES"}
    make(kube, "HardwareClass", "observed", hardware)
    make(kube, "CarbonSource", "observed-es", {"zone": "ES", "static": {"gramsPerKWh": 180}})
    make(kube, "EfficiencyPolicy", "rules", {"mode": "Recommend"}, namespace)
    training = {"torch": {"epochs": 3}, "checkpoint": {"claimName": "models"}, "maxReplicas": 2}
    workload = make(kube, "TrainingWorkload", "digits", training, namespace)
    serving = {"model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 50}}}
    make(kube, "ServingWorkload", "digits", serving, namespace)
    labels = {"trimtab.dev/workload": "digits", "trimtab.dev/workload-kind": "TrainingWorkload"}
    make_pod(kube, namespace, "digits-0", {**labels, "trimtab.dev/hardware-class": "observed"}, nodeName="obs-node-1")
    make_pod(kube, namespace, "stranger", {}, nodeName="obs-node-1")
    make_pod(kube, namespace, "stranger-waiting", {})

    assert not observer.cache.synced()
    snapshot = look(observer)
    assert observer.cache.synced()
    assert snapshot.metrics_health == MetricsHealth.NOT_CONFIGURED
    found = only(snapshot.hardware, "observed")
    assert (found.nodes, found.capacity_units, found.units_per_node, found.foreign_units) == (2, 8.0, 4.0, 0.5)
    assert found.spec.power.peak_watts == 60.5
    source = only(snapshot.carbon, "observed-es")
    assert (source.points[0].grams_per_kwh, source.problem) == (180, "")
    state = only(snapshot.training, f"{namespace}/digits")
    assert state.meta.uid == workload["metadata"]["uid"]
    assert state.spec.torch.epochs == 3
    assert [(pod.name, pod.hardware_class, pod.node) for pod in state.pods] == [("digits-0", "observed", "obs-node-1")]
    assert only(snapshot.serving, f"{namespace}/digits").pods == ()
    assert only(snapshot.policies, f"{namespace}/rules").spec.mode == "Recommend"
    # Written to a file and read again, it must lead to the very same decisions.
    assert plan(Snapshot.model_validate_json(snapshot.model_dump_json())) == plan(snapshot)
    assert observer.readings(snapshot) == []


def test_a_carbon_trace_from_its_config_map(kube: KubeClient, observer: Observer, namespace: str) -> None:
    reference = {"namespace": namespace, "name": "trace", "key": "es.csv"}
    spec = {"zone": "T", "configMap": reference, "replay": {"start": "2022-01-01T00:00:00Z", "speedup": 1}}
    make(kube, "CarbonSource", "traced", spec)
    now = datetime.now(UTC)
    observer.relist(now)
    assert "ConfigMap observed/trace does not exist" in only(observer.snapshot(now).carbon, "traced").problem

    path = object_path(CONFIG_MAPS, "trace", namespace)
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "trace", "namespace": namespace},
    }
    kube.apply(path, {**body, "data": {"other.csv": TRACE}})
    fresh = Observer(observer.cache, kube, None, TritonVersions(), ObserveSettings(carbon_refresh_seconds=0))
    assert "its keys are 'other.csv'" in only(fresh.snapshot(now).carbon, "traced").problem
    kube.apply(path, {**body, "data": {"es.csv": TRACE}})
    good = only(fresh.snapshot(now).carbon, "traced")
    assert (good.problem, good.points[0].grams_per_kwh) == ("", 100)
    kube.apply(path, {**body, "data": {"es.csv": TRACE.replace("200", "lots")}})
    kept = only(fresh.snapshot(now).carbon, "traced")
    assert "line 3: 'lots' is not an intensity" in kept.problem
    assert "last good trace stays in force" in kept.problem
    assert kept.points == good.points
    # Within the refresh time nothing is read again: the first observer still says what it saw.
    assert "does not exist" in only(observer.snapshot(now).carbon, "traced").problem
    fresh.close()


def test_a_deletion_that_nobody_saw_is_found_by_the_next_list(
    kube: KubeClient, observer: Observer, namespace: str
) -> None:
    make(kube, "CarbonSource", "short-lived", {"zone": "X", "static": {"gramsPerKWh": 1}})
    assert only(look(observer).carbon, "short-lived")
    assert kube.delete(object_path(OWN["CarbonSource"], "short-lived"))
    assert not [state for state in look(observer).carbon if state.meta.name == "short-lived"]


def test_an_object_from_another_version_of_the_models_is_set_apart(
    kube: KubeClient, observer: Observer, namespace: str
) -> None:
    # What the API server once accepted need not fit the models of this operator.
    listed = kube.list(collection(OWN["CarbonSource"]))
    odd = custom("CarbonSource", "odd", {"zone": "X", "static": {"tonnesPerKWh": 1}})
    odd["metadata"] |= {
        "uid": "odd",
        "resourceVersion": listed.resource_version,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    look(observer)
    newer = str(int(listed.resource_version) + 1_000_000)
    observer.cache.put(OWN["CarbonSource"], {**odd, "metadata": {**odd["metadata"], "resourceVersion": newer}})
    snapshot = observer.snapshot(datetime.now(UTC))
    assert not [state for state in snapshot.carbon if state.meta.name == "odd"]
    (rejected,) = observer.cache.rejected()
    assert (rejected.key, "spec.static.gramsPerKWh" in rejected.message) == ("odd", True)


def test_prometheus_out_of_reach_is_said_and_nothing_is_made_up(
    kube: KubeClient, namespace: str, observer: Observer
) -> None:
    gone = Observer(
        observer.cache, kube, Prometheus("http://127.0.0.1:9", timeout_seconds=1), TritonVersions(), ObserveSettings()
    )
    snapshot = look(gone)
    assert snapshot.metrics_health == MetricsHealth.UNREACHABLE
    assert "http://127.0.0.1:9" in snapshot.metrics_message
    assert all(state.metrics is None for state in (*snapshot.training, *snapshot.serving))
    assert gone.serving_metrics(snapshot, datetime.now(UTC)) == {}
    assert gone.readings(snapshot) == []
    gone.close()


def test_a_watch_and_lists_at_the_same_time_end_where_the_server_is(control_plane: Any, kube: KubeClient) -> None:
    """Nodes come, change and go while a real watch feeds the cache and lists are taken in between."""
    cache = ClusterCache()
    configuration = kubernetes_client.Configuration()
    kubernetes_config.load_kube_config(str(control_plane.kubeconfig), client_configuration=configuration)
    api = kubernetes_client.CoreV1Api(kubernetes_client.ApiClient(configuration))
    stream = kubernetes_watch.Watch()

    def follow() -> None:
        for event in stream.stream(api.list_node, label_selector="churn=yes", timeout_seconds=120):
            raw = event["raw_object"]
            if event["type"] == "DELETED":
                cache.remove(NODES, raw["metadata"]["uid"], raw)
            else:
                cache.put(NODES, raw)
            if raw["metadata"]["name"] == "churn-end":
                return

    follower = threading.Thread(target=follow)
    follower.start()
    late = []
    for round_ in range(40):
        name = f"churn-{round_ % 5}"
        if round_ % 7 == 3:
            kube.delete(object_path(NODES, name))
        else:
            make_node(kube, name, churn="yes", round=str(round_))
        if round_ % 4 == 0:
            late.append(kube.list(collection(NODES), label_selector="churn=yes"))
        if round_ % 6 == 5 and late:
            stale = late.pop(0)
            cache.replace(NODES, stale.items, stale.resource_version)
    make_node(kube, "churn-end", churn="yes", round="end")
    follower.join(timeout=60)
    assert not follower.is_alive()
    stream.stop()
    for stale in late:
        cache.replace(NODES, stale.items, stale.resource_version)

    def held() -> dict[str, str]:
        facts = [fact for fact in cache.all(NODES) if isinstance(fact, NodeFact)]
        return {fact.name: fact.labels["round"] for fact in facts}

    truth = {
        raw["metadata"]["name"]: raw["metadata"]["labels"]["round"]
        for raw in kube.list(collection(NODES), label_selector="churn=yes").items
    }
    assert held() == truth, json.dumps([held(), truth])
