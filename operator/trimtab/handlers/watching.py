"""Wiring of kopf: every change goes into the cache and wakes the loop. No decision is made here."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import kopf

from trimtab.api import labels
from trimtab.handlers.loop import ControlLoop
from trimtab.handlers.settings import Settings
from trimtab.kube.paths import DEPLOYMENTS, JOBS, Resource
from trimtab.observe.cache import ClusterCache


def kopf_settings(settings: Settings) -> kopf.OperatorSettings:
    """Settings of kopf: no writes of its own (no events, finalizers or annotations), and lists in bounded chunks."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.watching.chunk_size = 500
    chosen.watching.server_timeout = 300
    chosen.watching.client_timeout = 310
    chosen.persistence.finalizer = "trimtab.dev/finalizer"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="trimtab.dev")
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="trimtab.dev")
    chosen.peering.standalone = True
    for resource in (JOBS, DEPLOYMENTS):
        chosen.watching.label_selectors[resource.group, resource.version, resource.plural] = labels.WORKLOAD
    return chosen


def add_login(registry: kopf.OperatorRegistry) -> None:
    """As the rest of the operator: the pod's service account where there is one, else KUBECONFIG."""

    async def login(**keywords: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**keywords) or kopf.login_with_kubeconfig(**keywords)

    kopf.on.login(id="login", registry=registry)(login)


def watch(
    registry: kopf.OperatorRegistry,
    resource: Resource,
    cache: ClusterCache,
    loop: ControlLoop,
    clock: Callable[[], datetime],
) -> None:
    """Keep the cache of one resource up to date. `on.event` alone stores nothing on the object."""

    async def seen(event: Mapping[str, Any], **_: object) -> None:
        body = dict(event["object"])
        if event["type"] == "DELETED":
            changed = cache.remove(resource, body["metadata"]["uid"], last=body, at=clock())
        else:
            changed = cache.put(resource, body, at=clock())
        if changed:
            loop.mark_dirty()

    kopf.on.event(resource.group, resource.version, resource.plural, id=f"watch-{resource.plural}", registry=registry)(
        seen
    )
