"""Kubernetes quantities and durations: parsing, printing, and the typed fields that the resources use.

Both are strings in YAML (`"0.526"`, `"250m"`, `"1h30m"`) and plain numbers in Python. The unit is in the field's name.
"""

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from trimtab.api.schema import HINT, Cel

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"),
    "T": Decimal("1e12"), "P": Decimal("1e15"), "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30),
    "Ti": Decimal(2**40), "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,9})|([numkMGTPE]|[KMGTPE]i))?", re.ASCII
)
_LARGEST, _SMALLEST = Decimal(2**63 - 1), Decimal("1e-9")
"""Bounds of a Kubernetes quantity: the API server takes what is larger or smaller for these."""
# Hours get two digits more than the CRD allows, for what minutes and seconds carry over when it is printed again.
_DURATION = re.compile(r"(?:([0-9]{1,7})h)?(?:([0-9]{1,7})m)?(?:([0-9]{1,9})s)?", re.ASCII)


def parse_quantity(value: Any) -> float:
    """Parse a Kubernetes quantity (`2`, `"0.5"`, `"250m"`, `"1.5Gi"`) into a float.

    Raises:
        ValueError: when the text is not a quantity; the message says what one looks like.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is not a quantity; write for example "2", "0.5", "250m" or "1.5Gi"')
    number = Decimal(match[1])
    # An exponent beyond this says no more than "largest" or "smallest", and Decimal need not compute it.
    exponent = max(-400, min(400, int(match[2] or 0)))
    size = abs(number) * Decimal(10) ** exponent * _SUFFIXES[match[3] or ""]
    if size:
        size = max(_SMALLEST, min(_LARGEST, size))
    return float(size.copy_sign(number))


def format_quantity(value: float) -> str:
    """Print a number as a plain decimal that parses to the same float again.

    Raises:
        ValueError: when it is not a finite number.
    """
    text = repr(_finite(float(value)))
    return format(Decimal(text), "f") if "e" in text else text.removesuffix(".0")


def format_measured(value: float) -> str:
    """Print a figure with six decimals at most: a micro-unit is finer than anything that is measured here."""
    return f"{_finite(value):.6f}".rstrip("0").rstrip(".")


class ExactSum(float):
    """A running sum that keeps every digit: a whole number of billionths of its unit, and its float for who reads it.

    A float alone holds some 16 digits: nine decimals of a sum in the millions would be lost, and with them that a sum
    is the same however it was added up.
    """

    __slots__ = ("nanos",)
    nanos: int

    @classmethod
    def of(cls, nanos: int) -> "ExactSum":
        """So many billionths of the unit."""
        exact = cls(nanos / 10**9)
        exact.nanos = nanos
        return exact

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: by what is exact."""
        return ExactSum.of, (self.nanos,)


def nanos_of(value: float) -> int:
    """A sum as a whole number of billionths: exactly what stands in status, or the nearest for a bare float."""
    return value.nanos if isinstance(value, ExactSum) else round(_finite(value) * 10**9)


def parse_sum(value: Any) -> ExactSum:
    """Parse a running sum; text keeps all its digits up to the ninth decimal.

    Raises:
        ValueError: when the text is not a quantity.
    """
    if isinstance(value, ExactSum):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) <= 64 else None
    if match is None or match[2] or match[3]:
        return ExactSum.of(nanos_of(parse_quantity(value)))
    whole, _, decimals = match[1].lstrip("+-").partition(".")
    nanos = int((whole or "0") + decimals[:9].ljust(9, "0"))
    return ExactSum.of(-nanos if match[1].startswith("-") else nanos)


def format_sum(value: float) -> str:
    """Print a running sum with nine decimals at most, none of them rounded away."""
    nanos = nanos_of(value)
    whole, decimals = divmod(abs(nanos), 10**9)
    return f"{'-' if nanos < 0 else ''}{whole}.{decimals:09d}".rstrip("0").rstrip(".")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no quantity: leave the figure out where it is not known")
    return value


