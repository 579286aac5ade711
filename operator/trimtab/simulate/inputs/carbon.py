"""Carbon intensity of a grid, hour by hour, from the CSV files that Electricity Maps and others publish."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.table import Column, InputError, Sheet, Table, non_negative, read_sheet, text

FloatArray = npt.NDArray[np.float64]

DEFAULT_COLUMNS = ("Carbon Intensity gCO₂eq/kWh (LCA)", "Carbon intensity gCO₂eq/kWh (Life cycle)")
"""Life-cycle intensity in the exports of Electricity Maps: until 2024, and since."""

_ZONE = "Zone Id"
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class CarbonSeries:
    """Carbon intensity of one grid zone, hourly, without a gap."""

    zone: str
    """Name of the zone, as the file says it."""
    start: datetime | None
    """Beginning of the first hour (UTC); None for a series that has no date."""
    grams_per_kwh: FloatArray
    """Intensity (gCO2e/kWh), one value an hour."""


def read_carbon(path: Path, column: str | None = None) -> CarbonSeries:
    """Read an hourly series: the first column is the time (UTC), one of the others the intensity (g/kWh).

    Args:
        path: A `.csv` or `.csv.gz` file, as Electricity Maps exports it for a zone, or with one column a zone.
        column: The column of the intensity. By default that of Electricity Maps' life-cycle intensity, or the only
            other column there is.

    Raises:
        InputError: The file cannot be read, has no such column, or its values are not one a full hour, in order,
            each a number of 0 or more. Nothing is filled in or left out.
    """
    sheet = read_sheet(path)
    time = sheet.header[0]
    chosen = _chosen(sheet, column)
    columns: list[Column[Any]] = [Column(time, _utc), Column(chosen, non_negative), Column(_ZONE, text, required=False)]
    table = sheet.parse(columns, allow_unknown=True)
    _check_hours(table, time)
    return CarbonSeries(_zone(table, chosen), table.column(time)[0], np.array(table.column(chosen), dtype=np.float64))


def _chosen(sheet: Sheet, column: str | None) -> str:
    others = sheet.header[1:]
    wanted = DEFAULT_COLUMNS if column is None else (column,)
    for name in wanted:
        if name in others:
            return name
    if column is None and len(others) == 1:
        return others[0]
    listed = ", ".join(repr(name) for name in others) or "none besides the time"
    asked = f"there is no column {wanted[0]!r}"
    raise InputError(sheet.path, sheet.header_line, 1, f"{asked}; name the intensity's column, one of: {listed}")


def _utc(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a time; write UTC such as 2022-01-01 00:00:00") from None
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if (time.minute, time.second, time.microsecond) != (0, 0, 0):
        raise ValueError(f"{value} is not a full hour; give one value an hour, such as {time:%Y-%m-%d %H:00:00}")
    return time


def _check_hours(table: Table, time: str) -> None:
    times = table.column(time)
    problems = []
    for row in range(1, len(times)):
        before, now = times[row - 1], times[row]
        if now - before == _HOUR:
            continue
        if now == before:
            message = f"{now:%Y-%m-%d %H:%M} is there twice (also in line {table.line(row - 1)}); keep one of them"
        elif now < before:
            message = f"{now:%Y-%m-%d %H:%M} comes after {before:%Y-%m-%d %H:%M}; sort the rows by time, each hour once"
        else:
            missing = (now - before) // _HOUR - 1
            hours = f"{missing} hours are" if missing > 1 else "1 hour is"
            message = (
                f"{hours} missing between {before:%Y-%m-%d %H:%M} (line {table.line(row - 1)}) and "
                f"{now:%Y-%m-%d %H:%M}; add {before + _HOUR:%Y-%m-%d %H:%M} and so on"
            )
        problems.append(table.error(row, time, message))
    if problems:
        raise InputError.together(problems)


def _zone(table: Table, chosen: str) -> str:
    if not table.has(_ZONE):
        return chosen if chosen not in DEFAULT_COLUMNS else table.path.name.split(".")[0]
    zones = table.column(_ZONE)
    for row, zone in enumerate(zones):
        if zone != zones[0]:
            raise table.error(row, _ZONE, f"zone {zone} follows {zones[0]}; give a file of one zone")
    return str(zones[0])
