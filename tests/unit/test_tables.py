"""Tables of the package and the files that people put over them."""

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.tables import TableError, load, override_path
from trimtab.tables.reader import overlay, parse

PRICES = 'type,usd_per_hour,note\nsmall,0.5,"cheap, slow"\nlarge,2,\n'


def test_a_row_is_found_by_its_key() -> None:
    table = parse(PRICES, "prices.csv")
    row = table.find("small")
    assert row is not None
    assert row.number("usd_per_hour") == 0.5
    assert row.text("note") == "cheap, slow"
    assert table.find("huge") is None
    assert len(table) == 2


def test_key_of_several_columns() -> None:
    table = parse("provider,region,grams\naws,west,1\ngcp,west,2\n", "r.csv", ("provider", "region"))
    assert [row.number("grams") for row in (table.find("aws", "west"), table.find("gcp", "west")) if row] == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv: is empty"),
        ("a,a\n1,2\n", "t.csv line 1: column 'a' is named twice"),
        ("a,\n1,2\n", "t.csv line 1: column 2 has no name"),
        ("a,b\n1\n", "t.csv line 2: has 1 cells, the header names 2 columns ('a', 'b')"),
        ("a,b\n\n,2\n", "t.csv line 3, column 'a': is empty"),
        ("a,b\n1,2\n# ours\n1,3\n", "t.csv line 4: '1' stands on an earlier line already"),
        ('a,b\n1,"2\n', "t.csv line 2: not CSV"),
    ],
)
def test_errors_name_file_line_and_column(text: str, said: str) -> None:
    with pytest.raises(TableError) as caught:
        parse(text, "t.csv")
    assert said in str(caught.value)


@pytest.mark.parametrize("cell", ["", "much", "nan", "inf", "-1", "11"])
def test_a_number_is_checked_where_it_is_read(cell: str) -> None:
    row = parse(f"a,b\nx,{cell}\n", "t.csv").find("x")
    assert row is not None
    with pytest.raises(TableError, match=r"t\.csv line 2, column 'b': .* is not a number from 0 to 10"):
        row.number("b", highest=10)


def test_an_override_replaces_adds_and_keeps() -> None:
    table = overlay(parse(PRICES, "prices.csv"), "usd_per_hour,type\n0.4,small\n9,huge\n", "mine.csv")
    assert {row.text("type"): row.number("usd_per_hour") for row in table} == {"small": 0.4, "large": 2.0, "huge": 9.0}
    small, huge = table.find("small"), table.find("huge")
    assert small is not None
    assert huge is not None
    assert small.text("note") == "cheap, slow"
    assert huge.place("note") == "mine.csv line 3, column 'note'"
    assert small.place("usd_per_hour") == "mine.csv line 2, column 'usd_per_hour'"
    assert small.place("note") == "prices.csv line 2, column 'note'"


def test_an_override_with_an_unknown_column_is_refused() -> None:
    with pytest.raises(TableError, match=r"mine\.csv, header line: column 'price' is not known; columns are 'type'"):
        overlay(parse(PRICES, "prices.csv"), "type,price\nsmall,1\n", "mine.csv")


_CELL = st.text(alphabet="abc12,\"' .-", max_size=6)


@given(st.lists(st.tuples(st.text(alphabet="xyz", min_size=1, max_size=2), _CELL), unique_by=lambda row: row[0]))
def test_what_an_override_says_is_what_is_read(rows: list[tuple[str, str]]) -> None:
    quoted = "".join('{},"{}"\n'.format(name, note.replace('"', '""')) for name, note in rows)
    table = overlay(parse("type,note\nx,below\n", "t.csv"), "type,note\n" + quoted, "mine.csv")
    said = {"x": "below"} | {name: note.strip() for name, note in rows if note.strip()}
    assert {row.text("type"): row.cells["note"] for row in table if row.cells["note"]} == said


def test_an_override_file_is_optional_and_strict(tmp_path: Path) -> None:
    assert override_path("", "intensity_by_country") is None
    path = override_path(tmp_path, "intensity_by_country")
    assert path is not None
    packaged = load("intensity_by_country", path)
    assert packaged.find("ES") is not None
    path.write_bytes(b"\xff")
    with pytest.raises(TableError, match="cannot be read as text in UTF-8"):
        load("intensity_by_country", path)
    path.write_text("country,grams_per_kwh\nES,12\n")
    spain = load("intensity_by_country", path).find("ES")
    assert spain is not None
    assert spain.number("grams_per_kwh") == 12


def test_every_table_of_the_package_has_its_source() -> None:
    files = {entry.name: entry for entry in resources.files("trimtab.tables").iterdir()}
    for name in (name for name in files if name.endswith(".csv")):
        source = files.get(name.removesuffix(".csv") + ".SOURCE.txt")
        assert source is not None, f"{name} has no SOURCE.txt"
        text = source.read_text(encoding="utf-8").lower()
        assert "repository:" in text
        assert "licence:" in text
