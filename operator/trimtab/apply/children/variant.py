"""Child of a ModelVariant: the Job that makes and measures it."""

import json

from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.quantity import parse_quantity
from trimtab.api.variant import ModelVariantSpec
from trimtab.apply.children.names import Manifest, child_labels, object_meta, short_name
from trimtab.apply.children.pods import claim_volume, resources, runtime_pod
from trimtab.apply.settings import Images
from trimtab.plan.decisions import VariantDecision
from trimtab.plan.snapshot import VariantState

KIND = "ModelVariant"
_CONFIG_ERROR = 2
_NUMBERS = ("amount", "width", "labelShare", "energy")
_LONGEST_SECONDS = 24 * 3600


def artifact_path(state: VariantState) -> str:
    """Folder of the artifact in the claim."""
    return f"variants/{state.meta.name}"


def build_job_name(state: VariantState) -> str:
    """Name of the Job."""
    return short_name(state.meta.name, "build")


def _config(name: str, spec: ModelVariantSpec, output: str) -> Manifest:
    config = {
        "name": name,
        "source": f"/models/training/{spec.source.training_workload}",
        "steps": [_step(step.to_manifest()) for step in spec.steps],
        "output": f"/models/{output}",
        "seed": spec.seed,
        "cache": "/models/steps",
        "cacheBytes": int(parse_quantity(spec.step_cache)),
        "maxBytes": int(parse_quantity(spec.max_size)),
        "benchmark": {
            "batches": list(spec.benchmark.batches),
            "secondsPerBatch": spec.benchmark.seconds_per_batch,
            "threads": spec.benchmark.threads,
        },
    }
    if spec.search is not None:
        limits = {"minAccuracy": spec.gate.min_accuracy, "maxAccuracyDrop": spec.gate.max_accuracy_drop}
        config["search"] = {**spec.search.to_manifest(), **limits}
    return config


def _step(step: Manifest) -> Manifest:
    """A step as the optimizer reads it: its shares and sizes as numbers."""
    ((kind, settings),) = step.items()
    return {kind: {name: float(value) if name in _NUMBERS else value for name, value in settings.items()}}


def variant_children(
    state: VariantState, decision: VariantDecision, hardware: HardwareClassSpec, images: Images
) -> list[Manifest]:
    """The Job. Its label spec-hash is the decision's: spec and source."""
    timeout = state.spec.timeout
    container = {
        "name": "optimize",
        "image": state.spec.image or images.optimize,
        "env": [
            {
                "name": "TRIMTAB_CONFIG",
                "value": json.dumps(_config(state.meta.name, state.spec, artifact_path(state))),
            }
        ],
        "resources": resources(state.spec.resources, hardware),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "models", "mountPath": "/models"}],
    }
    pod = runtime_pod(container, hardware, [claim_volume(decision.claim_name)], grace_seconds=30)
    job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": object_meta(state.meta, KIND, build_job_name(state), decision.hardware_class, decision.spec_hash),
        "spec": {
            "backoffLimit": 2,
            "activeDeadlineSeconds": int(timeout.total_seconds()) if timeout is not None else _LONGEST_SECONDS,
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [_CONFIG_ERROR]}},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": child_labels(state.meta, KIND, decision.hardware_class)},
                "spec": {**pod, "restartPolicy": "Never"},
            },
        },
    }
    return [job]
