"""An entry point's configuration: JSON in one environment variable, checked by a pydantic model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

ENVIRONMENT_VARIABLE = "TRIMTAB_CONFIG"


class ConfigError(Exception):
    """The configuration cannot be used. The message is one line, names the field and says what would be right."""

    reason = ""
    """A word in CamelCase for who reads the result by program; empty where the message says all."""


class WorkloadConfig(BaseModel):
    """Base of every configuration: camelCase in JSON, unknown fields refused, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, protected_namespaces=()
    )


C = TypeVar("C", bound=WorkloadConfig)


def load_config(model: type[C], environment: Mapping[str, str] | None = None) -> C:
    """Reads the configuration of an entry point.

    Args:
        model: The configuration's type.
        environment: Where to look for `TRIMTAB_CONFIG`; the process's own environment unless told.

    Raises:
        ConfigError: It is missing, is not JSON, or a field is wrong.
    """
    text = (os.environ if environment is None else environment).get(ENVIRONMENT_VARIABLE)
    if not text:
        raise ConfigError(f"{ENVIRONMENT_VARIABLE} is not set; it must hold the configuration as a JSON object")
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{ENVIRONMENT_VARIABLE}: {one_line(error)}") from error


def one_line(error: ValidationError) -> str:
    """All of a validation's complaints on one line: `field: what is wrong (got value)`, joined by `; `."""
    parts = []
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "(document)"
        value = repr(item["input"])
        got = f" (got {value})" if len(value) <= 60 and item["type"] != "missing" else ""
        parts.append(f"{field}: {item['msg']}{got}".replace("\n", " "))
    return "; ".join(parts)
