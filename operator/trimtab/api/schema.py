"""The base of all resource models, and the marks that the CRD generator reads from them."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True)
class Cel:
    """A CEL rule (`x-kubernetes-validations`) with the line that a user reads when it is broken.

    Put it in a field's `Annotated[...]`, or in a model's `cel_rules`. `field_path` (such as `.maxReplicas`) names the
    field to blame
    when the rule spans several.
    """

    rule: str
    message: str
    field_path: str = ""


@dataclass(frozen=True)
class ListMap:
    """Marks a list as a map keyed by these fields (`x-kubernetes-list-type: map`)."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class ListSet:
    """Marks a list of scalars as a set (`x-kubernetes-list-type: set`): duplicates are refused."""


@dataclass(frozen=True)
class PreserveUnknown:
    """Marks an object whose fields the API server must keep as they are (a pod template)."""


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`."""

    name: str
    json_path: str
    type: str = "string"
    wide: bool = False
    description: str = ""


class ApiModel(BaseModel):
    """Base of every resource model: immutable, camelCase in YAML, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        serialize_by_alias=True,
    )

    cel_rules: ClassVar[tuple[Cel, ...]] = ()

    def to_manifest(self) -> dict[str, Any]:
        """The object as it stands in YAML: camelCase, without what is unset or None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """Base of status models. What an older or newer operator wrote and this one does not know is passed over."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True)
class Kind:
    """A custom resource: its names, its models, and how it prints."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    spec: type[ApiModel]
    status: type[StatusModel]
    columns: tuple[Column, ...]
    description: str
    scale: bool = False

    @property
    def singular(self) -> str:
        """The kind in lower case."""
        return self.kind.lower()


ObjectName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Cel(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be the name of an object: lower case letters, digits and '-', at most 63 characters",
    ),
]
"""The name of another object."""

ShortText = Annotated[str, StringConstraints(max_length=1024)]
"""A sentence for a person."""