def parse_duration(value: Any) -> timedelta:
    """Parse `"90s"`, `"15m"`, `"1h30m"` (at most five digits of hours, seven of minutes, nine of seconds).

    Raises:
        ValueError: when the text is not such a duration.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
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


_ZERO, _ONE = "quantity('0')", "quantity('1')"
_NUMBER = "quantity(string(self))"
_IS_NUMBER = "isQuantity(string(self))"
_DURATION_PATTERN = "^([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?$"


def _not_negative(value: float) -> float:
    if not value >= 0:
        raise ValueError(_NOT_NEGATIVE.message)
    return value


def _positive(value: float) -> float:
    if not value > 0:
        raise ValueError(_POSITIVE.message)
    return value


def _share(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(_FRACTION.message)
    return value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _memory(value: str) -> str:
    if parse_quantity(value) < 64 * 2**20:
        raise ValueError(_MEMORY.message)
    return value


def _some_time(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError(_SOME_TIME.message)
    return value


_NOT_NEGATIVE = Cel(
    f"{_IS_NUMBER} && {_NUMBER}.compareTo({_ZERO}) >= 0",
    'must be a number that is not negative, such as 2, "0.5" or "250m"',
)
_POSITIVE = Cel(
    f"{_IS_NUMBER} && {_NUMBER}.compareTo({_ZERO}) > 0",
    'must be a number above zero, such as 2, "0.5" or "250m"',
)
_FRACTION = Cel(
    f"{_IS_NUMBER} && {_NUMBER}.compareTo({_ZERO}) >= 0 && {_NUMBER}.compareTo({_ONE}) <= 0",
    'must be a share between 0 and 1, such as "0.95"',
)
_MEMORY = Cel(
    f"{_IS_NUMBER} && {_NUMBER}.compareTo(quantity('64Mi')) >= 0",
    'must be a memory size of at least 64Mi, such as "512Mi" or "2Gi"',
)
_TIME = Cel(
    f"type(self) == string && self != '' && self.matches('{_DURATION_PATTERN}')",
    'must be a duration such as "90s", "15m" or "1h30m"',
)
_SOME_TIME = Cel(
    f"type(self) == string && self.matches('{_DURATION_PATTERN}') && self.matches('[1-9]')",
    'must be a duration above zero, such as "90s", "15m" or "1h30m"',
)
# Durations and sizes of memory are int-or-string too: an integer then meets the rule, whose message says what would be
# right, and not a bare "must be of type string". kubectl explain shows no type for these, so the description tells.
_AMOUNT_SCHEMA = WithJsonSchema(
    {"x-kubernetes-int-or-string": True, "maxLength": 32, HINT: 'A number such as 2, "0.5" or "250m".'}
)
_SHARE_SCHEMA = WithJsonSchema(
    {"x-kubernetes-int-or-string": True, "maxLength": 32, HINT: 'A share between 0 and 1 such as "0.95".'}
)
_MEMORY_SCHEMA = WithJsonSchema(
    {"x-kubernetes-int-or-string": True, "maxLength": 16, HINT: 'A size such as "512Mi" or "2Gi".'}
)
_FIGURE_SCHEMA = WithJsonSchema({"type": "string", "maxLength": 32})
_DURATION_SCHEMA = WithJsonSchema(
    {"x-kubernetes-int-or-string": True, "maxLength": 24, HINT: 'A duration such as "90s", "15m" or "1h30m".'}
)
_NUMBER_PARSER = BeforeValidator(parse_quantity)
_NUMBER_PRINTER = PlainSerializer(format_quantity, return_type=str)
_DURATION_PARSER = BeforeValidator(parse_duration)
_DURATION_PRINTER = PlainSerializer(format_duration, return_type=str)

Amount = Annotated[float, _NUMBER_PARSER, AfterValidator(_not_negative), _NUMBER_PRINTER, _AMOUNT_SCHEMA, _NOT_NEGATIVE]
"""A number that is not negative; its unit is in the field's name."""

PositiveAmount = Annotated[float, _NUMBER_PARSER, AfterValidator(_positive), _NUMBER_PRINTER, _AMOUNT_SCHEMA, _POSITIVE]
"""A number above zero."""

Fraction = Annotated[float, _NUMBER_PARSER, AfterValidator(_share), _NUMBER_PRINTER, _SHARE_SCHEMA, _FRACTION]
"""A share between 0 and 1, such as an accuracy."""

Measured = Annotated[float, _NUMBER_PARSER, PlainSerializer(format_measured, return_type=str), _FIGURE_SCHEMA]
"""A figure in status, printed as a decimal string (the API conventions allow no floats)."""

MeasuredSum = Annotated[float, PlainValidator(parse_sum), PlainSerializer(format_sum, return_type=str), _FIGURE_SCHEMA]
"""A sum in status that grows by small steps: it keeps nine decimals whatever its size, so that nothing is rounded
away."""

MemorySize = Annotated[
    str, BeforeValidator(_text), Field(max_length=16), AfterValidator(_memory), _MEMORY_SCHEMA, _MEMORY
]
"""A size of memory, such as `512Mi`."""

Duration = Annotated[timedelta, _DURATION_PARSER, _DURATION_PRINTER, _DURATION_SCHEMA, _TIME]
"""A span of time, such as `90s` or `1h30m`; zero is allowed."""

PositiveDuration = Annotated[
    timedelta, _DURATION_PARSER, AfterValidator(_some_time), _DURATION_PRINTER, _DURATION_SCHEMA, _SOME_TIME
]
"""A span of time that is not zero."""
