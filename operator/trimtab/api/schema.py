"""The base of all resource models, and the marks that the CRD generator reads from them."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, GetJsonSchemaHandler, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

GROUP = "trimtab.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
RULES = "x-kubernetes-validations"
HINT = "x-trimtab-hint"
"""How a value is written: the generator adds it to the field's description."""


class SchemaMark:
    """A mark in a field's `Annotated[...]` that adds keywords to the field's JSON schema; parsing is not touched."""

    def keywords(self) -> dict[str, Any]:
        """The keywords to add."""
        raise NotImplementedError

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the inner schema, and the keywords on top."""
        schema = handler(core)
        keywords = self.keywords()
        rules = [*schema.get(RULES, ()), *keywords.pop(RULES, ())]
        return {**schema, **keywords, **({RULES: rules} if rules else {})}


@dataclass(frozen=True)
class Cel(SchemaMark):
    """A CEL rule (`x-kubernetes-validations`) with the line that a user reads when it is broken.

    Put it in a field's `Annotated[...]`, or in a model's `cel_rules`. `field_path` (such as `.maxReplicas`) names
    the field to blame when the rule spans several.
    """

    rule: str
    message: str
    field_path: str = ""

    def keywords(self) -> dict[str, Any]:
        """The rule as it stands in a CRD."""
        rule = {"rule": self.rule, "message": self.message}
        return {RULES: [{**rule, "fieldPath": self.field_path} if self.field_path else rule]}


@dataclass(frozen=True)
class ListMap(SchemaMark):
    """Marks a list as a map keyed by these fields (`x-kubernetes-list-type: map`)."""

    keys: tuple[str, ...]

    def keywords(self) -> dict[str, Any]:
        """The list type and its keys."""
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(self.keys)}


@dataclass(frozen=True)
class ListSet(SchemaMark):
    """Marks a list of scalars as a set (`x-kubernetes-list-type: set`): duplicates are refused."""

    def keywords(self) -> dict[str, Any]:
        """The list type."""
        return {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True)
class PreserveUnknown(SchemaMark):
    """Marks an object whose fields the API server must keep as they are (a pod template)."""

    def keywords(self) -> dict[str, Any]:
        """The mark that turns pruning off."""
        return {"x-kubernetes-preserve-unknown-fields": True}


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's hook: the model's schema with its `cel_rules`."""
        schema = handler(core)
        rules = [rule for cel in cls.cel_rules for rule in cel.keywords()[RULES]]
        if rules:
            # Through the reference: pydantic keeps the schema of a model once, under $defs.
            handler.resolve_ref_schema(schema)[RULES] = rules
        return schema

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


NAME_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
NAME_MESSAGE = "must be the name of an object: lower case letters, digits and '-', at most 63 characters"


def _check_name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(NAME_MESSAGE)
    return value


ObjectName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    AfterValidator(_check_name),
    Cel(f"self.matches('{NAME_PATTERN}')", NAME_MESSAGE),
]
"""The name of another object."""

ShortText = Annotated[str, StringConstraints(max_length=1024)]
"""A sentence for a person."""
