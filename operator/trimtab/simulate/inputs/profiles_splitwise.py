"""Splitwise's `perf_model.csv` as serving profiles: language models by GPU and tensor parallelism.

Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024. Each combination of
model, GPU and tensor parallelism becomes an option: its prefill time by prompt length (batch 1), its decoding step by
batch (prompts of 512 tokens), medians of the repeats. Batches whose whole throughput is below that of a smaller one had
no room in memory (llama2-70b on two GPUs at 64): the slots end before them.

The file has no price, no accuracy, no start time and power as a share of TDP only; `GPUS` and `ACCURACY` say what is
taken for them, and where it is from.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from trimtab.simulate.inputs.profiles import ServingOption, ServingProfiles, TokenSpeed
from trimtab.simulate.inputs.table import Column, InputError, Table, count, non_negative, positive, read_table, text

HEADER = (
    "model", "hardware", "prompt_size", "batch_size", "token_size", "peak_power", "average_power", "prompt_time",
    "token_time", "e2e_time", "tensor_parallel",
)  # fmt: skip

_PROMPT_OF_BATCHES = 512
"""Prompt length at which batches were varied."""


@dataclass(frozen=True)
class Gpu:
    """What the file does not say of a GPU. Prices: AWS on demand, us-east-1, 2026-07-20, a share of the instance."""

    usd_per_hour: float
    tdp_watts: float
    host_watts: float
    """Power of the GPU's share of its host (processors, memory, fans)."""
    host_idle_watts: float
    gpu_idle_watts: float


GPUS = {
    # p4de.24xlarge (27.44705 USD/h) has eight. Idle and host: Teads' p4d.24xlarge (744.8 W idle, of it 371.6 W GPUs;
    # 5,245 W at full load, of it 3,259.3 W GPUs), an eighth.
    "a100-80gb": Gpu(27.44705 / 8, 400.0, 248.2, 46.7, 46.5),
    # p5.48xlarge (55.04 USD/h) has eight. Teads has no H100: its host and idle shares are those of the A100.
    "h100-80gb": Gpu(55.04 / 8, 700.0, 248.2, 46.7, 46.5),
    # The same GPU with its power capped to half (Splitwise, section VI, "HHcap").
    "h100-80gb-pcap": Gpu(55.04 / 8, 350.0, 248.2, 46.7, 46.5),
}

ACCURACY = {
    # MMLU, 5-shot: Touvron et al., "Llama 2", 2023, table 3.
    "llama2-70b": 0.689,
}

START_SECONDS = 90.0
"""From the decision to a serving replica of a 70B model: container start, and 140 GB of weights from local disk at
about 2 GB/s. An assumption, for the file has none."""

# Shares of TDP on A100 when a row says 0 (not measured): those of the A100 at the same tensor parallelism.
_MEASURED_HARDWARE = "a100-80gb"


def read_splitwise(path: Path) -> ServingProfiles:
    """Read `perf_model.csv`.

    Raises:
        InputError: The file is wrong, or has a GPU or model of which price or accuracy is not known.
    """
    columns: list[Column[Any]] = [
        Column("model", text), Column("hardware", text), Column("prompt_size", count), Column("batch_size", count),
        Column("token_size", count), Column("peak_power", non_negative), Column("average_power", non_negative),
        Column("prompt_time", positive), Column("token_time", positive), Column("e2e_time", positive),
        Column("tensor_parallel", count),
    ]  # fmt: skip
    table = read_table(path, columns)
    groups: dict[tuple[str, str, int], list[int]] = {}
    for row in range(len(table)):
        model, hardware = table.column("model")[row], table.column("hardware")[row]
        if hardware not in GPUS:
            raise table.error(row, "hardware", f"{hardware!r} is unknown; known are {', '.join(GPUS)}")
        if model not in ACCURACY:
            raise table.error(row, "model", f"{model!r} is unknown; known are {', '.join(ACCURACY)}")
        groups.setdefault((model, hardware, table.column("tensor_parallel")[row]), []).append(row)
    options = tuple(_option(table, *key, rows, groups) for key, rows in groups.items())
    notes = (
        "Prices: AWS on demand, us-east-1, 2026-07-20 (p4de, p5), by GPU. Power: share of TDP as measured on A100,"
        " the H100's taken from it (not measured), and an eighth of the host's (Teads).",
        f"A replica is assumed to start in {START_SECONDS:g} s; accuracy is MMLU (Llama 2, 2023).",
    )
    return ServingProfiles(options, notes)


def _option(
    table: Table,
    model: str,
    hardware: str,
    parallel: int,
    rows: list[int],
    groups: dict[tuple[str, str, int], list[int]],
) -> ServingOption:
    gpu = GPUS[hardware]
    measured = groups.get((model, _MEASURED_HARDWARE, parallel), rows)
    peak = _share(table, measured, "peak_power")
    average = _share(table, measured, "average_power")
    host = gpu.host_watts
    return ServingOption(
        variant=f"{model}-tp{parallel}",
        hardware=hardware,
        accuracy=ACCURACY[model],
        speed=_speed(table, rows),
        usd_per_hour=gpu.usd_per_hour * parallel,
        idle_watts=(gpu.gpu_idle_watts + gpu.host_idle_watts) * parallel,
        busy_watts=(gpu.tdp_watts * min(peak, 1.0) + host) * parallel,
        decode_watts=(gpu.tdp_watts * min(average, 1.0) + host) * parallel,
        units=float(parallel),
        start_seconds=START_SECONDS,
    )


def _share(table: Table, rows: list[int], name: str) -> float:
    """Median share of TDP of what was measured; 1 where nothing was."""
    shares = [table.column(name)[row] for row in rows if table.column(name)[row] > 0]
    return median(shares) if shares else 1.0


def _speed(table: Table, rows: list[int]) -> TokenSpeed:
    size, batch = table.column("prompt_size"), table.column("batch_size")
    prefill = _medians([(size[row], table.column("prompt_time")[row]) for row in rows if batch[row] == 1])
    fixed = [row for row in rows if size[row] == _PROMPT_OF_BATCHES and table.column("token_size")[row] == 128]
    decode = _medians([(batch[row], table.column("token_time")[row]) for row in fixed])
    whole = _medians([(batch[row], table.column("e2e_time")[row]) for row in fixed])
    if not prefill or not decode:
        message = f"no row has batch 1, or none {_PROMPT_OF_BATCHES} prompt tokens and 128 generated ones"
        raise InputError(table.path, table.line(rows[0]), 1, f"{message}; both are needed of each combination")
    fitting: list[int] = []
    for slots in sorted(decode):
        if fitting and slots / whole[slots] < fitting[-1] / whole[fitting[-1]]:
            break
        fitting.append(slots)
    return TokenSpeed(
        prompt_tokens=tuple(sorted(prefill)),
        prefill_seconds=tuple(prefill[length] / 1e3 for length in sorted(prefill)),
        decode_batches=tuple(fitting),
        token_seconds=tuple(decode[slots] / 1e3 for slots in fitting),
        max_batch=fitting[-1],
    )


def _medians(pairs: list[tuple[int, float]]) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: median(found) for key, found in values.items()}
