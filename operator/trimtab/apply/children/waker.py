"""What holds requests to a service that sleeps: a small Deployment, and a Service that leads to the servers alone."""

import json

from trimtab.api import labels
from trimtab.api.hardware import HardwareClassSpec
from trimtab.apply.children.names import (
    Manifest,
    child_labels,
    object_meta,
    owner,
    selector_labels,
    short_name,
    spec_hash,
)
from trimtab.apply.children.pods import runtime_pod
from trimtab.plan.snapshot import ObjectMeta

SERVING_KIND = "ServingWorkload"
_HOLD_SECONDS = 300
_GRACE_SECONDS = 60
_RESOURCES = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}


def waker_name(meta: ObjectMeta) -> str:
    """Name of the Deployment."""
    return short_name(meta.name, "waker")


def awake_name(meta: ObjectMeta) -> str:
    """Name of the Service that leads to servers only."""
    return short_name(meta.name, "awake")


def waker_selector(meta: ObjectMeta) -> dict[str, str]:
    """Labels of the waker's pods. Its kind is its own: it is no server, and is not metered as one."""
    return selector_labels(meta, labels.WAKER_KIND)


def waker_children(
    meta: ObjectMeta, hardware_class: str, hardware: HardwareClassSpec, image: str, ports: dict[str, int]
) -> list[Manifest]:
    """The Service of the servers, and the waker's Deployment.

    Args:
        meta: The workload.
        hardware_class: Class that it serves on; the waker runs there too, without its accelerators.
        hardware: Of that class.
        image: Of the servers: it has the waker.
        ports: Of the servers, by name; `metrics` is the waker's own.
    """
    served = {name: port for name, port in ports.items() if name != "metrics"}
    config = {
        "upstream": awake_name(meta),
        "ports": list(served.values()),
        "metricsPort": ports["metrics"],
        "holdSeconds": _HOLD_SECONDS,
    }
    container = {
        "name": "waker",
        "image": image,
        "command": ["python3", "-m", "trimtab_workloads.serve.waker"],
        "env": [{"name": "TRIMTAB_CONFIG", "value": json.dumps(config)}],
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        "resources": _RESOURCES,
        "readinessProbe": {"tcpSocket": {"port": "metrics"}, "periodSeconds": 3},
        "livenessProbe": {"tcpSocket": {"port": "metrics"}, "periodSeconds": 20, "failureThreshold": 3},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    template = {
        "metadata": {
            "labels": child_labels(meta, labels.WAKER_KIND, hardware_class),
            "annotations": {labels.SCRAPE: "true", labels.SCRAPE_PORT: str(ports["metrics"])},
        },
        "spec": runtime_pod(container, hardware, [], _GRACE_SECONDS),
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(meta, awake_name(meta), hardware_class),
        "spec": {
            "selector": selector_labels(meta, SERVING_KIND),
            "ports": [{"name": name, "port": port, "targetPort": name} for name, port in served.items()],
        },
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _owned(meta, waker_name(meta), hardware_class, spec_hash(template)),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": waker_selector(meta)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }
    return [service, deployment]


def _owned(meta: ObjectMeta, name: str, hardware_class: str, template_hash: str = "") -> Manifest:
    """Labelled as the waker's, owned by the workload: deleting that removes both."""
    marked = object_meta(meta, labels.WAKER_KIND, name, hardware_class, template_hash)
    return {**marked, "ownerReferences": owner(meta, SERVING_KIND)}
