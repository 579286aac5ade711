"""Applies child objects by server-side apply, and only when there is something to apply."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import datetime

from trimtab.apply.children.names import Manifest
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Conflict, Invalid
from trimtab.kube.paths import JOBS, Resource, collection, object_path, resource_for

OnWritten = Callable[[Resource, Manifest], object]
"""Told of every object as the server returned it: so the next Snapshot shows our own writes at once."""

_GONE = "gone"
"""In place of the digest of a manifest: the object was removed."""


class ChildApplier:
    """Remembers what it applied last. After a restart it applies everything once more, which changes nothing."""

    def __init__(self, kube: KubeClient, on_written: OnWritten, resync_seconds: float) -> None:
        self._kube, self._on_written, self._resync_seconds = kube, on_written, resync_seconds
        self._applied: dict[str, tuple[str, datetime]] = {}
        self._lock = threading.Lock()

    def apply(self, manifest: Manifest, now: datetime, *, drifted: bool = False, first: bool = False) -> bool:
        """Make one object so.

        Args:
            manifest: The object.
            now: The instant.
            drifted: The cluster is seen to differ from it: apply whatever is remembered.
            first: The workload has nothing else yet: a Service of that name may be somebody else's.

        Returns:
            Whether it was sent.

        Raises:
            Invalid: when it is refused, or is a Service whose name is taken.
            KubeError: when it could not be applied; it is then tried again on the next pass.
        """
        resource = resource_for(manifest["apiVersion"], manifest["kind"])
        path = object_path(resource, manifest["metadata"]["name"], manifest["metadata"]["namespace"])
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        with self._lock:
            known, at = self._applied.get(path, ("", now))
        if known == digest and not drifted and (now - at).total_seconds() < self._resync_seconds:
            return False
        if first and not known and manifest["kind"] == "Service":
            self._refuse_if_taken(path, manifest)
        written = self._kube.apply(path, manifest)
        with self._lock:
            self._applied[path] = (digest, now)
        self._on_written(resource, written)
        return True

    def _refuse_if_taken(self, path: str, manifest: Manifest) -> None:
        """A Service that selects other pods is somebody else's: taking it over would cut off what it leads to."""
        try:
            self._kube.apply(path, manifest, force=False)
        except Conflict as error:
            if ".spec.selector" in error.message:
                name = manifest["metadata"]["name"]
                text = f"there is a Service {name!r} of somebody else; give the workload another name ({error.message})"
                raise Invalid(error.status, "NameTaken", text, error.call) from error

    def check(self, manifest: Manifest) -> None:
        """Let the API server judge a successor before what runs is given up for it.

        It goes by another name: under its own, the present object's immutable fields would be in the way.

        Raises:
            Invalid: when the successor would be refused.
            KubeError: when the server could not be asked.
        """
        metadata = manifest["metadata"]
        named = {**manifest, "metadata": {**metadata, "name": f"{metadata['name']}-next"}}
        resource = resource_for(manifest["apiVersion"], manifest["kind"])
        self._kube.check_create(collection(resource, metadata["namespace"]), named)

    def forget_stale(self, now: datetime) -> None:
        """Drop the memory of what would be applied again anyway: children of workloads that are gone."""
        with self._lock:
            for path, (_, at) in list(self._applied.items()):
                if (now - at).total_seconds() > 2 * self._resync_seconds:
                    del self._applied[path]

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete one Job, and never a successor of the same name."""
        path = object_path(JOBS, name, namespace)
        with contextlib.suppress(Conflict):  # Another one has the name by now: this one is gone.
            self._kube.delete(path, uid=uid)
        with self._lock:
            self._applied.pop(path, None)

    def remove(self, resource: Resource, namespace: str, name: str, now: datetime) -> None:
        """See that a child is not there which nothing tells of: asked for once, and again with every resync."""
        path = object_path(resource, name, namespace)
        with self._lock:
            known, at = self._applied.get(path, ("", now))
        if known == _GONE and (now - at).total_seconds() < self._resync_seconds:
            return
        self._kube.delete(path)
        with self._lock:
            self._applied[path] = (_GONE, now)

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete any other child."""
        path = object_path(resource, name, namespace)
        self._kube.delete(path)
        with self._lock:
            self._applied.pop(path, None)
