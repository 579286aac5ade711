"""Requests to a served model, from published traces: when they arrive and, for language models, how long they are.

Formats: Azure's LLM inference traces (CSV; Patel et al., "Splitwise", ISCA 2024), Mooncake's traces (JSON lines; Qin et
al., "Mooncake", FAST 2025), and plain timestamps (CSV with one column: seconds, or ISO 8601 times).
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.table import (
    Column,
    InputError,
    Table,
    count,
    non_negative,
    number,
    read_sheet,
    read_table,
    read_text,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SMEAR_SECONDS = 30.0
"""How far `scaled` moves the requests of a further copy: bursts of a few seconds are those of independent users, the
slower course of the load stays that of the trace."""


@dataclass(frozen=True)
class Arrivals:
    """Requests in order of their arrival. The arrays have one value for each request."""

    seconds: FloatArray
    """From the first request of the trace."""
    prompt_tokens: IntArray | None = None
    """Tokens of the prompt; None where requests have no tokens."""
    output_tokens: IntArray | None = None
    """Tokens that are generated."""
    notes: tuple[str, ...] = ()
    """What was done to the trace that a reader of results must know."""

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, seconds: FloatArray, rows: IntArray) -> "Arrivals":
        """The requests at these rows, at other times, put in order."""
        order = np.argsort(seconds, kind="stable")
        picked = rows[order]
        prompt = None if self.prompt_tokens is None else self.prompt_tokens[picked]
        output = None if self.output_tokens is None else self.output_tokens[picked]
        return replace(self, seconds=seconds[order], prompt_tokens=prompt, output_tokens=output)


def read_azure(path: Path, seed: int = 0) -> Arrivals:
    """Read `AzureLLMInferenceTrace_*.csv`: TIMESTAMP, ContextTokens, GeneratedTokens.

    Raises:
        InputError: The file is wrong; nothing is filled in, sorted or left out.
    """
    columns: list[Column[Any]] = [
        Column("TIMESTAMP", _iso_seconds),
        Column("ContextTokens", _some),
        Column("GeneratedTokens", count),
    ]
    table = read_table(path, columns)
    prompt = np.array(table.column("ContextTokens"), dtype=np.int64)
    output = np.array(table.column("GeneratedTokens"), dtype=np.int64)
    return Arrivals(_ascending(table, "TIMESTAMP"), prompt, output)


def read_timestamps(path: Path, seed: int = 0) -> Arrivals:
    """Read a CSV of one column, whatever its name: seconds from any origin, or ISO 8601 times.

    Raises:
        InputError: The file is wrong, or has more columns.
    """
    sheet = read_sheet(path)
    if len(sheet.header) != 1:
        message = f"there are {len(sheet.header)} columns; a file of timestamps has one: seconds, or ISO 8601 times"
        raise InputError(path, sheet.header_line, 2, message)
    name = sheet.header[0]
    first = sheet.rows[0][0].strip()
    parse = _iso_seconds if "-" in first[1:] or ":" in first else number
    table = sheet.parse([Column(name, parse)])
    return Arrivals(_ascending(table, name))


def read_mooncake(path: Path, seed: int = 0) -> Arrivals:
    """Read a Mooncake trace: one JSON object a line with timestamp (ms), input_length and output_length (tokens).

    Its timestamps lie on a grid of some seconds. Each request is moved forward by a seeded uniform share of the time to
    the next point of the grid, so that requests do not arrive in lots that the service never saw.

    Raises:
        InputError: A line is no such object, or the time goes back.
    """
    rows: list[tuple[float, int, int]] = []
    problems: list[InputError] = []
    for line, content in enumerate(read_text(path).splitlines(), start=1):
        try:
            rows.append(_mooncake_row(path, line, content))
        except InputError as error:
            problems.append(error)
    for row in range(1, len(rows)):
        if not problems and rows[row][0] < rows[row - 1][0]:
            problems.append(InputError(path, row + 1, 1, "timestamp: the time goes back; sort the requests by time"))
    if not rows and not problems:
        problems.append(InputError(path, 1, 1, "the file is empty; there must be one JSON object a line"))
    if problems:
        raise InputError.together(problems)
    milliseconds, prompt, output = (np.array(column) for column in zip(*rows, strict=True))
    seconds = (milliseconds - milliseconds[0]) / 1e3
    whole = Arrivals(seconds, prompt.astype(np.int64), output.astype(np.int64))
    distinct = np.unique(seconds)
    if len(distinct) == len(seconds):
        return whole
    step = float(np.median(np.diff(distinct))) if len(distinct) > 1 else 1.0
    after = np.append(distinct[1:], distinct[-1] + step)[np.searchsorted(distinct, seconds)]
    # A gap in the trace is no grid: nobody knows of requests within it.
    room = np.minimum(after - seconds, step)
    moved = seconds + room * np.random.default_rng(seed).random(len(seconds))
    note = f"The trace's times lie on a grid of {step:g} s; requests are spread within it (uniform, seed {seed})."
    return replace(whole.take(moved - moved.min(), np.arange(len(seconds))), notes=(note,))


READERS: dict[str, Callable[[Path, int], Arrivals]] = {
    "azure": read_azure,
    "mooncake": read_mooncake,
    "timestamps": read_timestamps,
}
"""What reads each format."""


def scaled(arrivals: Arrivals, factor: float, seed: int) -> Arrivals:
    """The same course of load, `factor` times as many requests.

    Further requests come from copies of the trace whose requests are each moved by a uniform time of up to
    `SMEAR_SECONDS` either way (folded back at the ends): the superposition of independent streams with the trace's
    course. A broken factor thins the last copy: each request of it stays with that probability. At 1 nothing changes.

    Raises:
        ValueError: The factor is not above 0, or leaves no request.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"--scale {factor:g} is not above 0; write how many times the load is to be, such as 2 or 0.5")
    if factor == 1:
        return arrivals
    rng = np.random.default_rng(seed)
    end = arrivals.seconds[-1]
    all_seconds, all_rows = [], []
    for copy in range(math.ceil(factor)):
        rows = np.arange(len(arrivals))
        seconds = arrivals.seconds
        if copy:
            seconds = np.abs(seconds + rng.uniform(-SMEAR_SECONDS, SMEAR_SECONDS, len(rows)))
            seconds = np.clip(np.where(seconds > end, 2 * end - seconds, seconds), 0.0, end)
        kept = rng.random(len(rows)) < factor - copy
        all_seconds.append(seconds[kept])
        all_rows.append(rows[kept])
    rows = np.concatenate(all_rows)
    if not len(rows):
        raise ValueError(f"--scale {factor:g} leaves none of {len(arrivals)} requests; use a larger one")
    note = f"The load is {factor:g} times that of the trace: copies, each request moved by up to {SMEAR_SECONDS:g} s."
    return replace(arrivals.take(np.concatenate(all_seconds), rows), notes=(*arrivals.notes, note))


