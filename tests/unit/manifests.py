"""Hypothesis strategies for valid manifests, made from the generated CRDs: what the API server lets through."""

import string
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hypothesis import strategies as st

from trimtab.api.crd import generate
from trimtab.api.schema import RULES, Kind

_LETTERS = string.ascii_lowercase + string.digits
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
DIGITS = st.integers(0, 999_999_999).map(str)
SUFFIXES = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2"]
)


@st.composite
def quantities(draw: st.DrawFn, signs: tuple[str, ...] = ("",)) -> str:
    """Every way to write a Kubernetes quantity."""
    whole, part = draw(DIGITS), draw(DIGITS)
    number = draw(st.sampled_from([whole, f"{whole}.", f"{whole}.{part}", f".{part}"]))
    return draw(st.sampled_from(signs)) + number + draw(SUFFIXES)


@st.composite
def durations(draw: st.DrawFn) -> str:
    """Every way to write a duration, zero among them."""
    parts = [("h", 99_999), ("m", 9_999_999), ("s", 999_999_999)]
    chosen = draw(st.lists(st.sampled_from(parts), min_size=1, unique=True).map(sorted))
    chosen.sort(key=lambda part: "hms".index(part[0]))
    return "".join(f"{draw(st.integers(0, most))}{unit}" for unit, most in chosen)


def _positive(text: str) -> bool:
    return any(digit in text.split("e")[0].split("E")[0] for digit in "123456789")


_BY_MESSAGE: dict[str, st.SearchStrategy[Any]] = {
    "must be a number that is not negative": st.one_of(st.integers(0, 2**53), quantities()),
    "must be a number above zero": st.one_of(st.integers(1, 2**53), quantities().filter(_positive)),
    "must be a share between 0 and 1": st.one_of(
        st.integers(0, 1), st.decimals(0, 1, places=4).map(str), st.integers(0, 1000).map("{}m".format)
    ),
    "must be a memory size": st.one_of(
        st.integers(2**26, 2**53), st.integers(64, 9999).map("{}Mi".format), st.sampled_from(["0.5Gi", "1e9", "70M"])
    ),
    "must be a duration such": durations(),
    "must be a duration above": durations().filter(_positive),
    "must be an IANA time zone": st.sampled_from(["UTC", "Europe/Madrid", "America/New_York", "Asia/Kathmandu"]),
    "must be a time of day": st.times().map("{:%H:%M}".format),
    "must be an OCI image by digest": st.just(f"registry.example.com/ml/digits@sha256:{'0' * 64}"),
    "must be a URL": st.sampled_from(["http://sdk.carbon:80", "https://api.example.com/v3", "http://127.0.0.1:8080/"]),
    "must be an ISO 3166-1 code": st.sampled_from(["ES", "ESP"]),
    "must be <provider>/<region>": st.sampled_from(["aws/eu-west-1", "azure/westeurope", "gcp/us-central1"]),
    "must be a name": NAMES,
    "must be the name": NAMES,
}


@cache
def manifests(kind: Kind, part: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any `spec` or `status` that fits the schema, leaving aside rules that span several fields."""
    schema = generate(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return _value(schema["properties"][part])


def _value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    for rule in schema.get(RULES, ()):
        for start, strategy in _BY_MESSAGE.items():
            if rule["message"].startswith(start):
                return strategy
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _OF_TYPE[schema["type"]](schema)


def _text(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        moments = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
        return moments.map(lambda moment: moment.isoformat().replace("+00:00", "Z"))
    if schema.get("maxLength") == 32 and "minLength" not in schema:  # A figure in status.
        return st.decimals(0, 10**9, places=6).map(str)
    return st.text(_LETTERS, min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 20))


def _integer(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(int(schema.get("minimum", 0)), int(schema.get("maximum", 2**53)))


def _array(schema: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    keys = schema.get("x-kubernetes-list-map-keys")
    unique = None
    if keys:
        # A key that is left out has its default.
        fields = schema["items"]["properties"]
        unique = lambda item: tuple(item.get(key, fields[key].get("default")) for key in keys)  # noqa: E731
    elif schema["x-kubernetes-list-type"] == "set":
        unique = lambda item: item  # noqa: E731
    return st.lists(
        _value(schema["items"]),
        min_size=schema.get("minItems", 0),
        max_size=min(schema.get("maxItems", 3), 3),
        unique_by=unique,
    )


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return st.fixed_dictionaries({"spec": st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.booleans()))})
    if "additionalProperties" in schema:
        return st.dictionaries(
            NAMES, _value(schema["additionalProperties"]), min_size=schema.get("minProperties", 0), max_size=3
        )
    required = schema.get("required", ())
    fields = {name: _value(field) for name, field in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


_OF_TYPE = {
    "string": _text,
    "integer": _integer,
    "boolean": lambda schema: st.booleans(),
    "array": _array,
    "object": _object,
}
