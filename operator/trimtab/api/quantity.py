"""Kubernetes quantities and durations: parsing, printing, and the typed fields that the resources use.

Both are strings in YAML (`"0.526"`, `"250m"`, `"1h30m"`) and plain numbers in Python. The unit is in the field's name.
"""

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from trimtab.api.schema import Cel

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"), "P": Decimal("1e15"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip
_QUANTITY = re.compile(r"^([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(n|u|m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")
_DURATION = re.compile(r"^(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?$")


def parse_quantity(value: Any) -> float:
    """Parse a Kubernetes quantity (`2`, `"0.5"`, `"250m"`, `"1.5Gi"`) into a float.

    Raises:
        ValueError: when the text is not a quantity; the message says what one looks like.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a quantity; write for example "2", "0.5", "250m" or "1.5Gi"')
    try:
        return float(Decimal(match[1]) * _SUFFIXES[match[2] or ""])
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is not a number") from error


def format_quantity(value: float) -> str:
    """Print a number as a plain decimal that parses to the same float again."""
    text = repr(float(value))
    return format(Decimal(text), "f") if "e" in text else text.removesuffix(".0")


def format_measured(value: float) -> str:
    """Print a figure with six decimals at most: a micro-unit is finer than anything that is measured here."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def parse_duration(value: Any) -> timedelta:
    """Parse `"90s"`, `"15m"`, `"1h30m"`.

    Raises:
        ValueError: when the text is not such a duration.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(f'{value!r} is not a duration; write for example "90s", "15m" or "1h30m"')
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Print a duration as `1h30m5s`, leaving out what is zero."""
    seconds = round(value.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n]
    return "".join(parts) or "0s"


def _quantity_schema() -> dict[str, Any]:
    return {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 32,
    }


_NOT_NEGATIVE = (
    "type(self) == int ? self >= 0 : (isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0)",
    'must be a number that is not negative, such as 2, "0.5" or "250m"',
)
_POSITIVE = (
    "type(self) == int ? self > 0 : (isQuantity(self) && quantity(self).compareTo(quantity('0')) > 0)",
    'must be a number above zero, such as 2, "0.5" or "250m"',
)
_FRACTION = (
    "type(self) == int ? (self >= 0 && self <= 1) : (isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0"
    " && quantity(self).compareTo(quantity('1')) <= 0)",
    'must be a share between 0 and 1, such as "0.95"',
)
_SERIALIZER = PlainSerializer(format_quantity, return_type=str)

Amount = Annotated[
    float,
    BeforeValidator(parse_quantity),
    _SERIALIZER,
    WithJsonSchema(_quantity_schema()),
    Cel(*_NOT_NEGATIVE),
]
"""A number that is not negative; its unit is in the field's name."""

PositiveAmount = Annotated[
    float, BeforeValidator(parse_quantity), _SERIALIZER, WithJsonSchema(_quantity_schema()), Cel(*_POSITIVE)
]
"""A number above zero."""

Fraction = Annotated[
    float, BeforeValidator(parse_quantity), _SERIALIZER, WithJsonSchema(_quantity_schema()), Cel(*_FRACTION)
]
"""A share between 0 and 1, such as an accuracy."""

Measured = Annotated[
    float,
    BeforeValidator(parse_quantity),
    PlainSerializer(format_measured, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 32}),
]
"""A figure in status, printed as a decimal string (the API conventions allow no floats)."""

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 16}),
    Cel(
        "self.matches('^([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && self != ''",
        'must be a duration such as "90s", "15m" or "1h30m"',
    ),
]
"""A span of time, such as `90s` or `1h30m`."""