def _mooncake_row(path: Path, line: int, content: str) -> tuple[float, int, int]:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        message = f"this is no JSON: {error.msg}; write one object a line"
        raise InputError(path, line, error.colno, message) from error
    if not isinstance(row, dict):
        raise InputError(path, line, 1, "this is no JSON object; write one with timestamp, input_length, output_length")
    unknown = set(row) - {"timestamp", "input_length", "output_length", "hash_ids"}
    if unknown:
        message = (
            f"key {sorted(unknown)[0]!r} is unknown; the keys are timestamp, input_length, output_length, hash_ids"
        )
        raise InputError(path, line, _place(content, sorted(unknown)[0]), message)
    parsed = []
    parsers: tuple[tuple[str, Callable[[str], float]], ...]
    parsers = (("timestamp", non_negative), ("input_length", _some), ("output_length", count))
    for name, parse in parsers:
        if name not in row:
            raise InputError(path, line, 1, f"{name!r} is missing; write it as a number")
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(path, line, _place(content, name), f"{name}: {value!r} is not a number; write a number")
        try:
            parsed.append(parse(repr(value)))
        except ValueError as error:
            raise InputError(path, line, _place(content, name), f"{name}: {error}") from error
    return parsed[0], int(parsed[1]), int(parsed[2])


def _place(content: str, key: str) -> int:
    return max(content.find(f'"{key}"'), 0) + 1


def _ascending(table: Table, name: str) -> FloatArray:
    seconds = np.array(table.column(name), dtype=np.float64)
    back = np.flatnonzero(np.diff(seconds) < 0)
    if len(back):
        message = "the time goes back; sort the requests by time"
        raise InputError.together([table.error(int(row) + 1, name, message) for row in back])
    shifted: FloatArray = seconds - seconds[0]
    return shifted


def _some(text: str) -> int:
    value = count(text)
    if value == 0:
        raise ValueError("0 is too few; a request has one token at least")
    return value


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write it as 2023-11-16 18:15:46.68") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
