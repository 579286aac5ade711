"""Strict reading of CSV files: what is wrong is said with file, line and column, and nothing is filled in."""

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")

MAX_PROBLEMS = 10
"""How many problems of a file are reported together: enough to see a pattern, few enough to read."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""What Python's `float` takes, without its underscores, digits of other scripts, `nan` and `inf`."""


class InputError(ValueError):
    """A file of input is wrong. The text is `FILE:LINE:COLUMN: what is wrong; what would be right`.

    Attributes:
        path: The file.
        line: Line in the file, from 1; 0 when the file as a whole is meant.
        column: Number of the field in the line, from 1; 0 when the line or the file as a whole is meant.
        message: The text without its place.
    """

    def __init__(self, path: Path, line: int, column: int, message: str) -> None:
        self.path = path
        self.line = line
        self.column = column
        self.message = message
        super().__init__(f"{path}:{line}:{column}: {message}" if line else f"{path}: {message}")

    @classmethod
    def together(cls, problems: Sequence["InputError"]) -> "InputError":
        """One error that reports the first problems (at most `MAX_PROBLEMS`), one a line, and how many more there are.

        Args:
            problems: At least one, in the order in which they are to be said.
        """
        first = problems[0]
        if len(problems) == 1:
            return first
        lines = [first.message, *(str(problem) for problem in problems[1:MAX_PROBLEMS])]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{first.path}: and {len(problems) - MAX_PROBLEMS} more")
        return cls(first.path, first.line, first.column, "\n".join(lines))


