"""Kubernetes Events on the workloads, for `kubectl describe`."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from trimtab.api.schema import API_VERSION
from trimtab.apply.children.names import Manifest
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Conflict, NotFound
from trimtab.kube.paths import EVENTS, collection
from trimtab.plan.decisions import EventNote
from trimtab.plan.snapshot import ObjectMeta

_CONTROLLER: Final = "trimtab.dev/operator"
_LONGEST_NOTE: Final = 1000
_BUCKET_SECONDS: Final = 60


def event_manifest(meta: ObjectMeta, kind: str, note: EventNote, now: datetime) -> Manifest:
    """An Event. Its name follows from what it says and the minute: after a restart the same one is not written
    twice.
    """
    bucket = int(now.timestamp()) // _BUCKET_SECONDS
    content = f"{meta.uid}/{note.reason}/{note.message}/{bucket}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{meta.name[:200]}.{digest}", "namespace": meta.namespace or "default"},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": _CONTROLLER,
        "reportingInstance": _CONTROLLER,
        "action": note.reason,
        "reason": note.reason,
        "type": "Warning" if note.warning else "Normal",
        "note": note.message[:_LONGEST_NOTE],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        },
    }


class EventWriter:
    """Writes events. Losing one is no reason to hold up anything, so what fails is reported upwards and not retried."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube

    def write(self, meta: ObjectMeta, kind: str, notes: Iterable[EventNote], now: datetime) -> None:
        """Write one event for each note.

        Raises:
            KubeError: when one could not be written.
        """
        for note in notes:
            manifest = event_manifest(meta, kind, note, now)
            try:
                self._kube.create(collection(EVENTS, manifest["metadata"]["namespace"]), manifest)
            except (Conflict, NotFound):
                continue  # Written already, or the namespace is going away.
