"""The embedded cluster itself: what it can do, and that nothing of it stays behind."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.local import cgroups
from trimtab.local.cluster import Cluster
from trimtab.local.network import link_name
from trimtab.local.process import wait_until

IMAGE = "trimtab/operator:0.1.0"
SIMULATED = """
apiVersion: v1
kind: Node
metadata: {name: simulated-0, labels: {type: kwok}}
spec: {taints: [{key: example.com/simulated, effect: NoSchedule}]}
status:
  allocatable: {cpu: "32", memory: 64Gi, pods: "110", nvidia.com/gpu: "4"}
  capacity: {cpu: "32", memory: 64Gi, pods: "110", nvidia.com/gpu: "4"}
"""
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: gang}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  template:
    metadata: {labels: {app: gang}}
    spec:
      restartPolicy: Never
      nodeSelector: {type: kwok}
      tolerations: [{operator: Exists}]
      containers: [{name: c, image: none, resources: {limits: {nvidia.com/gpu: "2"}}}]
"""
SERVER = f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: shared}}
spec: {{accessModes: [ReadWriteMany], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: server, labels: {{app: server}}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532}}
  containers:
    - name: server
      image: {IMAGE}
      command: [python3, -m, http.server, "8000", --directory, /shared]
      readinessProbe: {{httpGet: {{port: 8000}}, periodSeconds: 1}}
      resources: {{requests: {{cpu: 100m, memory: 128Mi}}, limits: {{cpu: 200m, memory: 256Mi}}}}
      volumeMounts: [{{name: shared, mountPath: /shared}}]
  volumes: [{{name: shared, persistentVolumeClaim: {{claimName: shared}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: server}}
spec: {{selector: {{app: server}}, ports: [{{port: 80, targetPort: 8000}}]}}
"""


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    cluster.kubectl("create", "namespace", "local-test")
    yield "local-test"
    cluster.kubectl("delete", "namespace", "local-test", "--timeout=60s")


@pytest.fixture(scope="module")
def server(cluster: Cluster, namespace: str) -> str:
    cluster.kubectl("-n", namespace, "apply", "-f", "-", text_input=SERVER)
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")
    return "server"


def test_a_container_runs_unprivileged_and_writes_to_a_claimed_volume(
    cluster: Cluster, namespace: str, server: str
) -> None:
    said = cluster.kubectl("-n", namespace, "exec", server, "--", "sh", "-c", "id -u && echo kept > /shared/file")
    assert said.split() == ["65532"]
    assert "kept" in [path.read_text().strip() for path in cluster.paths.run.glob("volumes/*/file")]


def test_a_service_is_found_by_name_from_a_pod_and_by_address_from_the_host(
    cluster: Cluster, namespace: str, server: str
) -> None:
    code = "import urllib.request as u; print(u.urlopen('http://server.local-test.svc', timeout=5).status)"
    assert cluster.kubectl("-n", namespace, "exec", server, "--", "python3", "-c", code).split() == ["200"]
    address = cluster.kubectl("-n", namespace, "get", "service", "server", "-o=jsonpath={.spec.clusterIP}")
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as response:
        assert response.status == 200
    assert '"GET / HTTP/1.1" 200' in cluster.kubectl("-n", namespace, "logs", server)


def test_port_forward_reaches_a_pod(cluster: Cluster, namespace: str, server: str) -> None:
    command = [cluster.kubectl_path, "--kubeconfig", cluster.kubeconfig, "-n", namespace]
    forward = subprocess.Popen([*command, "port-forward", f"pod/{server}", ":8000"], stdout=subprocess.PIPE, text=True)
    try:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split()[0])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 OK" in connection.recv(100)
    finally:
        forward.kill()
        forward.communicate()


def test_limits_change_in_place(cluster: Cluster, namespace: str, server: str) -> None:
    patch = json.dumps({"spec": {"containers": [{"name": "server", "resources": {"limits": {"cpu": "400m"}}}]}})
    cluster.kubectl("-n", namespace, "patch", "pod", server, "--subresource=resize", "--patch", patch)
    status = (
        "-o=jsonpath={.status.containerStatuses[0].resources.limits.cpu} {.status.containerStatuses[0].restartCount}"
    )
    wait_until(
        lambda: cluster.kubectl("-n", namespace, "get", "pod", server, status) == "400m 0",
        timeout_seconds=30,
        failure=lambda: (
            "the resize did not reach the container: "
            + cluster.kubectl("-n", namespace, "get", "pod", server, "-o=jsonpath={.status}")
        ),
    )


def test_the_kubelet_serves_metrics_to_those_who_may(cluster: Cluster, namespace: str, server: str) -> None:
    for path, metric in (("resource", "container_cpu_usage_seconds_total"), ("cadvisor", "container_cpu_cfs_")):
        wait_until(
            lambda path=path, metric=metric: any(  # type: ignore[misc]
                line.startswith(metric) and 'pod="server"' in line
                for line in cluster.kubectl(
                    "get", "--raw", f"/api/v1/nodes/{cluster.name}/proxy/metrics/{path}"
                ).splitlines()
            ),
            timeout_seconds=60,
            interval_seconds=1,
            failure=lambda path=path: f"/metrics/{path} says nothing about the pod",  # type: ignore[misc]
        )


def test_simulated_pods_run_until_their_work_is_said_to_be_done(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-f", "-", text_input=SIMULATED)
    try:
        cluster.kubectl("-n", namespace, "apply", "-f", "-", text_input=JOB)
        pods = ["-n", namespace, "-l", "app=gang"]
        cluster.kubectl("wait", *pods, "--for=condition=Ready", "pod", "--timeout=60s")
        assert cluster.kubectl("get", "pods", *pods, "-o=jsonpath={.items[*].spec.nodeName}").split() == [
            "simulated-0",
            "simulated-0",
        ]
        cluster.kubectl("annotate", "pods", *pods, "trimtab.dev/simulated-done=true")
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Complete", "job/gang", "--timeout=60s")
    finally:
        cluster.kubectl("delete", "node", "simulated-0")


def test_requests_of_service_accounts_are_logged_without_their_contents(
    cluster: Cluster, namespace: str, server: str
) -> None:
    token = cluster.kubectl("-n", namespace, "create", "token", "default").strip()
    # The administrator's certificate would win over the token: the second kubeconfig has none.
    bare = json.loads(cluster.kubectl("config", "view", "--raw", "-o=json"))
    bare["users"][0]["user"] = {"token": token}
    path = cluster.paths.run / "bare.json"
    path.write_text(json.dumps(bare))
    refused = subprocess.run(
        [cluster.kubectl_path, "--kubeconfig", path, "get", "secrets", "-n", "kube-system"], capture_output=True
    )
    assert refused.returncode != 0
    user = f"system:serviceaccount:{namespace}:default"

    def logged() -> bool:
        events = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
        assert all("requestObject" not in event for event in events)
        return any(
            event["user"]["username"] == user and event["objectRef"]["resource"] == "secrets"
            for event in events
            if "objectRef" in event
        )

    wait_until(logged, timeout_seconds=10, failure=lambda: f"no request of {user} in {cluster.audit_log}")


def leftovers(name: str) -> list[str]:
    """Everything of a cluster that is still on the machine."""
    groups = [root / cgroups.group_name(name) for root in cgroups.hierarchies()]
    found = [str(group) for group in groups if group.exists()]
    found += [str(link) for link in [Path("/sys/class/net", link_name(name))] if link.exists()]
    marker = f"/clusters/{name}/run"
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if marker in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if marker in command:
            found.append(f"{process.name}: {command[:120]}")
    return found


@pytest.mark.parametrize("killed", ["nothing", "supervisor", "containerd", "everything at once"])
def test_down_leaves_nothing_behind_whatever_was_killed(killed: str) -> None:
    one = Cluster("leaves")
    before = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    try:
        one.up()
        one.kubectl("run", "waits", "--image=trimtab/pause:1", "--image-pull-policy=Never")
        one.kubectl("wait", "--for=condition=Ready", "pod/waits", "--timeout=60s")
        assert leftovers("leaves")
        members = cgroups.members("leaves")
        commands = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in members}
        record = one.record
        assert record is not None
        victims = {
            "nothing": set(),
            "supervisor": {record.supervisor_pid},
            "containerd": {pid for pid, command in commands.items() if command == "containerd"},
            "everything at once": members,
        }[killed]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # It went with the supervisor, a moment ago.
                continue
    finally:
        one.down()
    assert leftovers("leaves") == []
    assert subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout == before
    assert one.record is None
    one.down()


def name_of(pid: int) -> str:
    """Name of a process; empty when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_component_that_ends_is_started_again(cluster: Cluster) -> None:
    def scheduler() -> set[int]:
        return {pid for pid in cgroups.members(cluster.name) if name_of(pid) == "kube-scheduler"}

    before = scheduler()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: bool(scheduler() - before), timeout_seconds=60, failure=lambda: "the scheduler did not come back"
    )
