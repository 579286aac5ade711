"""Quantities and durations: what the API server takes can be read, and what is printed reads back as it was."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.manifests import durations, quantities
from trimtab.api.quantity import (
    format_duration,
    format_measured,
    format_quantity,
    format_sum,
    parse_duration,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0), ("2", 2.0), (2, 2.0), ("0.5", 0.5), ("250m", 0.25), ("-1.5k", -1500.0), ("+3", 3.0),
        ("1.5Gi", 1.5 * 2**30), ("5.", 5.0), (".5", 0.5), ("1e3", 1000.0), ("1E3", 1000.0), ("2E", 2e18),
        ("1Ei", 2.0**60), ("100n", 1e-7), ("1e-3", 0.001),
    ],
)  # fmt: skip
def test_quantity_is_read_as_kubernetes_reads_it(text, value) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("1e999999999", 2.0**63), ("-1e400", -(2.0**63)), ("1e-400", 1e-9), ("0e9", 0)]
)
def test_quantity_beyond_the_bounds_is_the_bound(text: str, value: float) -> None:
    assert parse_quantity(text) == pytest.approx(value)
    assert math.isfinite(parse_quantity(text))


@pytest.mark.parametrize("text", ["", "5GB", "1,5", "$5", "5 Gi", "ten", ".", "e3", "1e", "1kk", "٣", True, None, [1]])
def test_what_is_no_quantity_is_refused_with_an_example(text) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_quantity(text)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-(2.0**62), max_value=2.0**62))
def test_quantity_reads_back_as_printed(value: float) -> None:
    back = parse_quantity(format_quantity(value))
    assert back == value or (abs(value) < 1e-9 and abs(back) <= 1e-9)


@given(quantities(signs=("", "+", "-")))
def test_any_quantity_is_read_and_its_print_is_stable(text: str) -> None:
    value = parse_quantity(text)
    assert parse_quantity(format_quantity(value)) == value


@given(st.decimals(0, 10**9, places=6))
def test_figures_keep_six_decimals(value) -> None:
    assert parse_quantity(format_measured(float(value))) == float(value)


@given(st.decimals(0, 10**6, places=9))
def test_sums_keep_nine_decimals(value) -> None:
    assert parse_quantity(format_sum(float(value))) == float(value)


@pytest.mark.parametrize("printer", [format_quantity, format_measured, format_sum])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_known_is_never_printed(printer, value: float) -> None:
    with pytest.raises(ValueError, match="leave the figure out"):
        printer(value)


@given(st.integers(0, 99_999 * 3600))
def test_duration_reads_back_as_printed(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span


@given(durations())
def test_any_duration_is_read(text: str) -> None:
    assert parse_duration(text) >= timedelta(0)


@pytest.mark.parametrize("text", ["", "3 hours", "3", "-1h", "1m1h", "1.5h", "10000000h", "1d", "h", 3, None])
def test_what_is_no_duration_is_refused_with_an_example(text) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_duration(text)
