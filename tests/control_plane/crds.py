"""What the tests of the CRDs share: the least manifest of each kind, and a namespace with kubectl in it."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trimtab.api.kinds import KINDS
from trimtab.api.schema import API_VERSION

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

LEAST: dict[str, dict[str, Any]] = {
    "TrainingWorkload": {"torch": {}, "checkpoint": {"claimName": "state"}},
    "ServingWorkload": {"model": "digits", "variants": ["small"], "targets": {"latency": {"milliseconds": 50}}},
    "ModelVariant": {"source": {"trainingWorkload": "digits"}},
    "EfficiencyPolicy": {},
    "ClusterEfficiencyPolicy": {},
    "HardwareClass": {
        "nodeSelector": {"a": "b"},
        "price": {"usdPerHour": "0.5"},
        "power": {"idleWatts": 10, "peakWatts": "200"},
        "gridZone": "DE",
    },
    "CarbonSource": {"zone": "DE", "static": {"gramsPerKWh": 300}},
}
"""The least spec of each kind that is accepted."""

NAMESPACED = {kind.kind: kind.namespaced for kind in KINDS}


def manifest(kind: str, spec: dict[str, Any] | None = None, name: str = "") -> dict[str, Any]:
    """An object of the kind; by default with the least spec, and named after its kind."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name or kind.lower()},
        # A copy: who fills it in must not change it for all tests that come.
        "spec": deepcopy(LEAST[kind] if spec is None else spec),
    }


@dataclass(frozen=True)
class Resources:
    """Objects of one test, in a namespace of its own; cluster-wide ones are deleted when it ends."""

    api: "Api"
    namespace: str

    @classmethod
    @contextmanager
    def of(cls, api: "Api", test: str) -> Iterator["Resources"]:
        """A fresh namespace for the test."""
        resources = cls(api, f"crds-{hashlib.sha256(test.encode()).hexdigest()[:12]}")
        api.kubectl("create", "namespace", resources.namespace)
        try:
            yield resources
        finally:
            cluster_wide = ",".join(f"{kind.plural}.trimtab.dev" for kind in KINDS if not kind.namespaced)
            api.kubectl("delete", cluster_wide, "--all")
            api.kubectl("delete", "namespace", resources.namespace, "--wait=false")

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace; it must succeed."""
        return self.api.kubectl("-n", self.namespace, *arguments)

    def try_kubectl(self, *arguments: str, input: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run kubectl in the namespace where it may fail."""
        return self.api.try_kubectl("-n", self.namespace, *arguments, input=input)

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """`kubectl apply`, and the object as it is stored."""
        return self._stored("apply", "-ojson", "-f-", body=body)

    def apply_status(self, kind: str, status: dict[str, Any], manager: str = "trimtab-status") -> dict[str, Any]:
        """Server-side apply of the status of the kind's one object."""
        body = {key: value for key, value in manifest(kind).items() if key != "spec"} | {"status": status}
        flags = ("--server-side", "--subresource=status", f"--field-manager={manager}")
        return self._stored("apply", *flags, "-ojson", "-f-", body=body)

    def _stored(self, *arguments: str, body: dict[str, Any]) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self.api.kubectl("-n", self.namespace, *arguments, input=json.dumps(body)))
        return stored
