"""A carbon trace in CSV, read and checked. Pure."""

import csv
import io
import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

from trimtab.api.carbon import TraceConfigMap

MOST_GRAMS_PER_KWH = 5000.0
"""No grid is dirtier: a figure above it is in another unit."""


class TraceError(ValueError):
    """A trace that cannot be used; the message says where it is wrong and what would be right."""


@dataclass(frozen=True)
class Trace:
    """Intensities in order of time; each holds until the next begins."""

    starts: tuple[datetime, ...]
    grams_per_kwh: tuple[float, ...]
    step: timedelta
    """Usual length of an interval (an hour, mostly): the last one ends after it."""

    @property
    def end(self) -> datetime:
        """Where the last interval ends."""
        return self.starts[-1] + self.step

    def index_at(self, at: datetime) -> int:
        """The interval that an instant is in; -1 before the first."""
        return bisect_right(self.starts, at) - 1


def parse_trace(text: str, columns: TraceConfigMap) -> Trace:
    """Read a trace. Rows without a figure are passed over; an hour given twice takes its last figure.

    Raises:
        TraceError: when a column is missing, or a row cannot be read.
    """
    # strict: a stray quote would otherwise swallow the rest of the file into one field.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    points: dict[datetime, float] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        time_at, value_at = _column(header, columns.time_column), _column(header, columns.intensity_column)
        for row in reader:
            if len(row) <= max(time_at, value_at) or not row[value_at].strip():
                continue
            points[_time(row[time_at], reader.line_num)] = _grams(row[value_at], reader.line_num)
    except csv.Error as error:
        raise TraceError(f"line {reader.line_num}: not CSV: {error}") from error
    if not points:
        raise TraceError(f"has no row with a figure in the column {columns.intensity_column!r}")
    starts = tuple(sorted(points))
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    return Trace(starts, tuple(points[start] for start in starts), timedelta(seconds=median(gaps) if gaps else 3600.0))


def _column(header: list[str], name: str) -> int:
    if not any(header):
        raise TraceError("is empty; it must be CSV with a header line")
    if name.strip() not in header:
        raise TraceError(f"has no column {name!r}; its columns are {', '.join(repr(column) for column in header)}")
    return header.index(name.strip())


def _time(text: str, line: int) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise TraceError(f"line {line}: {text!r} is not a time; write for example 2022-01-31 13:00:00 (UTC)") from error


def _grams(text: str, line: int) -> float:
    try:
        grams = float(text)
    except ValueError:
        grams = math.nan
    if not 0.0 <= grams <= MOST_GRAMS_PER_KWH:
        raise TraceError(f"line {line}: {text!r} is not an intensity; it must be 0 to {MOST_GRAMS_PER_KWH:g} gCO2e/kWh")
    return grams
