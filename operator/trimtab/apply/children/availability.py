"""What keeps replicas from going all at once: a PodDisruptionBudget, and spreading over zones and nodes."""

from typing import Final

from trimtab.api.availability import Availability, Spread
from trimtab.apply.children.names import Manifest, object_meta, selector_labels, short_name
from trimtab.plan.snapshot import ObjectMeta

_TOPOLOGIES: Final = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def disruption_budget_name(meta: ObjectMeta) -> str:
    """Name of the PodDisruptionBudget."""
    return short_name(meta.name, "disruption")


def disruption_budget(meta: ObjectMeta, kind: str, hardware_class: str, availability: Availability) -> Manifest:
    """The budget of all pods of a workload, whatever class they run on."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": object_meta(meta, kind, disruption_budget_name(meta), hardware_class),
        "spec": {
            # Not minAvailable: a workload of one replica would then hold up every node drain for good.
            "maxUnavailable": availability.max_unavailable,
            "selector": {"matchLabels": selector_labels(meta, kind)},
            # One that serves nobody may go, however many others do not.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def spread_constraints(spread: Spread, selector: dict[str, str]) -> list[Manifest]:
    """Constraints of a pod's spec: over zones, then over nodes.

    Args:
        spread: How strictly.
        selector: Labels of the pods that are spread.
    """
    if spread is Spread.OFF:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule" if spread is Spread.REQUIRED else "ScheduleAnyway",
            # A node that may not be used is no place that could have one more.
            "nodeTaintsPolicy": "Honor",
            "labelSelector": {"matchLabels": selector},
            # Those of a roll-out by themselves: the old ones are about to go.
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in _TOPOLOGIES
    ]
