"""The CSV of Triton's Model Analyzer as serving profiles: one model, its configurations as variants.

Of each configuration the file has throughput and p99 latency by requested rate. An execution's time at the largest
batch follows from the throughput at saturation, `instances * max_batch / throughput`; at batch 1 from that of the
configuration with one instance and a largest batch of 1, or else it is the same time. What the p99 at the lowest rate
has beyond an execution is overhead outside of the server (network, copies).

The file has neither price nor power nor accuracy: they are given, or the defaults below are taken and said in a note.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, ServingProfiles
from trimtab.simulate.inputs.table import Column, Table, count, positive, read_table, text

HEADER = (
    "Model", "Batch", "Request Rate", "Model Config Path", "Instance Group", "Max Batch Size", "Satisfies Constraints",
    "Throughput (infer/sec)", "p99 Latency (ms)",
)  # fmt: skip

USD_PER_HOUR = 0.526
"""AWS g4dn.xlarge (one T4), on demand, us-east-1, 2026-07-20."""
IDLE_WATTS, BUSY_WATTS = 16.4, 104.0
"""g4dn.xlarge idle and at full load (Teads' AWS EC2 data set)."""
START_SECONDS = 30.0
ACCURACY = 0.7238
"""Top-1 of VGG19 on ImageNet (torchvision's IMAGENET1K_V1 weights, 72.376 %), the model of the published files."""

_SATURATED = 0.9
"""A rate is beyond capacity when less than this share of it is served."""


@dataclass(frozen=True)
class _Config:
    name: str
    instances: int
    max_batch: int
    throughput: float
    """At saturation (infer/s)."""
    light_seconds: float
    """p99 latency at the lowest rate."""


def read_triton(path: Path) -> ServingProfiles:
    """Read a CSV of Model Analyzer with request rates. Configurations never driven to saturation are left out.

    Raises:
        InputError: The file is wrong, or no configuration was driven to saturation.
    """
    columns: list[Column[Any]] = [
        Column("Model", text), Column("Batch", count), Column("Request Rate", positive),
        Column("Model Config Path", text), Column("Instance Group", _instances), Column("Max Batch Size", count),
        Column("Satisfies Constraints", text, required=False), Column("Throughput (infer/sec)", positive),
        Column("p99 Latency (ms)", positive),
    ]  # fmt: skip
    table = read_table(path, columns, allow_unknown=True)
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(table.column("Model Config Path")):
        groups.setdefault(name, []).append(row)
    configs = [_config(table, name, rows) for name, rows in groups.items()]
    saturated = [config for config in configs if config is not None]
    if not saturated:
        message = "no configuration was driven to saturation; measure up to a rate that it cannot serve"
        raise table.error(0, "Request Rate", message)
    single = [1.0 / config.throughput for config in saturated if config.max_batch == config.instances == 1]
    options = tuple(_option(config, single[0] if single else None) for config in saturated)
    left = [name for name, config in zip(groups, configs, strict=True) if config is None]
    notes = [
        f"The file has neither price nor power nor accuracy: {USD_PER_HOUR:g} USD/h and {IDLE_WATTS:g} to"
        f" {BUSY_WATTS:g} W (AWS g4dn.xlarge), {ACCURACY:.2%} top-1 (VGG19) and a start of {START_SECONDS:g} s are"
        " taken for every configuration."
    ]
    if left:
        notes.append(f"Never driven to saturation, and left out: {', '.join(left)}.")
    return ServingProfiles(options, tuple(notes))


def _config(table: Table, name: str, rows: list[int]) -> _Config | None:
    rates, served = table.column("Request Rate"), table.column("Throughput (infer/sec)")
    beyond = [row for row in rows if served[row] < _SATURATED * rates[row]]
    if not beyond:
        return None
    first = rows[0]
    lightest = min(rows, key=lambda row: rates[row])
    return _Config(
        name=name,
        instances=table.column("Instance Group")[first],
        max_batch=max(table.column("Max Batch Size")[first], 1),
        throughput=max(served[row] for row in beyond),
        light_seconds=table.column("p99 Latency (ms)")[lightest] / 1e3,
    )


def _option(config: _Config, single_seconds: float | None) -> ServingOption:
    full = config.instances * config.max_batch / config.throughput
    batches: tuple[int, ...] = (config.max_batch,)
    seconds: tuple[float, ...] = (full,)
    if config.max_batch > 1 and single_seconds is not None and single_seconds < full:
        batches, seconds = (1, config.max_batch), (single_seconds, full)
    speed = BatchSpeed(
        batches=batches,
        seconds=seconds,
        max_batch=config.max_batch,
        instances=config.instances,
        overhead_seconds=max(config.light_seconds - seconds[0], 0.0),
    )
    return ServingOption(
        variant=config.name,
        hardware="gpu",
        accuracy=ACCURACY,
        speed=speed,
        usd_per_hour=USD_PER_HOUR,
        idle_watts=IDLE_WATTS,
        busy_watts=BUSY_WATTS,
        decode_watts=BUSY_WATTS,
        start_seconds=START_SECONDS,
    )


def _instances(value: str) -> int:
    found = re.fullmatch(r"(?:.*/)?(\d+):(?:GPU|CPU)(?:/.*)?", value)
    if not found or int(found.group(1)) == 0:
        raise ValueError(f"{value!r} is no instance group; write it as 1:GPU")
    return int(found.group(1))
