"""What the tests that break things have in common: workloads of their own, and ways to kill."""

import json
import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.story import NAMESPACE, Story
from trimtab.demo.shell import Object
from trimtab.local import cgroups
from trimtab.local.images.catalog import REPOSITORY

SAMPLES = 1437
"""Training samples of the digits."""


def unique(name: str) -> str:
    """A name that no earlier training had: checkpoints stay in the claim, under the workload's name."""
    return f"{name}-{uuid.uuid4().hex[:6]}"


def manifest(kind: str, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> Object:
    """An object of ours, without labels: no policy of the scenario selects it."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "trimtab.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def training(name: str, epochs: int, **spec: Any) -> Object:
    """A training on two pods that takes some 20 s, with a checkpoint every other second."""
    defaults = {
        "torch": {"epochs": epochs},
        "minReplicas": 2,
        "maxReplicas": 2,
        "resources": {"cpu": "400m", "memory": "1Gi"},
        "hardware": {"classes": ["local-cpu"]},
        "checkpoint": {"claimName": "models", "interval": "2s"},
    }
    return manifest("TrainingWorkload", name, {**defaults, **spec})


def serving(name: str, variants: list[str], **spec: Any) -> Object:
    """A small server of the scenario's variants."""
    defaults = {
        "model": "digits",
        "variants": variants,
        "targets": {"latency": {"percentile": "p95", "milliseconds": 1000}},
        "resources": {"cpu": "150m", "memory": "512Mi"},
        "maxReplicas": 1,
        "hardware": {"classes": ["local-cpu"]},
    }
    return manifest("ServingWorkload", name, {**defaults, **spec})


def load(name: str, service: str, requests_per_second: float) -> list[Object]:
    """The demo's load generator under another name, on a server of one's own."""
    config_map, job = yaml.safe_load_all((REPOSITORY / "manifests/demo/40-load.yaml").read_text())
    config_map["metadata"]["name"] = job["metadata"]["name"] = name
    config_map["data"]["stages.json"] = json.dumps({"requestsPerSecond": requests_per_second})
    pod = job["spec"]["template"]["spec"]
    variable = pod["containers"][0]["env"][0]
    variable["value"] = json.dumps({**json.loads(variable["value"]), "url": f"{service}:8001"})
    next(v for v in pod["volumes"] if v["name"] == "stages")["configMap"]["name"] = name
    return [config_map, job]


@contextmanager
def applied(story: Story, *objects: Object) -> Iterator[None]:
    """Objects that are there for a while; afterwards they, and the pods of workloads among them, are gone."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    try:
        story.shell.apply(text)
        yield
    finally:
        for one in reversed(objects):
            where = one["metadata"].get("namespace", NAMESPACE)
            named = [f"{one['kind'].lower()}.trimtab.dev", one["metadata"]["name"], "-n", where]
            story.shell.query("delete", *named, "--ignore-not-found")
        for one in objects:
            workload = f"trimtab.dev/workload={one['metadata']['name']},trimtab.dev/workload-kind={one['kind']}"
            story.shell.until(f"no pods of {workload}", lambda w=workload: not story.shell.items("pods", w), 120)  # type: ignore[misc]


def status_of(story: Story, kind: str, name: str) -> dict[str, Any]:
    """Status of an object; empty while there is none."""
    found: dict[str, Any] = story.shell.get(kind, name).get("status", {})
    return found


def finished(story: Story, name: str, timeout_seconds: float = 240) -> dict[str, Any]:
    """Wait for the end of a training, with its result in status."""

    def ended() -> dict[str, Any] | None:
        status = status_of(story, "tw", name)
        return status if status.get("completionTime") and status.get("accuracy") else None

    return story.shell.until(f"the end of {name}", ended, timeout_seconds, lambda: progress_of(story, name))


def progress_of(story: Story, name: str) -> str:
    """How far a training is, in a line."""
    status = status_of(story, "tw", name)
    return f"{name}: {status.get('state', '-')}, {status.get('progress', {}).get('percent', 0)} %"


def with_checkpoint(story: Story, name: str, known: set[str] = frozenset()) -> Object:  # type: ignore[assignment]
    """Wait until a pod of rank 0 that is none of the `known` (uids) trains and has written a checkpoint."""

    def wrote() -> Object | None:
        for pod in story.pods(name, "TrainingWorkload", index=0)[:1]:
            events = [line["event"] for line in story.logged(pod)]
            if pod["metadata"]["uid"] not in known and {"first_step", "checkpoint"} <= set(events):
                return pod
        return None

    return story.shell.until(f"a checkpoint of {name}", wrote, 180, lambda: progress_of(story, name))


def force_delete(story: Story, pod: Object) -> None:
    """Take a pod away without asking it."""
    where = pod["metadata"]
    now = ["--grace-period=0", "--force", "--ignore-not-found"]
    story.shell.query("delete", "pod", where["name"], "-n", where["namespace"], *now)


def evict(story: Story, name: str) -> None:
    """Ask for a pod to go, as a node drain does: within its workload's disruption budget, and with its grace period."""
    body = {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE},
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(body))
        file.flush()
        story.shell.query("create", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", "-f", file.name)


def kill_process(story: Story, pod: Object, part: str) -> None:
    """SIGKILL the one process of a pod whose command line has this part: as if the kernel ran out of memory."""
    found = []
    for pid in cgroups.members(story.cluster.name):
        process = Path("/proc") / str(pid)
        try:
            # A control group's path names its pod.
            inside = pod["metadata"]["uid"] in (process / "cgroup").read_text()
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # It ended meanwhile.
        if inside and part in command:
            found.append(pid)
    assert len(found) == 1, f"{len(found)} processes {part!r} in pod {pod['metadata']['name']}"
    os.kill(found[0], signal.SIGKILL)
