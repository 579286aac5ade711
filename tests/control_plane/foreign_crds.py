"""Custom resources of KEDA and of the Vertical Pod Autoscaler, as far as trimtab reads them.

The fields and what is required follow the published references (keda.sh/v1alpha1 ScaledObject and
autoscaling.k8s.io/v1 VerticalPodAutoscaler); everything else is let through.
"""

from typing import Any

_TARGET_FIELDS: dict[str, Any] = {name: {"type": "string"} for name in ("apiVersion", "kind", "name")}


def _count() -> dict[str, Any]:
    return {"type": "integer", "format": "int32"}


def _crd(group: str, version: str, plural: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", **spec}}}
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    # Without the annotation the apiserver takes *.k8s.io for an unapproved API of Kubernetes itself.
    approved = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/63797"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": approved},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": [served],
            "names": {"plural": plural, "kind": kind, "singular": kind.lower(), "listKind": f"{kind}List"},
        },
    }  # fmt: skip


SCALED_OBJECT = _crd(
    "keda.sh", "v1alpha1", "scaledobjects", "ScaledObject",
    {
        "required": ["scaleTargetRef", "triggers"],
        "properties": {
            "scaleTargetRef": {"type": "object", "required": ["name"], "properties": _TARGET_FIELDS},
            **{name: _count() for name in ("minReplicaCount", "maxReplicaCount", "idleReplicaCount")},
            "triggers": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        },
    },
)  # fmt: skip
VERTICAL_SCALER = _crd(
    "autoscaling.k8s.io", "v1", "verticalpodautoscalers", "VerticalPodAutoscaler",
    {
        "required": ["targetRef"],
        "properties": {
            "targetRef": {"type": "object", "required": ["kind", "name"], "properties": _TARGET_FIELDS},
            "updatePolicy": {
                "type": "object",
                "properties": {
                    "updateMode": {
                        "type": "string", "enum": ["Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto"],
                    }
                },
            },
        },
    },
)  # fmt: skip
