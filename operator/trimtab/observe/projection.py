"""From a raw Kubernetes object to the little that is kept of it: pure functions, one for each kind."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trimtab.api.kinds import KINDS
from trimtab.observe.facts import Fact, Rejected
from trimtab.observe.project_children import project_deployment, project_job
from trimtab.observe.project_kind import project_kind
from trimtab.observe.project_node import project_node
from trimtab.observe.project_pod import project_pod
from trimtab.observe.project_scaler import project_horizontal, project_scaled_object, project_vertical

JOBS, DEPLOYMENTS, PODS, NODES = "jobs", "deployments", "pods", "nodes"
SCALERS, SCALED_OBJECTS, VERTICAL_SCALERS = "horizontalpodautoscalers", "scaledobjects", "verticalpodautoscalers"

PROJECTORS: Mapping[str, Callable[[dict[str, Any]], Fact | None]] = {
    **{kind.plural: partial(project_kind, kind) for kind in KINDS},
    JOBS: project_job,
    DEPLOYMENTS: project_deployment,
    PODS: project_pod,
    NODES: project_node,
    SCALERS: project_horizontal,
    SCALED_OBJECTS: project_scaled_object,
    VERTICAL_SCALERS: project_vertical,
}
"""Every resource that is observed, by plural name. A projector answers None for what is not trimtab's business."""


def object_key(raw: dict[str, Any]) -> str:
    """`namespace/name` of an object, or its bare name when it is cluster-scoped."""
    metadata = raw["metadata"]
    namespace = metadata.get("namespace", "")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def project(plural: str, raw: dict[str, Any]) -> Fact | Rejected | None:
    """Reduce an object of the resource; one that cannot be read comes out as Rejected, with what is wrong.

    Raises:
        KeyError: for a resource that is not watched.
    """
    projector = PROJECTORS[plural]
    try:
        return projector(raw)
    except KeyError as error:
        return Rejected(plural, object_key(raw), f"lacks the field {error}")
    except ValueError as error:
        return Rejected(plural, object_key(raw), str(error))
