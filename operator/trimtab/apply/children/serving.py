"""Children of a ServingWorkload: a Deployment of Triton, its Service, and the ConfigMap that names the version to
serve.
"""

import json
from collections.abc import Mapping

from trimtab.api import labels
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.variant import Artifact
from trimtab.apply.children.availability import disruption_budget, spread_constraints
from trimtab.apply.children.names import Manifest, child_labels, object_meta, selector_labels, short_name, spec_hash
from trimtab.apply.children.pods import claim_volume, resources, runtime_pod
from trimtab.apply.children.triton_settings import base_digest, base_settings, settings_text
from trimtab.apply.children.waker import waker_selector
from trimtab.apply.settings import Images
from trimtab.plan.decisions import ServingDecision
from trimtab.plan.snapshot import ServingState

KIND = "ServingWorkload"
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
PORTS = {"http": HTTP_PORT, "grpc": GRPC_PORT, "metrics": METRICS_PORT}
_DRAIN_SECONDS = 8
"""Between leaving the Service and SIGTERM: time for clients and kube-proxy to notice."""
_SPARE_SECONDS = 17
"""Before SIGKILL, after what requests in flight may take: Triton ends its backends, and an idle connection over HTTP
keeps it for its whole exit timeout."""


def deployment_name(state: ServingState, hardware_class: str) -> str:
    """Name of the Deployment of one class."""
    return short_name(state.meta.name, hardware_class)


def active_version(decision: ServingDecision) -> int | None:
    """Version of the Triton model that shall serve."""
    return next((v.version for v in decision.versions if v.name == decision.variant), None)


def _longest_seconds(state: ServingState) -> int:
    """How long requests in flight may go on after SIGTERM."""
    return int(state.spec.availability.longest_request.total_seconds())


def served_variants(decision: ServingDecision, artifacts: Mapping[str, Artifact]) -> list[Manifest]:
    """The variants that a server knows: name, version and file."""
    versions = {v.name: v.version for v in decision.versions}
    return [
        {"name": name, "version": versions[name], "path": f"/models/{artifacts[name].path}"}
        for name in sorted(decision.available)
        if name in artifacts
    ]


def artifact_digests(decision: ServingDecision, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """SHA-256 of the file that each version must be, by version."""
    return {str(v["version"]): artifacts[v["name"]].sha256 for v in served_variants(decision, artifacts)}


def _config(state: ServingState, decision: ServingDecision, artifacts: Mapping[str, Artifact]) -> Manifest:
    triton, variants = state.spec.triton, served_variants(decision, artifacts)
    # Nothing that a running server takes: the pods would be replaced for it.
    return {
        "model": state.spec.model,
        "variants": variants,
        "activeFile": "/etc/trimtab/active/version",
        "settingsFile": "/etc/trimtab/active/settings",
        "base": base_digest(triton, variants),
        **base_settings(triton),
        "exitTimeoutSeconds": _longest_seconds(state),
    }


def _image(state: ServingState, images: Images) -> str:
    """The workload's own image, else the one for what it runs on."""
    accelerated = images.serve_nvidia if state.spec.resources.accelerators else ""
    return state.spec.triton.image or accelerated or images.serve


def _container(state: ServingState, config: Manifest, hardware: HardwareClassSpec, images: Images) -> Manifest:
    ready = {"httpGet": {"path": f"/v2/models/{state.spec.model}/ready", "port": "http"}}
    probe = {"exec": {"command": ["python3", "-m", "trimtab_workloads.serve.probe"]}}
    return {
        "name": "triton",
        "image": _image(state, images),
        "env": [{"name": "TRIMTAB_CONFIG", "value": json.dumps(config)}],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
            {"name": "metrics", "containerPort": METRICS_PORT},
        ],
        "resources": resources(state.spec.resources, hardware),
        "startupProbe": {**ready, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "readinessProbe": {**ready, "periodSeconds": 3, "timeoutSeconds": 3, "failureThreshold": 3},
        # A real inference: the server calls itself ready even when the process that runs the model is dead.
        "livenessProbe": {**probe, "periodSeconds": 20, "timeoutSeconds": 30, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}},
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "active", "mountPath": "/etc/trimtab/active", "readOnly": True},
            {"name": "models", "mountPath": "/models", "readOnly": True},
        ],
    }


def _models_volume(state: ServingState, claim: str) -> Manifest:
    """The variants' files: from the claim, or from an image that was made of it."""
    if state.spec.repository is None:
        return claim_volume(claim, read_only=True)
    return {"name": "models", "image": {"reference": state.spec.repository.image, "pullPolicy": "IfNotPresent"}}


def serving_children(
    state: ServingState,
    decision: ServingDecision,
    artifacts: Mapping[str, Artifact],
    hardware: HardwareClassSpec,
    images: Images,
) -> list[Manifest]:
    """ConfigMap, Service, Deployment and, unless it is turned off, PodDisruptionBudget.

    The pod template depends on neither the variant in force, nor the replicas, nor the settings that a running server
    takes.

    Args:
        state: The workload.
        decision: What shall serve.
        artifacts: Artifact of each available variant, by name. They lie in one claim.
        hardware: The class.
        images: Of the runtimes.
    """
    digests = artifact_digests(decision, artifacts)
    hardware_class, active_name = decision.hardware_class, short_name(state.meta.name, "active")
    config = _config(state, decision, artifacts)
    claim = artifacts[decision.variant].claim_name
    volumes = [
        _models_volume(state, claim),
        {"name": "active", "configMap": {"name": active_name}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    ]
    selector = {**selector_labels(state.meta, KIND), labels.HARDWARE_CLASS: hardware_class}
    grace_seconds = _DRAIN_SECONDS + _longest_seconds(state) + _SPARE_SECONDS
    pod = runtime_pod(_container(state, config, hardware, images), hardware, volumes, grace_seconds)
    if spread := spread_constraints(state.spec.availability.spread, selector):
        pod["topologySpreadConstraints"] = spread
    if state.spec.priority_class_name:
        pod["priorityClassName"] = state.spec.priority_class_name
    template = {
        "metadata": {
            "labels": child_labels(state.meta, KIND, hardware_class),
            "annotations": {labels.SCRAPE: "true", labels.SCRAPE_PORT: str(METRICS_PORT)},
        },
        "spec": pod,
    }
    name = deployment_name(state, hardware_class)
    availability = state.spec.availability
    budgets = [disruption_budget(state.meta, KIND, hardware_class, availability)]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": object_meta(state.meta, KIND, active_name, hardware_class),
            "data": {"version": str(active_version(decision)), "settings": settings_text(state.spec.triton, digests)},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": object_meta(state.meta, KIND, short_name(state.meta.name), hardware_class),
            "spec": {
                "selector": waker_selector(state.meta) if decision.led_to_waker else selector_labels(state.meta, KIND),
                "ports": [
                    {"name": "http", "port": HTTP_PORT, "targetPort": "http"},
                    {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc"},
                    {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"},
                ],
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": object_meta(state.meta, KIND, name, hardware_class, spec_hash(template)),
            "spec": {
                "replicas": decision.replicas,
                "selector": {"matchLabels": selector},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": template,
            },
        },
        *(budgets if availability.disruption_budget else []),
    ]
