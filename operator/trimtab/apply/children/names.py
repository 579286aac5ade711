"""Names and labels of children: the same for the same workload, so that nothing is ever made twice."""

import hashlib
import json
from typing import Any, Final

from trimtab.api import labels
from trimtab.api.schema import API_VERSION
from trimtab.plan.snapshot import ObjectMeta

Manifest = dict[str, Any]

INVALID_TEMPLATE: Final = "InvalidTemplate"
"""Reason of a failure: the user's own pod template is none."""

_LONGEST_NAME = 52
"""A Job's pods add an index and a random suffix, and a pod's host name may have 63 characters."""


def short_name(name: str, suffix: str = "") -> str:
    """`name` with its suffix. Where that is too long, or no name for a Service (which begins with a letter), it is
    changed as little as possible and told apart by a hash.
    """
    full = f"{name}-{suffix}" if suffix else name
    plain = full if full[0].isalpha() else f"w{full}"
    if plain == full and len(full) <= _LONGEST_NAME:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{plain[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"


def spec_hash(content: object) -> str:
    """Twelve hex digits that name a desired state."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def selector_labels(meta: ObjectMeta, kind: str) -> dict[str, str]:
    """Labels that tell a workload's pods from all others."""
    return {labels.WORKLOAD: meta.name, labels.WORKLOAD_KIND: kind}


def child_labels(meta: ObjectMeta, kind: str, hardware_class: str) -> dict[str, str]:
    """Labels of every child and its pods."""
    return {
        "app.kubernetes.io/name": "trimtab-workload",
        "app.kubernetes.io/instance": meta.name,
        "app.kubernetes.io/managed-by": "trimtab",
        **selector_labels(meta, kind),
        labels.HARDWARE_CLASS: hardware_class,
    }


def owner(meta: ObjectMeta, kind: str) -> list[Manifest]:
    """Owner reference: deleting the workload removes its children by garbage collection."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": meta.name,
            "uid": meta.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def object_meta(meta: ObjectMeta, kind: str, name: str, hardware_class: str, template_hash: str = "") -> Manifest:
    """Metadata of a child."""
    marked = {labels.SPEC_HASH: template_hash} if template_hash else {}
    return {
        "name": name,
        "namespace": meta.namespace,
        "labels": {**child_labels(meta, kind, hardware_class), **marked},
        "ownerReferences": owner(meta, kind),
    }
