"""The exporter of simulated nodes against a real apiserver, as the process that it is in its pod."""

from __future__ import annotations

import json
import urllib.request

import pytest
from tests.workloads import processes

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sim-exporter-0", "labels": {"type": "kwok"}}}
PROFILE = {"model": "resnet50", "hardwareClass": "v100", "samplesPerSecond": 400, "watts": 250}
RUNNING = json.dumps({"status": {"phase": "Running"}})


def pod(name: str, node: str, total: int, model: str = "resnet50") -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "sim-exporter",
            "labels": {"trimtab.dev/workload": name, "trimtab.dev/hardware-class": "v100"},
            "annotations": {"trimtab.dev/model": model, "trimtab.dev/total-samples": str(total)},
        },
        "spec": {"nodeName": node, "containers": [{"name": "train", "image": "none"}]},
    }


@pytest.fixture
def cluster(control_plane):
    """A simulated node with a short, a long and an unknown training, and a pod on another node."""
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sim-exporter"}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "sim-exporter"},
        },
        NODE,
        pod("short", "sim-exporter-0", 50),
        pod("long", "sim-exporter-0", 10**9),
        pod("unknown", "sim-exporter-0", 10, model="mystery"),
        pod("elsewhere", "sim-exporter-real", 10),
    ]
    control_plane.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    for name in ("short", "long", "unknown", "elsewhere"):
        control_plane.kubectl("-n", "sim-exporter", "patch", "pod", name, "--subresource=status", "-p", RUNNING)
    yield control_plane
    control_plane.kubectl("delete", "node", "sim-exporter-0")
    control_plane.kubectl("-n", "sim-exporter", "delete", "pod", "--all", "--force", "--grace-period=0")


def test_pods_on_simulated_nodes_get_series_and_the_finished_are_marked(cluster, tmp_path):
    config = {"profiles": [PROFILE], "metricsPort": 0, "intervalSeconds": 0.1, "speedup": 100}
    kubeconfig = {"KUBECONFIG": str(cluster.kubeconfig)}
    with processes.entry("simulated", config, tmp_path, kubeconfig) as exporter:
        done = exporter.wait_for("simulated_done")
        port = exporter.events("started")[0]["metrics_port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = answer.read().decode()
        exporter.wait_for("pod_unusable")
        exporter.process.terminate()
        assert exporter.wait() == 0, exporter.text()
    assert [(line["namespace"], line["pod"]) for line in done] == [("sim-exporter", "short")]
    assert 'trimtab_training_samples_per_second{hardware_class="v100",namespace="sim-exporter",pod="long"' in metrics
    assert "unknown" not in metrics
    assert "elsewhere" not in metrics
    complaints = [line["pod"] for line in exporter.events("pod_unusable")]
    assert complaints == ["sim-exporter/unknown"]
    pods = json.loads(cluster.kubectl("-n", "sim-exporter", "get", "pods", "-o", "json"))["items"]
    marked = [p["metadata"]["name"] for p in pods if "trimtab.dev/simulated-done" in p["metadata"]["annotations"]]
    assert marked == ["short"]
