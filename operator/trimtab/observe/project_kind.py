"""trimtab's own objects, read through the models of the API."""

from typing import Any, TypeVar

from pydantic import ValidationError

from trimtab.api.schema import ApiModel, Kind
from trimtab.observe.facts import KindFact
from trimtab.plan.snapshot import ObjectMeta

_Model = TypeVar("_Model", bound=ApiModel)


def project_kind(kind: Kind, raw: dict[str, Any]) -> KindFact:
    """Read a custom resource.

    A status that cannot be read is an error too: it is the only memory that the operator has, and reading it as empty
    would start the account of what was spent again from nothing.

    Raises:
        ValueError: when spec or status does not fit the model; the message names each wrong field.
    """
    metadata = raw["metadata"]
    meta = ObjectMeta(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        labels=metadata.get("labels") or {},
        created_at=metadata["creationTimestamp"],
        deleting="deletionTimestamp" in metadata,
    )
    return KindFact(
        meta,
        _validated(kind.spec, "spec", raw.get("spec") or {}),
        _validated(kind.status, "status", raw.get("status") or {}),
    )


def _validated(model: type[_Model], field: str, value: Any) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ValueError("; ".join(_line(field, detail) for detail in error.errors(include_url=False))) from error


def _line(field: str, detail: Any) -> str:
    path = ".".join((field, *(str(part) for part in detail["loc"])))
    return f"{path}: {detail['msg']}"
