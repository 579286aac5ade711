"""Children of a TrainingWorkload: an Indexed Job, and the headless Service by which its pods find each other."""

import json

from trimtab.api import labels
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.training import TorchRuntime, TrainingAction
from trimtab.apply.children.names import Manifest, child_labels, object_meta, selector_labels, short_name, spec_hash
from trimtab.apply.children.own_template import checked_template
from trimtab.apply.children.pods import claim_volume, placement, resources, runtime_pod
from trimtab.apply.settings import Images
from trimtab.plan.decisions import TrainingDecision
from trimtab.plan.snapshot import TrainingState

KIND = "TrainingWorkload"
_MASTER_PORT, _METRICS_PORT = 29500, 9095
_GRACE_SECONDS = 60
_STOPPED, _CONFIG_ERROR = 143, 2
"""Exit codes of the runtime: stopped on SIGTERM after a checkpoint; a setting that no retry can mend."""


def job_name(state: TrainingState) -> str:
    """Name of the Job."""
    return short_name(state.meta.name)


def _service_name(state: TrainingState) -> str:
    return short_name(state.meta.name, "peers")


def _torch_config(state: TrainingState, torch: TorchRuntime, replicas: int) -> Manifest:
    interval = state.spec.checkpoint.interval.total_seconds() if state.spec.checkpoint else 30.0
    return {
        "name": state.meta.name,
        "namespace": state.meta.namespace,
        "model": torch.model,
        "dataset": torch.dataset,
        "epochs": torch.epochs,
        "globalBatchSize": torch.global_batch_size,
        "learningRate": torch.learning_rate,
        "seed": torch.seed,
        "samplesPerSecondLimit": torch.samples_per_second_limit,
        "worldSize": replicas,
        "masterAddress": f"{job_name(state)}-0.{_service_name(state)}",
        "masterPort": _MASTER_PORT,
        "directory": f"/models/training/{state.meta.name}",
        "checkpointIntervalSeconds": interval,
        "metricsPort": _METRICS_PORT,
        "threads": max(1, int(state.spec.resources.cpu)),
    }


def _torch_pod(state: TrainingState, replicas: int, hardware: HardwareClassSpec, images: Images) -> Manifest:
    torch, checkpoint = state.spec.torch, state.spec.checkpoint
    assert torch is not None, "the CRD admits torch or template"
    assert checkpoint is not None, "the CRD asks for a checkpoint with torch"
    container = {
        "name": "train",
        "image": torch.image or images.train,
        "env": [{"name": "TRIMTAB_CONFIG", "value": json.dumps(_torch_config(state, torch, replicas))}],
        "ports": [{"name": "metrics", "containerPort": _METRICS_PORT}],
        "resources": resources(state.spec.resources, hardware),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "models", "mountPath": "/models"}],
    }
    return runtime_pod(container, hardware, [claim_volume(checkpoint.claim_name)], _GRACE_SECONDS)


def _template_pod(template: Manifest, state: TrainingState, hardware: HardwareClassSpec) -> Manifest:
    """The user's own pod, placed on the class and given what is planned for it; the rest is left as it is."""
    spec, where = template["spec"], placement(hardware)
    first, *others = spec["containers"]
    return {
        **spec,
        "nodeSelector": {**spec["nodeSelector"], **where["nodeSelector"]},
        "tolerations": [*spec["tolerations"], *where["tolerations"]],
        "containers": [{"resources": resources(state.spec.resources, hardware), **first}, *others],
    }


def _pod_template(state: TrainingState, decision: TrainingDecision, hardware: HardwareClassSpec, images: Images) -> Manifest:  # fmt: skip # noqa: E501
    work = state.spec.work
    template = checked_template(state.spec.template or {}) if state.spec.torch is None else {}
    given = template.get("metadata", {"labels": {}, "annotations": {}})
    facts = {labels.WORKLOAD_UID: state.meta.uid, labels.GANG_SIZE: str(decision.replicas)}
    if state.spec.torch is not None:
        spec = _torch_pod(state, decision.replicas, hardware, images)
        facts |= {labels.SCRAPE: "true", labels.SCRAPE_PORT: str(_METRICS_PORT), labels.MODEL: state.spec.torch.model}
    else:
        spec = _template_pod(template, state, hardware)
    if work is not None:
        facts |= {labels.MODEL: work.model, labels.TOTAL_SAMPLES: str(work.total_samples)}
    spec |= {"restartPolicy": "Never", "subdomain": _service_name(state)}
    return {
        "metadata": {
            "labels": {**given["labels"], **child_labels(state.meta, KIND, decision.hardware_class)},
            "annotations": {**given["annotations"], **facts},
        },
        "spec": spec,
    }


def training_children(
    state: TrainingState, decision: TrainingDecision, hardware: HardwareClassSpec, images: Images
) -> list[Manifest]:
    """Service and Job. The Job's label spec-hash names its pod template; `suspend` is not part of it.

    Raises:
        Invalid: when the user's own template is none.
    """
    template = _pod_template(state, decision, hardware, images)
    replicas = decision.replicas
    template_hash = spec_hash([template, replicas])
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_meta(state.meta, KIND, _service_name(state), decision.hardware_class),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector_labels(state.meta, KIND),
            "ports": [{"name": "rendezvous", "port": _MASTER_PORT}],
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": object_meta(state.meta, KIND, job_name(state), decision.hardware_class, template_hash),
        "spec": {
            "completionMode": "Indexed",
            "completions": replicas,
            "parallelism": replicas,
            "suspend": decision.action is not TrainingAction.RUN,
            "backoffLimit": 10 * replicas,
            # A successor only when the old pod is gone: two must never write the same checkpoint.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules(state)},
            "template": template,
        },
    }
    return [service, job]


def _failure_rules(state: TrainingState) -> list[Manifest]:
    """What does not count as a failure (a stop after a checkpoint, an eviction), and what no retry can mend."""

    def exits(action: str, code: int) -> Manifest:
        return {"action": action, "onExitCodes": {"operator": "In", "values": [code]}}

    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    runtime = [exits("FailJob", _CONFIG_ERROR)] if state.spec.torch is not None else []
    return [*runtime, exits("Ignore", _STOPPED), disrupted]
