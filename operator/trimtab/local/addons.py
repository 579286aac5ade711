"""What a new cluster gets to begin with: a default storage class with volumes, and the rights of its own helpers."""

from pathlib import Path

import yaml

from trimtab.local.cluster_spec import VOLUMES
from trimtab.local.paths import PACKAGE

_MANIFESTS = ("storage.yaml", "dns.yaml", "kubelet-access.yaml")


def manifests(run: Path) -> str:
    """Return everything to apply, as one YAML stream.

    Args:
        run: The cluster's directory, below which the volumes are.
    """
    fixed = [(PACKAGE / "manifests" / name).read_text() for name in _MANIFESTS]
    volumes = [yaml.safe_dump(_volume(name, run / "volumes" / name)) for name in VOLUMES]
    return "\n---\n".join([*fixed, *volumes])


def _volume(name: str, path: Path) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "standard",
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(path), "type": "Directory"},
        },
    }
