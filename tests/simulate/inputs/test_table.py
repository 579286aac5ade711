"""A CSV file is read strictly: each kind of mistake is found where it is, and said with what would be right."""

import csv
import gzip
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.simulate.inputs.table import Column, InputError, count, non_negative, number, positive, read_table, text

JOBS = (Column("arrival", non_negative), Column("length", positive), Column("cpus", count, aliases=("gpus",)))
GOOD = "arrival,length,cpus\n0,1.5,1\n2,3,4\n"


def write(folder: Path, content: str | bytes, name: str = "jobs.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        GOOD + "\n\n",
        "\ufeff" + GOOD,
        GOOD.replace("cpus", "gpus"),
        "cpus, length ,arrival\n1, 1.5 ,0\n4.0,3,2e0\n",
        'arrival,length,cpus\n"0","1.5","1"\n2,3,4\n',
    ],
    ids=["plain", "crlf", "no last line end", "blank lines at the end", "bom", "alias", "other order", "quoted"],
)
def test_what_means_the_same_is_read_the_same(tmp_path: Path, content: str) -> None:
    table = read_table(write(tmp_path, content), JOBS)
    assert [table.column(column.name) for column in JOBS] == [[0, 2], [1.5, 3], [1, 4]]
    assert [table.line(row) for row in range(len(table))] == [2, 3]
    assert all(type(value) is int for value in table.column("cpus"))


def test_a_gzip_file_is_unpacked(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, gzip.compress(GOOD.encode()), "jobs.csv.gz"), JOBS)
    assert table.column("length") == [1.5, 3]


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        ("", "1:1", "empty; the first line must name the columns"),
        ("\n\n", "1:1", "empty"),
        ("arrival,length,cpus\n", "1:1", "no row below the header; add the data"),
        ("arrival,length\n0,1\n", "1:2", "column 'cpus' (or 'gpus') is missing; the header has 'arrival', 'length'"),
        ("arrival;length;cpus\n0;1;1\n", "1:1", "separate the fields by commas"),
        ("0,1.5,1\n2,3,4\n", "1:3", "the first line must name the columns"),
        ("arrival,length,cpus,colour\n0,1,1,red\n", "1:4", "column 'colour' is unknown; the columns are 'arrival'"),
        ("arrival,length,cpus,cpus\n0,1,1,1\n", "1:4", "column 'cpus' is there twice; keep one"),
        ("arrival,length,cpus,gpus\n0,1,1,1\n", "1:4", "columns 'cpus', 'gpus' mean the same; keep one"),
        ("arrival,length,cpus,\n0,1,1,1\n", "1:4", "a column has no name; name it"),
        ("arrival,length,cpus\n0,1,1\n0,1\n", "3:3", "the line has 2 fields; the header has 3"),
        ("arrival,length,cpus\n0,1,1,9\n", "2:4", "the line has 4 fields; the header has 3"),
        ("arrival,length,cpus\n0,1,1\n\n0,1,1\n", "3:1", "the line is empty; the header has 3"),
        ("arrival,length,cpus\n0,nan,1\n", "2:2", "length: 'nan' is not a number; write a finite number"),
        ("arrival,length,cpus\n0,1,1\ninf,1,1\n", "3:1", "arrival: 'inf' is not a number"),
        ("arrival,length,cpus\n0,1e999,1\n", "2:2", "length: '1e999' is not a number"),
        ("arrival,length,cpus\n0,1_000,1\n", "2:2", "length: '1_000' is not a number"),
        ("arrival,length,cpus\n-1,1,1\n", "2:1", "arrival: -1 is negative; write 0 or more"),
        ("arrival,length,cpus\n0,0,1\n", "2:2", "length: 0 is not above 0; write a number above 0"),
        ("arrival,length,cpus\n0,2h,1\n", "2:2", "length: '2h' is not a number"),
        ("arrival,length,cpus\n0,,1\n", "2:2", "length: the value is missing; write a number"),
        ("arrival,length,cpus\n0,1,1.5\n", "2:3", "cpus: 1.5 is not a whole number; write 0, 1, 2"),
        ('arrival,length,cpus\n"0,1,1\n', "2:1", "this is no CSV"),
        ('arrival,length,cpus\n"0"x,1,1\n', "2:1", "this is no CSV"),
        ("arrival,length,cpus\n0,1\0,1\n", "2:2", "length: '1\\x00' is not a number"),
        (b"arrival,length,cpus\n0,1,1\n0,\xff,1\n", "3:2", "byte 0xff is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_mistake_is_said_with_its_place(tmp_path: Path, content: str | bytes, place: str, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_table(path, JOBS)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert said in caught.value.message
    assert (caught.value.path, f"{caught.value.line}:{caught.value.column}") == (path, place)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: cannot read the file: No such file"):
        read_table(tmp_path / "none.csv", JOBS)
    with pytest.raises(InputError, match="cannot read the file: Is a directory"):
        read_table(tmp_path, JOBS)


@pytest.mark.parametrize("content", [b"arrival", gzip.compress(GOOD.encode())[:-6], b"\x1f\x8b\x08\0\0\0\0\0\0\0xxxx"])
def test_a_broken_gzip_file_is_said(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="cannot unpack the file"):
        read_table(write(tmp_path, content, "jobs.csv.gz"), JOBS)


def test_a_column_may_be_left_out_or_unknown_where_that_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival,colour\n1,red\n")
    columns = [Column("arrival", number), Column("name", text, required=False)]
    table = read_table(path, columns, allow_unknown=True)
    assert (table.column("arrival"), table.has("name"), table.header) == ([1], False, ("arrival", "colour"))
    with pytest.raises(KeyError):
        table.column("name")


def test_the_first_ten_problems_are_reported_together_in_order(tmp_path: Path) -> None:
    rows = "".join("nan,-1,1\n" for _ in range(8))
    with pytest.raises(InputError) as caught:
        read_table(write(tmp_path, "arrival,length,cpus\n" + rows), JOBS)
    lines = str(caught.value).splitlines()
    places = [line.split("jobs.csv:")[1][:3] for line in lines[:10]]
    assert places == ["2:1", "2:2", "3:1", "3:2", "4:1", "4:2", "5:1", "5:2", "6:1", "6:2"]
    assert lines[10].endswith("jobs.csv: and 6 more")
    assert len(lines) == 11


def test_a_reader_says_its_own_mistakes_with_the_place(tmp_path: Path) -> None:
    path = write(tmp_path, 'name,length\n"two\nlines",1\nb,2\n')
    table = read_table(path, [Column("name", text), Column("length", number)])
    assert [table.line(0), table.line(1)] == [2, 4]
    assert str(table.error(1, "length", "too long; write less")) == f"{path}:4:2: length: too long; write less"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_as_it_was_written(value: float) -> None:
    assert number(repr(value)) == value


@given(st.text(max_size=12))
def test_a_parser_gives_a_finite_number_or_says_what_is_wrong(value: str) -> None:
    try:
        parsed = number(value)
    except ValueError as error:
        said, parsed = str(error), 0.0
    else:
        said = ""
    assert math.isfinite(parsed)
    assert "; write" in said or value.isascii()


FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=8)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple]) -> None:
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), sheet.getvalue())
    table = read_table(path, [Column("a", str), Column("b", str)])
    assert list(zip(table.column("a"), table.column("b"), strict=True)) == [(a.strip(), b.strip()) for a, b in rows]
