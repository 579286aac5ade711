"""Writes status, and only where it changed: what changes all the time is written at a slower pace."""

import threading
from datetime import datetime

from trimtab.api.schema import StatusModel
from trimtab.apply.child_applier import OnWritten
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Conflict, NotFound
from trimtab.kube.paths import Resource, object_path
from trimtab.plan.snapshot import ObjectMeta


class StatusWriter:
    """Server-side apply on the status subresource, whole and at once: figures and the instant they hold for never
    part.
    """

    def __init__(self, kube: KubeClient, on_written: OnWritten, quiet_seconds: float) -> None:
        self._kube, self._on_written, self._quiet_seconds = kube, on_written, quiet_seconds
        self._written: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def write(
        self, resource: Resource, meta: ObjectMeta, old: StatusModel, new: StatusModel, calm: StatusModel, now: datetime
    ) -> bool:
        """Write `new` if it says something that `old` does not.

        Args:
            resource: Kind of the object.
            meta: The object.
            old: Status as it stands.
            new: Status as it should be.
            calm: `new` without what changes all the time: when this equals `old`, the write can wait a little.
            now: The instant.

        Returns:
            Whether it was written.

        Raises:
            KubeError: when it could not be written.
        """
        before, after = old.to_manifest(), new.to_manifest()
        if before == after:
            return False
        with self._lock:
            last = self._written.get(meta.uid)
        waited = last is None or (now - last).total_seconds() >= self._quiet_seconds
        if calm.to_manifest() == before and not waited:
            return False
        path = object_path(resource, meta.name, meta.namespace)
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": meta.name, **({"namespace": meta.namespace} if meta.namespace else {})},
        }
        try:
            written = self._kube.apply_status(path, {**body, "status": after})
            if written["metadata"]["uid"] != meta.uid:
                # The API server has no precondition for it: take back what a namesake was given. It must not inherit
                # the account and the end of its predecessor; its own pass will write its status.
                self._kube.apply_status(path, body)
                return False
        except (NotFound, Conflict):
            return False  # Deleted meanwhile.
        with self._lock:
            self._written[meta.uid] = now
        self._on_written(resource, written)
        return True

    def forget_except(self, uids: set[str]) -> None:
        """Drop the memory of objects that are gone."""
        with self._lock:
            for uid in self._written.keys() - uids:
                del self._written[uid]
