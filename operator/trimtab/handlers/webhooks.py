"""Joins the parts of admission: handlers, server, certificates."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import kopf
from prometheus_client import CollectorRegistry, Gauge

from trimtab.handlers.admission import Admission
from trimtab.handlers.passes import Passes
from trimtab.handlers.settings import Settings
from trimtab.handlers.webhook_certificates import CertificateKeeper, SelfSigned, follow_files, keep_self_signed
from trimtab.handlers.webhook_server import WebhookServer
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import OWN
from trimtab.observe.assemble import policy_states
from trimtab.observe.cache import ClusterCache, ClusterView
from trimtab.plan.snapshot import Snapshot

_LEAST_STALE_SECONDS = 60.0


def present_world(passes: Passes, cache: ClusterCache) -> Snapshot | None:
    """The last Snapshot with the policies of this moment: a workload is often stored right after its policy."""
    last = passes.last_snapshot
    if last is None:
        return None
    kinds = [OWN[kind] for kind in ("EfficiencyPolicy", "ClusterEfficiencyPolicy")]
    view = ClusterView(facts={kind.plural: cache.all(kind) for kind in kinds}, rejected=(), words={})
    return last.model_copy(update={"policies": policy_states(view)})


def add_admission(
    settings: Settings,
    registry: kopf.OperatorRegistry,
    chosen: kopf.OperatorSettings,
    kube: KubeClient,
    world: Callable[[], Snapshot | None],
    clock: Callable[[], datetime],
    metrics: CollectorRegistry,
) -> list[Coroutine[Any, Any, None]]:
    """Add the webhooks to an operator that is about to start.

    Args:
        settings: What the chart sets.
        registry: Where handlers are registered.
        chosen: kopf's settings; the server goes in there.
        kube: For the Secret and the webhook configurations.
        world: What is known of the cluster.
        clock: The time.
        metrics: For counters of reviews and the certificate's expiry.

    Returns:
        What is to run beside the operator; nothing when admission is off.
    """
    if settings.admission == "off":
        return []
    stale_after = timedelta(seconds=max(_LEAST_STALE_SECONDS, 6 * settings.loop_seconds))
    Admission(world, clock, stale_after, metrics).register(registry)
    server = WebhookServer(settings.webhook_port)
    chosen.admission.server = server
    expiry = Gauge(
        "trimtab_webhook_certificate_expiry_timestamp_seconds",
        "When the certificate of the admission webhooks expires",
        registry=metrics,
    )

    def told(at: datetime) -> None:
        expiry.set(at.timestamp())

    if settings.admission == "files":
        return [follow_files(Path(settings.webhook_directory), server, told)]
    namespace, _, secret = settings.webhook_secret.partition("/")
    where = SelfSigned(
        namespace=namespace,
        secret=secret,
        configuration=settings.webhook_configuration,
        names=tuple(name.strip() for name in settings.webhook_names.split(",")),
        directory=Path(settings.webhook_directory),
    )
    return [keep_self_signed(CertificateKeeper(kube, where, clock), server, told)]
