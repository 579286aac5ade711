"""What all pods of the built-in runtimes have in common: where they run, what they hold, and that they may do
little.
"""

from trimtab.api.common import Resources
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.quantity import format_quantity
from trimtab.apply.children.names import Manifest

_USER_ID = 65532
POD_SECURITY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": _USER_ID,
    "runAsGroup": _USER_ID,
    "fsGroup": _USER_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Manifest = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def resources(wanted: Resources, hardware: HardwareClassSpec) -> Manifest:
    """Requests equal to limits, so that what is planned is what runs."""
    held = {"cpu": format_quantity(wanted.cpu), "memory": wanted.memory}
    if wanted.accelerators:
        held[hardware.resource_name] = str(wanted.accelerators)
    return {"requests": held, "limits": held}


def placement(hardware: HardwareClassSpec) -> Manifest:
    """Node selector and tolerations of a class."""
    return {
        "nodeSelector": dict(hardware.node_selector),
        "tolerations": [t.to_manifest() for t in hardware.tolerations],
    }


def runtime_pod(
    container: Manifest, hardware: HardwareClassSpec, volumes: list[Manifest], grace_seconds: int
) -> Manifest:
    """Spec of a pod with one container of a built-in runtime."""
    return {
        **placement(hardware),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds,
        "securityContext": POD_SECURITY,
        "containers": [{**container, "imagePullPolicy": "IfNotPresent", "securityContext": CONTAINER_SECURITY}],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}, *volumes],
    }


def claim_volume(claim: str, name: str = "models", *, read_only: bool = False) -> Manifest:
    """A volume from a claim."""
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}}
