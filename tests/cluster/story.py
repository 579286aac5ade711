"""A scenario that was run to its end, and the words in which the tests look at what came of it."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rich.console import Console

from trimtab.demo.facts import Facts
from trimtab.demo.narrate import Narrator
from trimtab.demo.shell import Object, Shell
from trimtab.local.binaries import ensure
from trimtab.local.cluster import Cluster
from trimtab.local.images.catalog import REPOSITORY

SYSTEM = "trimtab-system"
NAMESPACE = "demo"
OPERATOR = "app.kubernetes.io/component=operator"


@dataclass(frozen=True)
class Story:
    """A scenario that was run to its end."""

    shell: Shell
    facts: Facts
    cluster: Cluster

    def events(self, kind: str, name: str) -> list[Object]:
        """The events about one object, the oldest first."""
        items = json.loads(self.shell.query("get", "events.v1.events.k8s.io", "-n", NAMESPACE, "-o", "json"))["items"]
        about = [e for e in items if (e["regarding"]["kind"], e["regarding"]["name"]) == (kind, name)]
        return sorted(about, key=lambda e: e.get("eventTime") or e["metadata"]["creationTimestamp"])

    def pods(self, workload: str, kind: str, index: int | None = None) -> list[Object]:
        """The pods of a workload that are not on their way out, the newest first."""
        selector = f"trimtab.dev/workload={workload},trimtab.dev/workload-kind={kind}"
        if index is not None:
            selector += f",batch.kubernetes.io/job-completion-index={index}"
        found = [p for p in self.shell.items("pods", selector) if "deletionTimestamp" not in p["metadata"]]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)

    def logged(self, pod: Object) -> list[dict[str, Any]]:
        """What a pod of a workload has logged: one object a line; nothing while it has not begun."""
        if pod["status"].get("phase") not in ("Running", "Succeeded", "Failed"):
            return []
        text = self.shell.query("logs", "-n", NAMESPACE, pod["metadata"]["name"])
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def operator_pod(self) -> Object:
        """The operator's pod; empty while there is none or more than one."""
        pods = [p for p in self.shell.items("pods", OPERATOR, SYSTEM) if "deletionTimestamp" not in p["metadata"]]
        return pods[0] if len(pods) == 1 else {}

    def prometheus(self, query: str) -> list[Object]:
        """Ask the chart's Prometheus, through the apiserver."""
        service = f"/api/v1/namespaces/{SYSTEM}/services/trimtab-prometheus:9090/proxy"
        answer = json.loads(self.shell.query("get", "--raw", f"{service}/api/v1/query?query={quote(query)}"))
        found: list[Object] = answer["data"]["result"]
        return found

    def columns(self, kind: str) -> list[dict[str, str]]:
        """What `kubectl get` prints: for each row, the cell below each heading."""
        heading, *lines = self.shell.query("get", kind, "-n", NAMESPACE).splitlines()
        names, starts, at = heading.split(), list[int](), 0
        for name in names:
            at = heading.index(name, at)
            starts.append(at)
            at += len(name)
        spans = list(zip(names, starts, [*starts[1:], None], strict=True))
        return [{name: line[start:end].strip() for name, start, end in spans} for line in lines if line]


def conditions(item: Object) -> dict[str, dict[str, Any]]:
    """The conditions of an object, by type."""
    return {c["type"]: c for c in item.get("status", {}).get("conditions", [])}


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready."""
    return conditions(pod).get("Ready", {}).get("status") == "True"


def restarts(pod: Object) -> int:
    """How often the containers of a pod were started anew."""
    return sum(container["restartCount"] for container in pod["status"].get("containerStatuses", []))


def make_shell(cluster: Cluster) -> Shell:
    """A user's shell against the cluster."""
    programs = ensure(["kubernetes", "helm"])
    narrator = Narrator(Console(width=160))
    return Shell(programs["kubectl"], programs["helm"], cluster.kubeconfig, REPOSITORY, narrator)