def number(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: The text is none; says what would be right.
    """
    if not text:
        raise ValueError("the value is missing; write a number")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number; write a finite number such as 12.5")
    return value


def non_negative(text: str) -> float:
    """A finite number of 0 or more.

    Raises:
        ValueError: The text is none; says what would be right.
    """
    value = number(text)
    if value < 0:
        raise ValueError(f"{text} is negative; write 0 or more")
    return value


def positive(text: str) -> float:
    """A finite number above 0.

    Raises:
        ValueError: The text is none; says what would be right.
    """
    value = number(text)
    if value <= 0:
        raise ValueError(f"{text} is not above 0; write a number above 0")
    return value


def count(text: str) -> int:
    """A whole number of 0 or more; `3.0` is one too, since tools that know only floats write counts so.

    Raises:
        ValueError: The text is none; says what would be right.
    """
    value = non_negative(text)
    if value != int(value):
        raise ValueError(f"{text} is not a whole number; write 0, 1, 2, ...")
    return int(value)


def text(value: str) -> str:
    """A text that is not empty.

    Raises:
        ValueError: It is empty.
    """
    if not value:
        raise ValueError("the value is missing; write a text")
    return value


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column that a table has or may have."""

    name: str
    """Its name in the header, and its name for `Table.column`."""
    parse: Callable[[str], T]
    """Makes a value of a field's text (blanks around it cut); raises ValueError with what would be right."""
    required: bool = True
    """Whether a file without it is refused."""
    aliases: tuple[str, ...] = ()
    """Other names that a header may give it."""


@dataclass(frozen=True)
class Table:
    """The parsed rows of a file."""

    path: Path
    header: tuple[str, ...]
    """All names in the file's header, those that were not asked for included."""
    lines: tuple[int, ...]
    """Line in the file of each row."""
    values: dict[str, list[Any]]
    """Values by column, by the names that were asked for."""
    places: dict[str, int]
    """Number of the field, from 1, by the names that were asked for."""

    def __len__(self) -> int:
        return len(self.lines)

    def has(self, name: str) -> bool:
        """Whether the file has the column: one that is not required may be missing."""
        return name in self.values

    def column(self, name: str) -> list[Any]:
        """The values of a column, one a row.

        Raises:
            KeyError: The file has no such column (ask `has`), or it was not asked for.
        """
        return self.values[name]

    def line(self, row: int) -> int:
        """Line in the file of a row (row 0 is the first below the header)."""
        return self.lines[row]

    def error(self, row: int, name: str, message: str) -> InputError:
        """An error about a value, to raise or to collect for `InputError.together`."""
        return InputError(self.path, self.lines[row], self.places.get(name, 0), f"{name}: {message}")


@dataclass(frozen=True)
class Sheet:
    """The fields of a CSV file as texts: a header, and rows that are all as long as it is."""

    path: Path
    header: tuple[str, ...]
    header_line: int
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def parse(self, columns: Sequence[Column[Any]], *, allow_unknown: bool = False) -> Table:
        """Parse the columns that are asked for.

        Raises:
            InputError: A required column is missing, a column is unknown (unless `allow_unknown`), or values are
                wrong: the first ten are reported together.
        """
        places = self._places(columns, allow_unknown)
        values: dict[str, list[Any]] = {name: [] for name in places}
        problems: list[InputError] = []
        for column in columns:
            if column.name not in places:
                continue
            place = places[column.name]
            parsed, parse = values[column.name], column.parse
            for line, row in zip(self.lines, self.rows, strict=True):
                try:
                    parsed.append(parse(row[place].strip()))
                except ValueError as error:
                    problems.append(InputError(self.path, line, place + 1, f"{self.header[place]}: {error}"))
        if problems:
            raise InputError.together(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        at = {name: place + 1 for name, place in places.items()}
        return Table(self.path, self.header, self.lines, values, at)

    def _places(self, columns: Sequence[Column[Any]], allow_unknown: bool) -> dict[str, int]:
        problems = []
        places = {}
        for column in columns:
            found = [name for name in (column.name, *column.aliases) if name in self.header]
            if len(found) > 1:
                message = f"columns {_listed(found)} mean the same; keep one of them"
                problems.append(self._header_error(self.header.index(found[1]) + 1, message))
            elif found:
                places[column.name] = self.header.index(found[0])
            elif column.required:
                problems.append(self._header_error(len(self.header), self._missing(column)))
        if not allow_unknown:
            known = set(places.values())
            expected = _listed(column.name for column in columns)
            for place, name in enumerate(self.header):
                if place not in known and not problems:
                    message = f"column {name!r} is unknown; the columns are {expected}"
                    problems.append(self._header_error(place + 1, message))
        if problems:
            raise InputError.together(problems)
        return places

    def _missing(self, column: Column[Any]) -> str:
        also = f" (or {_listed(column.aliases)})" if column.aliases else ""
        message = f"column {column.name!r}{also} is missing; the header has {_listed(self.header)}"
        if len(self.header) == 1 and any(mark in self.header[0] for mark in ";\t|"):
            return f"{message}: separate the fields by commas"
        if all(_NUMBER.fullmatch(name) for name in self.header):
            return f"{message}: the first line must name the columns"
        return message

    def _header_error(self, column: int, message: str) -> InputError:
        return InputError(self.path, self.header_line, column, message)


def read_sheet(path: Path) -> Sheet:
    """Read a CSV file (gzip when its name ends in `.gz`), UTF-8 with or without a byte order mark, any line ends.

    Raises:
        InputError: It cannot be read, is empty, has no row, or is no well-formed CSV with as many fields in each row
            as the header has.
    """
    content = read_text(path)
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    end = 0
    try:
        for fields in reader:
            # A quoted field may hold line ends: a row's line is the one where it begins.
            rows.append(tuple(fields))
            lines.append(end + 1)
            end = reader.line_num
    except csv.Error as error:
        raise InputError(path, reader.line_num, 1, f'this is no CSV: {error}; quote fields with "..."') from error
    while rows and not rows[-1]:
        rows.pop(), lines.pop()
    if not rows:
        raise InputError(path, 1, 1, "the file is empty; the first line must name the columns, the data follow")
    header = tuple(name.strip() for name in rows[0])
    _check_shape(path, header, rows, lines)
    return Sheet(path, header, lines[0], tuple(rows[1:]), tuple(lines[1:]))


def read_table(path: Path, columns: Sequence[Column[Any]], *, allow_unknown: bool = False) -> Table:
    """Read a CSV file strictly.

    Args:
        path: A `.csv` or `.csv.gz` file whose first line names the columns.
        columns: What it has to have or may have, in any order.
        allow_unknown: Whether it may have other columns, which are then left alone.

    Raises:
        InputError: The file or something in it is wrong; the first ten problems are reported together.
    """
    return read_sheet(path).parse(columns, allow_unknown=allow_unknown)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without its byte order mark; unpacked when its name ends in `.gz`.

    Raises:
        InputError: It cannot be read or unpacked, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, 0, 0, f"cannot read the file: {error.strerror}; give the path of a CSV file") from error
    if path.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(path, 0, 0, f"cannot unpack the file: {error}; give a whole gzip file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        byte = data[error.start]
        column = before[before.rfind(b"\n") + 1 :].count(b",") + 1
        raise InputError(path, line, column, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from error


def _check_shape(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]], lines: list[int]) -> None:
    problems = []
    for place, name in enumerate(header):
        if not name:
            problems.append(InputError(path, lines[0], place + 1, "a column has no name; name it in the header"))
        elif name in header[:place]:
            problems.append(InputError(path, lines[0], place + 1, f"column {name!r} is there twice; keep one of them"))
    for line, row in zip(lines[1:], rows[1:], strict=True):
        if len(row) != len(header):
            said = f"the line has {len(row)} fields" if row else "the line is empty"
            message = f"{said}; the header has {len(header)}: {_listed(header)}"
            problems.append(InputError(path, line, min(len(row), len(header)) + 1, message))
    if problems:
        raise InputError.together(problems)
    if len(rows) == 1:
        raise InputError(path, lines[0], 1, "there is no row below the header; add the data")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
