"""From a pydantic model to a structural OpenAPI v3 schema, the dialect that CRDs are written in.

Pydantic does the typing; this takes out what the API server refuses (references, titles, null types) and puts in
what it wants (list types). Pure and deterministic.
"""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from trimtab.api.quantity import format_duration, format_quantity
from trimtab.api.schema import HINT, RULES, ApiModel

Schema = dict[str, Any]

_KEPT = (
    "description", "type", "x-kubernetes-int-or-string", "format", "enum", "pattern", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "default", "required", "properties", "items",
    "additionalProperties", "anyOf", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields", RULES,
)  # fmt: skip
"""The keywords that may be in the result, in the order in which they are printed."""


class SchemaError(Exception):
    """A model cannot be made into a CRD; the message names the field and what is missing."""


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Print defaults as the fields print their values; a nested object's own fields bring their own defaults."""
        if isinstance(dft, BaseModel):
            if dft != type(dft)():
                raise SchemaError(
                    f"{type(dft).__name__}: as a default only its plain form {type(dft).__name__}() works"
                )
            return {}
        if isinstance(dft, float):
            return format_quantity(dft)
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return super().encode_default(dft)


def structural_schema(model: type[ApiModel], path: str, *, defaults: bool = True) -> Schema:
    """The structural schema of a model.

    Args:
        model: The model of a spec or status.
        path: Where the model stands (`TrainingWorkload.spec`), for error messages.
        defaults: Whether the API server shall fill in what is unset. Not wanted in status: it says what was written.

    Raises:
        SchemaError: A field has no description, or something that a structural schema cannot say.
    """
    schema = model.model_json_schema(schema_generator=_Generator, mode="validation")
    structure = _Structure(schema.pop("$defs", {}), defaults)
    result = structure.convert(schema, path)
    if structure.undescribed:
        raise SchemaError(f"no description; write a docstring under each field: {', '.join(structure.undescribed)}")
    return result


class _Structure:
    def __init__(self, definitions: dict[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults
        self.undescribed: list[str] = []

    def convert(self, schema: Schema, path: str, *, described: bool = True) -> Schema:
        flat = self._flatten(schema)
        flat.pop("title", None)
        if RULES in flat:
            flat.pop("pattern", None)  # The rule says the same, and what would be right.
        if "const" in flat:
            flat["enum"] = [flat.pop("const")]
        hint = flat.pop(HINT, "")
        if "description" in flat:
            flat["description"] = " ".join([*flat["description"].split(), *hint.split()])
        elif described:
            self.undescribed.append(path)
        if "properties" in flat:
            flat["properties"] = {
                name: self.convert(field, f"{path}.{name}") for name, field in flat["properties"].items()
            }
            flat.pop("additionalProperties", None)
        elif isinstance(flat.get("additionalProperties"), dict):
            flat["additionalProperties"] = self.convert(flat["additionalProperties"], f"{path}[*]", described=False)
        else:
            flat.pop("additionalProperties", None)
        if flat.get("type") == "array":
            flat["items"] = self.convert(flat["items"], f"{path}[]", described=False)
            flat.setdefault("x-kubernetes-list-type", "atomic")
        self._settle_default(flat)
        return _ordered(flat, path)

    def _flatten(self, schema: Schema) -> Schema:
        """Resolve a reference, a single allOf and a choice with null; what stands beside them wins."""
        outer = dict(schema)
        inner: Schema = {}
        if "$ref" in outer:
            inner = self._flatten(self._definitions[outer.pop("$ref").rsplit("/", 1)[1]])
        elif len(outer.get("allOf", ())) == 1:
            inner = self._flatten(outer.pop("allOf")[0])
        elif {"type": "null"} in outer.get("anyOf", ()):
            branches = [branch for branch in outer.pop("anyOf") if branch != {"type": "null"}]
            inner = self._flatten(branches[0]) if len(branches) == 1 else {"anyOf": branches}
        else:
            return outer
        rules = [*inner.get(RULES, ()), *outer.get(RULES, ())]
        return {**inner, **outer, **({RULES: rules} if rules else {})}

    def _settle_default(self, flat: Schema) -> None:
        """Keep the defaults that say something: an empty text or list filled in would only be noise in every object."""
        default = flat.get("default")
        if default == {} and any("default" in field for field in flat.get("properties", {}).values()):
            keep = True
        else:
            keep = default not in (None, "", [], {})
        if not (keep and self._defaults):
            flat.pop("default", None)


def _ordered(flat: Schema, path: str) -> Schema:
    if unknown := sorted(flat.keys() - set(_KEPT)):
        raise SchemaError(f"{path}: {', '.join(unknown)} cannot be said in a structural schema")
    return {keyword: flat[keyword] for keyword in _KEPT if keyword in flat}
