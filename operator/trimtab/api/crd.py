"""The CustomResourceDefinitions, generated from the models: one source to parse, validate and explain."""

from typing import Any

import yaml

from trimtab.api.kinds import KINDS
from trimtab.api.schema import GROUP, NAME_MESSAGE, NAME_PATTERN, RULES, VERSION, Column, Kind
from trimtab.api.structural import structural_schema

HEADER = "# Generated from the models in operator/trimtab/api by `trimtab crds --write`. Do not edit.\n"


def generate(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as it is applied.

    Raises:
        SchemaError: A model has a field without description, or one that a CRD cannot say.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "trimtab", "app.kubernetes.io/component": "crd"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": ["trimtab"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "subresources": _subresources(kind),
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def file_name(kind: Kind) -> str:
    """The name of the file that holds the kind's definition."""
    return f"{GROUP}_{kind.plural}.yaml"


def to_yaml(definition: dict[str, Any]) -> str:
    """The definition as text: always the same for the same models."""
    return HEADER + yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=120)


def files() -> dict[str, str]:
    """All definitions: file name to text."""
    return {file_name(kind): to_yaml(generate(kind)) for kind in KINDS}


def _root(kind: Kind) -> dict[str, Any]:
    return {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"The version of the schema: {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind.kind}."},
            # The API server knows metadata itself: only the name may be narrowed here.
            "metadata": {"type": "object", "properties": {"name": _name()}},
            "spec": structural_schema(kind.spec, f"{kind.kind}.spec"),
            "status": structural_schema(kind.status, f"{kind.kind}.status", defaults=False),
        },
    }


def _name() -> dict[str, Any]:
    # Narrower than an object's name may be: it becomes a label's value and a Service's name, and others refer to it.
    rule = {"rule": f"size(self) <= 63 && self.matches('{NAME_PATTERN}')", "message": NAME_MESSAGE}
    return {"type": "string", "maxLength": 253, RULES: [rule]}


def _column(column: Column) -> dict[str, Any]:
    result: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.description:
        result["description"] = column.description
    if column.wide:
        result["priority"] = 1
    return result


def _subresources(kind: Kind) -> dict[str, Any]:
    result: dict[str, Any] = {"status": {}}
    if kind.scale:
        result["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    return result
