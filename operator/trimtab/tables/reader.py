"""Reads tables: CSV that comes with the package, and CSV that people edit over it.

Errors name file, line and column.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path


class TableError(ValueError):
    """A table cannot be used; the message names file, line and column, and says what would be right."""


@dataclass(frozen=True)
class Row:
    """One entry of a table."""

    cells: Mapping[str, str]
    """Text by column, without blanks around it."""
    places: Mapping[str, str] = field(compare=False, repr=False)
    """By column where its text stands, such as `prices.csv line 7`: for errors."""

    def text(self, column: str) -> str:
        """The text of a column.

        Raises:
            TableError: when it is empty.
        """
        value = self.cells[column]
        if not value:
            raise TableError(f"{self.place(column)}: is empty; give a value")
        return value

    def number(self, column: str, lowest: float = 0.0, highest: float = math.inf) -> float:
        """The number in a column, in the unit that the column's name says.

        Raises:
            TableError: when it is none, or outside of `lowest` to `highest`.
        """
        text = self.cells[column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (lowest <= value <= highest and math.isfinite(value)):
            within = f"{lowest:g} or more" if math.isinf(highest) else f"from {lowest:g} to {highest:g}"
            raise TableError(f"{self.place(column)}: {text!r} is not a number {within}")
        return value

    def optional_number(self, column: str, lowest: float = 0.0, highest: float = math.inf) -> float | None:
        """The number in a column, or None where the cell is empty.

        Raises:
            TableError: as `number` does.
        """
        return self.number(column, lowest, highest) if self.cells[column] else None

    def place(self, column: str) -> str:
        """Where the column's text stands, as errors name it."""
        return f"{self.places[column]}, column {column!r}"


@dataclass(frozen=True)
class Table:
    """The rows of a table by their key, in the order of the file; those that an override adds come last."""

    name: str
    key: tuple[str, ...]
    """The columns that tell rows apart."""
    columns: tuple[str, ...]
    rows: Mapping[tuple[str, ...], Row]

    def find(self, *key: str) -> Row | None:
        """The row with this key (one text for each key column), or None."""
        return self.rows.get(key)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def __len__(self) -> int:
        return len(self.rows)


def load(name: str, override: Path | None = None, *, key: tuple[str, ...] = ()) -> Table:
    """A table of the package, with a file of a person's own over it.

    Args:
        name: The file's name in this package without `.csv`.
        override: A CSV file whose rows replace or are added; None or a path without a file means none.
        key: The columns that tell rows apart; the first column when empty.

    Raises:
        TableError: when a file cannot be read as such a table.
    """
    packaged = resources.files("trimtab.tables").joinpath(f"{name}.csv")
    table = parse(packaged.read_text(encoding="utf-8"), f"{name}.csv", key)
    if override is None or not override.exists():
        return table
    try:
        text = override.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{override}: cannot be read as text in UTF-8: {error}") from error
    return overlay(table, text, str(override))


def override_path(directory: str | Path, name: str) -> Path | None:
    """Where the override of a table is looked for: `<directory>/<name>.csv`; None without a directory."""
    return Path(directory) / f"{name}.csv" if str(directory) else None


def parse(text: str, file: str, key: tuple[str, ...] = ()) -> Table:
    """A table from CSV text.

    Args:
        text: The CSV: a header line, then one row a line.
        file: The file's name, for errors.
        key: The columns that tell rows apart; the first column when empty.

    Raises:
        TableError: when it is not CSV, a key column is missing, a row has no key or the key of another one.
    """
    lines = _lines(text, file)
    columns = _header(lines, file)
    key = key or columns[:1]
    for name in key:
        if name not in columns:
            raise TableError(f"{file}, header line: has no column {name!r}; its columns are {_listed(columns)}")
    rows: dict[tuple[str, ...], Row] = {}
    for line, cells in lines:
        row = _row(columns, cells, f"{file} line {line}")
        identity = tuple(row.text(name) for name in key)
        if identity in rows:
            raise TableError(f"{file} line {line}: {_listed(identity)} stands on an earlier line already; keep one")
        rows[identity] = row
    return Table(file.removesuffix(".csv"), key, columns, rows)


def overlay(table: Table, text: str, file: str) -> Table:
    """The table with the rows of an override; cells that it leaves out or empty keep what the table says.

    Raises:
        TableError: when the override is no table itself, or has a column that the table does not have.
    """
    over = parse(text, file, table.key)
    for name in over.columns:
        if name not in table.columns:
            raise TableError(f"{file}, header line: column {name!r} is not known; columns are {_listed(table.columns)}")
    rows = dict(table.rows)
    for identity, row in over.rows.items():
        below = rows.get(identity)
        cells = {name: "" for name in table.columns} if below is None else dict(below.cells)
        # A cell that a new row lacks is missing in the override's line: that is where a person has to look.
        at = next(iter(row.places.values()))
        places = dict.fromkeys(table.columns, at) if below is None else dict(below.places)
        for name, value in row.cells.items():
            if value:
                cells[name], places[name] = value, row.places[name]
        rows[identity] = Row(cells, places)
    return Table(table.name, table.key, table.columns, rows)


def _lines(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    # strict: a stray quote would otherwise swallow the rest of the file into one field.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not stripped[0].startswith("#"):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise TableError(f"{file} line {reader.line_num}: not CSV: {error}") from error


def _header(lines: Iterator[tuple[int, list[str]]], file: str) -> tuple[str, ...]:
    line, columns = next(lines, (0, []))
    if not columns:
        raise TableError(f"{file}: is empty; its first line names the columns")
    for index, name in enumerate(columns):
        if not name or name in columns[:index]:
            what = f"column {name!r} is named twice" if name else f"column {index + 1} has no name"
            raise TableError(f"{file} line {line}: {what}")
    return tuple(columns)


def _row(columns: tuple[str, ...], cells: list[str], place: str) -> Row:
    if len(cells) != len(columns):
        raise TableError(
            f"{place}: has {len(cells)} cells, the header names {len(columns)} columns ({_listed(columns)}); "
            "put a text that contains a comma into double quotes"
        )
    return Row(dict(zip(columns, cells, strict=True)), dict.fromkeys(columns, place))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)
