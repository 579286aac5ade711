"""The elastic training workloads of Pollux and the measured traces of their applications, read as they were published.

Qiao et al., "Pollux: Co-adaptive Cluster Scheduling for Goodput-Optimized Deep Learning", OSDI 2021: its artifact has
the workloads (`workloads/workload-N.csv`) beside the traces (`traces/<application>/`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.table import (
    Column,
    InputError,
    Table,
    count,
    non_negative,
    number,
    positive,
    read_table,
    text,
)

FloatArray = npt.NDArray[np.float64]

GPUS_OF_A_TRACED_NODE = 4
"""A placement is written with one digit a node; the traced nodes had four GPUs."""


@dataclass(frozen=True)
class TrainingRequest:
    """A job as its user submits it."""

    name: str
    submit_seconds: float
    """From the start of the workload."""
    application: str
    replicas: int
    """GPUs that the user asks for."""
    batch_size: int
    """Global batch (samples a step) that the user asks for; a scheduler that adapts it may choose another."""


@dataclass(frozen=True)
class PlacementTrace:
    """Step times of one application, measured on one placement, by samples that each replica holds at once."""

    local_batch: FloatArray
    """Ascending, without duplicates."""
    step_seconds: FloatArray
    sync_seconds: FloatArray
    """The part of the step that it waits for gradients."""


@dataclass(frozen=True)
class ScalingTrace:
    """Step times by count of nodes, replicas and local batch: rows of a table."""

    nodes: FloatArray
    replicas: FloatArray
    local_batch: FloatArray
    step_seconds: FloatArray
    sync_seconds: FloatArray


@dataclass(frozen=True)
class ConvergenceTrace:
    """One training run at a fixed batch, a value at the end of each epoch."""

    batch_size: int
    progress: FloatArray
    """Steps of the initial batch that were worth as much."""
    steps: FloatArray
    gradient_square: FloatArray
    """Squared norm of the gradient, in the epoch."""
    gradient_variance: FloatArray
    """Variance of the gradient at the initial batch, in the epoch."""


@dataclass(frozen=True)
class ApplicationTrace:
    """All that was measured of one application."""

    name: str
    placements: dict[tuple[int, ...], PlacementTrace]
    """By GPUs on each node, the smallest rotation of the nodes first."""
    scaling: ScalingTrace
    convergence: tuple[ConvergenceTrace, ...]
    """By ascending batch."""


def read_workload(path: Path) -> tuple[TrainingRequest, ...]:
    """Reads a workload: a job a line (name, time, application, num_replicas, batch_size).

    Raises:
        InputError: a value is missing or of the wrong kind, or two jobs have one name.
    """
    table = read_table(
        path,
        [
            Column("name", text),
            Column("time", non_negative),
            Column("application", text),
            Column("num_replicas", count),
            Column("batch_size", count),
        ],
    )
    names = table.column("name")
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen:
            raise table.error(row, "name", f"the job {name!r} is listed twice; each job needs a name of its own")
        seen.add(name)
    for column in ("num_replicas", "batch_size"):
        for row, value in enumerate(table.column(column)):
            if value < 1:
                raise table.error(row, column, f"{value} is too small; it must be at least 1")
    columns = (table.column(name) for name in ("name", "time", "application", "num_replicas", "batch_size"))
    return tuple(TrainingRequest(*row) for row in zip(*columns, strict=True))


def read_applications(folder: Path, names: Iterable[str]) -> dict[str, ApplicationTrace]:
    """Reads the traces of the applications that a workload names.

    Args:
        folder: has a folder for each application.
        names: applications to read.

    Raises:
        InputError: the traces of an application are missing or wrong.
    """
    return {name: _read_application(folder / name) for name in sorted(set(names))}


def _read_application(folder: Path) -> ApplicationTrace:
    files = sorted(folder.glob("validation-*.csv")) if folder.is_dir() else []
    if not files:
        raise InputError(
            folder, 1, 1, "no traces of this application; a folder with validation-<batch>.csv is expected"
        )
    convergence = sorted((_read_convergence(path) for path in files), key=lambda trace: trace.batch_size)
    return ApplicationTrace(
        name=folder.name,
        placements=_read_placements(folder / "placements.csv"),
        scaling=_read_scaling(folder / "scalability.csv"),
        convergence=tuple(convergence),
    )


def _read_convergence(path: Path) -> ConvergenceTrace:
    match = re.fullmatch(r"validation-(\d+)\.csv", path.name)
    if match is None:
        raise InputError(path, 1, 1, "the batch size is not in the name; validation-<batch>.csv is expected")
    table = read_table(
        path,
        [
            Column("progress", positive),
            Column("iteration", positive),
            Column("metric", number),
            Column("grad_sqr", non_negative),
            Column("grad_var", positive),
        ],
    )
    progress = np.array(table.column("progress"))
    falling = np.flatnonzero(np.diff(progress) <= 0)
    if falling.size:
        raise table.error(int(falling[0]) + 1, "progress", "progress does not grow; epochs must be in order of time")
    return ConvergenceTrace(
        batch_size=int(match[1]),
        progress=progress,
        steps=np.array(table.column("iteration")),
        gradient_square=np.array(table.column("grad_sqr")),
        gradient_variance=np.array(table.column("grad_var")),
    )


def _read_placements(path: Path) -> dict[tuple[int, ...], PlacementTrace]:
    table = read_table(
        path,
        [
            Column("placement", text),
            Column("local_bsz", positive),
            Column("step_time", positive),
            Column("sync_time", non_negative),
        ],
    )
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, digits in enumerate(table.column("placement")):
        rows.setdefault(_placement(table, row, digits), []).append(row)
    local, step, sync = (np.array(table.column(name)) for name in ("local_bsz", "step_time", "sync_time"))
    traces = {}
    for placement, found in rows.items():
        index = np.array(found)[np.argsort(local[found], kind="stable")]
        twice = np.flatnonzero(np.diff(local[index]) == 0)
        if twice.size:
            raise table.error(
                int(index[twice[0] + 1]), "local_bsz", "this placement has the batch twice; one row each is expected"
            )
        traces[placement] = PlacementTrace(local[index], step[index], sync[index])
    return traces


def _placement(table: Table, row: int, digits: str) -> tuple[int, ...]:
    if not re.fullmatch(rf"[1-{GPUS_OF_A_TRACED_NODE}]+", digits):
        raise table.error(
            row, "placement", f"{digits!r} is no placement; one digit for each node, 1 to {GPUS_OF_A_TRACED_NODE} GPUs"
        )
    return tuple(int(digit) for digit in digits)


def _read_scaling(path: Path) -> ScalingTrace:
    table = read_table(
        path,
        [
            Column("num_nodes", count),
            Column("num_replicas", count),
            Column("local_bsz", positive),
            Column("step_time", positive),
            Column("sync_time", non_negative),
        ],
    )
    names = ("num_nodes", "num_replicas", "local_bsz", "step_time", "sync_time")
    return ScalingTrace(*(np.array(table.column(name), dtype=float) for name in names))
