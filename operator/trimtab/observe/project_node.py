"""Nodes, reduced to where pods may go and what they hold."""

from typing import Any

from trimtab.api.quantity import parse_quantity
from trimtab.observe.facts import NodeFact, Taint
from trimtab.observe.project_children import conditions_of, holds

_REPELLING = frozenset(("NoSchedule", "NoExecute"))
_CORDON = "node.kubernetes.io/unschedulable"


def project_node(raw: dict[str, Any]) -> NodeFact:
    """Reduce a node; taints that only discourage are left out.

    Raises:
        ValueError: when a quantity cannot be read.
    """
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    taints = tuple(
        Taint(taint["key"], taint.get("value", ""), taint["effect"])
        for taint in spec.get("taints") or ()
        if taint["effect"] in _REPELLING and taint["key"] != _CORDON
    )
    return NodeFact(
        name=metadata["name"],
        labels=dict(metadata.get("labels") or {}),
        taints=taints,
        allocatable={name: parse_quantity(value) for name, value in (status.get("allocatable") or {}).items()},
        ready=holds(conditions_of(status).get("Ready")),
        schedulable=not spec.get("unschedulable", False),
    )
