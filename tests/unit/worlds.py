"""Builders of small worlds for tests of the planner, and hypothesis strategies over them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from trimtab.api.carbon import CarbonSourceSpec
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.policy import EfficiencyPolicySpec
from trimtab.api.serving import ServingWorkloadSpec, ServingWorkloadStatus
from trimtab.api.training import TrainingWorkloadSpec, TrainingWorkloadStatus
from trimtab.api.variant import ModelVariantSpec, ModelVariantStatus
from trimtab.plan.serving_facts import ServingMetrics
from trimtab.plan.snapshot import (
    CarbonState,
    DeploymentState,
    HardwareState,
    IntensityPoint,
    JobState,
    ObjectMeta,
    PolicyState,
    ServingState,
    Snapshot,
    TrainingState,
    VariantState,
    WorkloadPod,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def meta(name: str, age: timedelta = timedelta(minutes=5), namespace: str = "demo", **labels: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}", created_at=NOW - age, labels=labels)


def hardware(name: str = "local-cpu", **spec: Any) -> HardwareState:
    facts = {key: spec.pop(key) for key in ("nodes", "capacity_units", "units_per_node") if key in spec}
    given = {
        "nodeSelector": {"class": name},
        "price": {"usdPerHour": "0.10"},
        "power": {"idleWatts": "10", "peakWatts": "50"},
        "gridZone": "ES",
        **spec,
    }
    return HardwareState(
        meta=meta(name, namespace=""),
        spec=HardwareClassSpec.model_validate(given),
        **{"nodes": 1, "capacity_units": 2.0, "units_per_node": 2.0, "cpu_cores_per_node": 2.0, **facts},
    )


def carbon(zone: str = "ES", *grams: float, slot: timedelta = timedelta(hours=1)) -> CarbonState:
    points = tuple(IntensityPoint(start=NOW + slot * i, grams_per_kwh=g) for i, g in enumerate(grams or (100.0,)))
    spec = CarbonSourceSpec.model_validate({"zone": zone, "static": {"gramsPerKWh": 0}})
    return CarbonState(meta=meta(zone.lower(), namespace=""), spec=spec, points=points)


def policy(name: str = "rules", **spec: Any) -> PolicyState:
    return PolicyState(meta=meta(name), spec=EfficiencyPolicySpec.model_validate(spec))


def training(name: str = "digits", status: dict[str, Any] | None = None, **spec: Any) -> TrainingState:
    facts = {key: spec.pop(key) for key in ("job", "pods", "metrics", "result", "age") if key in spec}
    given = {
        "torch": {},
        "checkpoint": {"claimName": "models"},
        "resources": {"cpu": "500m"},
        "minReplicas": 2,
        "maxReplicas": 2,
        **spec,
    }
    return TrainingState(
        meta=meta(name, facts.pop("age", timedelta(minutes=5))),
        spec=TrainingWorkloadSpec.model_validate(given),
        status=TrainingWorkloadStatus.model_validate(status or {}),
        **facts,
    )


def job(hardware_class: str = "local-cpu", suspended: bool = False, **facts: Any) -> JobState:
    return JobState(
        **{
            "name": "digits",
            "uid": "job-uid",
            "created_at": NOW - timedelta(minutes=4),
            "suspended": suspended,
            "replicas": 2,
            "hardware_class": hardware_class,
            **facts,
        }
    )


def variant(name: str, accuracy: float, items_per_second: float, **spec: Any) -> VariantState:
    status = {
        "specHash": "x",
        "artifact": {"claimName": "models", "path": f"variants/{name}/model.onnx", "sha256": "0", "sizeBytes": 1},
        "accuracy": {"value": str(accuracy), "low": str(accuracy), "high": str(accuracy), "samples": 360},
        "baselineAccuracy": "0.99",
        "cpuCores": "0.4",
        "hardwareClass": "local-cpu",
        "profile": [
            {
                "batch": 1,
                "p50Milliseconds": str(1000 / items_per_second),
                "p95Milliseconds": str(1200 / items_per_second),
                "p99Milliseconds": str(1300 / items_per_second),
                "itemsPerSecond": str(items_per_second),
                "cpuSecondsPerItem": str(0.4 / items_per_second),
            }
        ],
    }
    given = {"source": {"trainingWorkload": "digits"}, "resources": {"cpu": "400m"}, **spec}
    return VariantState(
        meta=meta(name),
        spec=ModelVariantSpec.model_validate(given),
        status=ModelVariantStatus.model_validate(status),
    )


def serving_pod(name: str, version: int = 1, ready: bool = True) -> WorkloadPod:
    return WorkloadPod(
        name=name, hardware_class="local-cpu", ready=ready, phase="Running", loaded_version=version,
        created_at=NOW - timedelta(minutes=3),
    )  # fmt: skip


def serving(replicas: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> ServingState:
    facts = {key: spec.pop(key) for key in ("metrics", "pods") if key in spec}
    given = {
        "model": "digits",
        "variants": ["fp32", "int8"],
        "targets": {"latency": {"milliseconds": 200}, "minAccuracy": "0.9"},
        "resources": {"cpu": "400m"},
        "maxReplicas": 4,
        **spec,
    }
    pods = tuple(serving_pod(f"pod-{i}") for i in range(replicas))
    deployment = DeploymentState(name="digits-local-cpu", hardware_class="local-cpu", replicas=replicas, ready=replicas)
    return ServingState(
        meta=meta("digits-serving"),
        spec=ServingWorkloadSpec.model_validate(given),
        status=ServingWorkloadStatus.model_validate(status or {}),
        deployments=(deployment,) if replicas else (),
        **{"pods": pods, **facts},
    )


def load(
    requests_per_second: float, latency_ms: float | None = 20.0, age_seconds: float = 2.0, **facts: Any
) -> ServingMetrics:
    return ServingMetrics(
        requests_per_second=requests_per_second,
        items_per_second=requests_per_second,
        latency_ms=latency_ms,
        observed_at=NOW - timedelta(seconds=age_seconds),
        **facts,
    )


def snapshot(**facts: Any) -> Snapshot:
    return Snapshot(**{"taken_at": NOW, "hardware": (hardware(),), "carbon": (carbon("ES", 100.0),), **facts})


requests_per_second = st.floats(min_value=0.0, max_value=2000.0)
intensities = st.floats(min_value=0.0, max_value=1200.0)
