"""Traces of training jobs and scaling profiles, read as they were published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.table import Column, InputError, Table, count, non_negative, positive, read_table, text

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TimeUnit = Literal["auto", "hours", "seconds"]

_TELLS_UNITS_APART = 300.0
"""GAIA's traces have no job under 300 s and none of 300 h: lengths from 300 on are seconds, up to there hours."""


@dataclass(frozen=True)
class JobTrace:
    """Jobs of fixed size in order of arrival; the arrays have one value a job."""

    path: Path
    arrival_hours: FloatArray
    """From the start of the trace."""
    length_hours: FloatArray
    """Running time at the job's own size."""
    units: FloatArray
    """Accelerators (or other units) that it holds while it runs."""
    lines: IntArray
    """Line in the file."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the file was read."""

    def __len__(self) -> int:
        return len(self.arrival_hours)


@dataclass(frozen=True)
class ScalingProfile:
    """How fast a job runs, and how much power it takes, by its count of replicas: index 0 is one replica."""

    speed: FloatArray
    """Times the speed of one replica; not falling."""
    power: FloatArray
    """Times the power of one replica; growing."""


def rigid() -> ScalingProfile:
    """The profile of a job that has one size only."""
    return ScalingProfile(np.ones(1), np.ones(1))


def read_gaia(path: Path, time_unit: TimeUnit = "auto") -> JobTrace:
    """Read a trace of GAIA (Hanafy et al., ASPLOS 2024): arrival_time, length, cpus.

    The published files have one header but two units of time: `pai_1k.csv` is in seconds, the `*-100k.csv` in hours.

    Args:
        path: The file.
        time_unit: Unit of its times. `auto` takes seconds when no length is below 300, and hours when none is above:
            the shortest job is of 300 seconds, the longest of 300 hours, or the file must say it.

    Raises:
        InputError: The file is wrong, not in order of arrival, or its unit of time cannot be told.
    """
    table = read_table(path, [Column("arrival_time", non_negative), Column("length", positive), Column("cpus", _size)])
    arrivals, lengths = np.array(table.column("arrival_time")), np.array(table.column("length"))
    falling = np.flatnonzero(np.diff(arrivals) < 0)
    if falling.size:
        row = int(falling[0]) + 1
        raise table.error(row, "arrival_time", "this job arrives before the one above it; sort the rows by arrival")
    unit = _unit_of(table, lengths) if time_unit == "auto" else time_unit
    hours = 3600.0 if unit == "seconds" else 1.0
    note = f"times of {path.name} are read as {unit}" + (" (told from the lengths)" if time_unit == "auto" else "")
    units = np.array(table.column("cpus"), dtype=np.float64)
    return JobTrace(path, arrivals / hours, lengths / hours, units, np.array(table.lines), (note,))


def _unit_of(table: Table, lengths: FloatArray) -> Literal["hours", "seconds"]:
    below, above = lengths < _TELLS_UNITS_APART, lengths > _TELLS_UNITS_APART
    if not below.any():
        return "seconds"
    if not above.any():
        return "hours"
    row = int(np.flatnonzero(below != below[0])[0])
    raise table.error(
        row,
        "length",
        f"{lengths[row]:g} and {lengths[0]:g} in line {table.line(0)} leave it open whether times are seconds or hours "
        "(all lengths from 300 on are seconds, all up to 300 are hours); say the unit (--time-unit seconds or hours)",
    )


def read_philly(path: Path) -> JobTrace:
    """Read jobs of Microsoft's Philly clusters, as Pollux's artifact has them: timestamp, duration, num_gpus.

    The other columns, gpu_time and cluster, are checked and left alone. The file is not in order of time: jobs are
    put in order of arrival. The trace starts at its first job.

    Raises:
        InputError: The file or a value is wrong.
    """
    table = read_table(
        path,
        [
            Column("timestamp", _time),
            Column("duration", positive),
            Column("num_gpus", _size),
            Column("gpu_time", non_negative, required=False),
            Column("cluster", text, required=False),
        ],
    )
    times: list[datetime] = table.column("timestamp")
    first = min(times)
    arrivals = np.array([(time - first).total_seconds() / 3600.0 for time in times])
    order = np.argsort(arrivals, kind="stable")
    lengths = np.array(table.column("duration")) / 3600.0
    units = np.array(table.column("num_gpus"), dtype=np.float64)
    note = f"hour 0 of {path.name} is its first submission, {first:%Y-%m-%d %H:%M:%S}"
    return JobTrace(path, arrivals[order], lengths[order], units[order], np.array(table.lines)[order], (note,))


def read_scaling(path: Path) -> ScalingProfile:
    """Read a scaling profile of CarbonScaler (Hanafy et al., SIGMETRICS 2024): nodes, throughput, power.

    A row of 0 nodes may be there: it has to be idle. The others count 1, 2, 3 and so on.

    Raises:
        InputError: A count of nodes is missing, throughput falls or power does not grow with the nodes.
    """
    table = read_table(
        path, [Column("nodes", count), Column("throughput", non_negative), Column("power", non_negative)]
    )
    nodes: Sequence[int] = table.column("nodes")
    first = 1 if nodes[0] == 0 else 0
    for row, value in enumerate(nodes[first:], start=first):
        if value != row + 1 - first:
            raise table.error(row, "nodes", f"{value} nodes where {row + 1 - first} are expected; count 1, 2, 3, ...")
    speed, power = np.array(table.column("throughput")), np.array(table.column("power"))
    if first and (speed[0] or power[0]):
        raise table.error(0, "throughput", "0 nodes that work or draw power; write 0,0,0 or leave the row out")
    if len(nodes) == first:
        raise InputError(path, table.line(0), 1, "there is no row of 1 node; add what one node does")
    for name, values in (("throughput", speed[first:]), ("power", power[first:])):
        steps = np.diff(values, prepend=0.0)
        wrong = np.flatnonzero(steps <= 0 if name == "power" or values[0] <= 0 else steps < 0)
        if wrong.size:
            row = int(wrong[0]) + first
            raise table.error(row, name, f"{values[wrong[0]]:g} is no more than with a node less; it has to grow")
    return ScalingProfile(speed[first:] / speed[first], power[first:] / power[first])


def _size(value: str) -> int:
    size = count(value)
    if size < 1:
        raise ValueError(f"{value} is too small; a job holds at least 1")
    return size


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a time; write one such as 2017-10-09 07:01:55") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
