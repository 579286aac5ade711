"""An apiserver with the chart's webhooks and rights, whose operator is a process on loopback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.control_plane.conftest import Api
from tests.control_plane.operator_process import ROOT, TORCH, Heart, Operator, free_port, hardware_class

from trimtab.kube.client import KubeClient
from trimtab.kube.paths import NAMESPACES, OWN, object_path
from trimtab.local.control_plane import ControlPlane

SYSTEM = "trimtab-system"
NAME = "trimtab-operator"
SECRET = f"{NAME}-webhook"
_RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Secret")
_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def installed() -> list[dict[str, Any]]:
    """What `kubectl apply -f manifests/install` makes."""
    return [one for one in yaml.safe_load_all((ROOT / "manifests/install/trimtab.yaml").read_text()) if one]


def webhooks_at(port: int) -> list[dict[str, Any]]:
    """The installed webhook configurations, for an operator on loopback: no Service reaches a process of a test."""
    found = [one for one in installed() if one["kind"] in _WEBHOOKS]
    for one in found:
        for webhook in one["webhooks"]:
            path = webhook["clientConfig"].pop("service")["path"]
            webhook["clientConfig"]["url"] = f"https://127.0.0.1:{port}{path}"
    return found


@dataclass(frozen=True)
class World:
    """The apiserver, and how to be its user."""

    api: Api
    kube: KubeClient
    port: int
    kubeconfig: Path
    """Of the operator's service account, with the rights of the chart and no others."""

    def apply(self, manifest: dict[str, Any], *options: str) -> "subprocess.CompletedProcess[str]":
        """`kubectl apply` as a user has it."""
        return self.api.try_kubectl("apply", *options, "-f", "-", input=yaml.safe_dump(manifest))

    def operator(self, directory: Path, **settings: str) -> Operator:
        """The operator with its webhooks, not started yet."""
        given = {
            "TRIMTAB_ADMISSION": "self-signed",
            "TRIMTAB_WEBHOOK_NAMES": "127.0.0.1",
            "TRIMTAB_WEBHOOK_PORT": str(self.port),
            "TRIMTAB_WEBHOOK_DIRECTORY": str(directory / "webhook"),
            **settings,
        }
        return Operator(self.kubeconfig, directory, given)

    def is_answered(self) -> bool:
        """Whether requests are reviewed: an object that can never be is refused."""
        impossible = workload("TrainingWorkload", "impossible", {**TORCH, "resources": {"cpu": "100"}})
        return self.apply(impossible, "--dry-run=server").returncode != 0

    def namespace(self, name: str, **labels: str) -> str:
        """A new namespace."""
        metadata = {"name": name, "labels": labels}
        self.kube.apply(object_path(NAMESPACES, name), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        return name


def workload(kind: str, name: str, spec: dict[str, Any], namespace: str = "default", **labels: str) -> dict[str, Any]:
    """A manifest of one of trimtab's kinds; without a namespace for the cluster's."""
    metadata: dict[str, Any] = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": OWN[kind].api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _as_operator(api: Api, directory: Path) -> Path:
    """A kubeconfig of the operator's service account."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    token = api.kubectl("create", "token", NAME, "-n", SYSTEM, "--duration=2h").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = directory / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def world(name: str, directory: Path) -> Iterator[World]:
    """Start it, with CRDs, one node of 64 CPU and its class."""
    with ControlPlane(name, controllers=True) as plane:
        api = Api(plane.kubeconfig, plane.kubectl)
        kube = KubeClient.from_kubeconfig(str(plane.kubeconfig))
        api.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        api.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        kube.apply(
            object_path(NAMESPACES, SYSTEM), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
        )
        port = free_port()
        wanted = [one for one in installed() if one["kind"] in _RIGHTS] + webhooks_at(port)
        api.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(wanted))
        with Heart(kube):
            kube.apply(object_path(OWN["HardwareClass"], "plain"), hardware_class())
            yield World(api, kube, port, _as_operator(api, directory))
        kube.close()
