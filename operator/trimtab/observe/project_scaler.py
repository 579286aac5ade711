"""What scales other objects: HorizontalPodAutoscalers, KEDA's ScaledObjects, VerticalPodAutoscalers. Pure."""

from typing import Any, Final

from trimtab.observe.facts import ScalerFact
from trimtab.plan.snapshot import ScalerState

_PAUSED: Final = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
_KEDA_LEAST, _KEDA_MOST = 0, 100
"""KEDA's defaults of minReplicaCount and maxReplicaCount."""


def _state(raw: dict[str, Any], kind: str, target: dict[str, Any], **facts: Any) -> ScalerFact:
    metadata = raw["metadata"]
    group, _, version = target.get("apiVersion", "").partition("/")
    state = ScalerState(
        kind=kind,
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        target_group=group if version else "",
        target_kind=target.get("kind", ""),
        target_name=target.get("name", ""),
        **facts,
    )
    return ScalerFact(state)


def project_horizontal(raw: dict[str, Any]) -> ScalerFact | None:
    """Reduce a HorizontalPodAutoscaler (autoscaling/v2)."""
    spec = raw["spec"]
    owners = raw["metadata"].get("ownerReferences") or ()
    maker = next((o["name"] for o in owners if o.get("kind") == "ScaledObject"), "")
    return _state(
        raw, "HorizontalPodAutoscaler", spec["scaleTargetRef"], least=spec.get("minReplicas", 1),
        most=spec["maxReplicas"], made_by=maker,
    )  # fmt: skip


def project_scaled_object(raw: dict[str, Any]) -> ScalerFact | None:
    """Reduce a ScaledObject (keda.sh/v1alpha1); None for one that is paused."""
    spec, annotations = raw["spec"], raw["metadata"].get("annotations") or {}
    if any(annotations.get(name, "false").lower() not in ("false", "") for name in _PAUSED):
        return None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]}
    least = spec.get("idleReplicaCount")
    return _state(
        raw, "ScaledObject", target, least=spec.get("minReplicaCount", _KEDA_LEAST) if least is None else least,
        most=spec.get("maxReplicaCount", _KEDA_MOST),
    )  # fmt: skip


def project_vertical(raw: dict[str, Any]) -> ScalerFact | None:
    """Reduce a VerticalPodAutoscaler (autoscaling.k8s.io/v1); None for one that only recommends."""
    spec = raw["spec"]
    mode = (spec.get("updatePolicy") or {}).get("updateMode") or "Auto"
    return None if mode == "Off" else _state(raw, "VerticalPodAutoscaler", spec["targetRef"])
