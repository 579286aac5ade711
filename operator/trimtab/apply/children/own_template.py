"""Reads a user's own pod template. The CRD lets everything pass there, so what is no template is found out here."""

from typing import Any

from trimtab.apply.children.names import INVALID_TEMPLATE, Manifest
from trimtab.kube.errors import Invalid


def _refuse(path: str, wanted: str, value: Any) -> Invalid:
    text = f"spec.template{path}: must be {wanted}, got {type(value).__name__} {str(value)[:60]!r}"
    return Invalid(422, INVALID_TEMPLATE, text)


def _part(parent: Manifest, key: str, kind: type, path: str, wanted: str) -> Any:
    value = parent.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise _refuse(f"{path}.{key}", wanted, value)
    return value


def checked_template(template: Manifest) -> Manifest:
    """The template, with each part that trimtab adds to in the shape that it needs; the API server judges the rest.

    Raises:
        Invalid: when a part is something else; the message names it.
    """
    metadata = _part(template, "metadata", dict, "", "an object")
    spec = _part(template, "spec", dict, "", "an object")
    containers = _part(spec, "containers", list, ".spec", "a list of containers")
    if not containers:
        raise Invalid(422, INVALID_TEMPLATE, "spec.template.spec.containers: must name at least one container")
    for index, container in enumerate(containers):
        if not isinstance(container, dict):
            raise _refuse(f".spec.containers[{index}]", "an object", container)
    return {
        "metadata": {
            key: _part(metadata, key, dict, ".metadata", "an object of strings") for key in ("labels", "annotations")
        },
        "spec": {
            **spec,
            "containers": containers,
            "nodeSelector": _part(spec, "nodeSelector", dict, ".spec", "an object of strings"),
            "tolerations": _part(spec, "tolerations", list, ".spec", "a list of tolerations"),
        },
    }
