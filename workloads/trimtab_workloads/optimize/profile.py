"""How fast an artifact is and what memory it takes, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from trimtab_workloads.common.session import create_session
from trimtab_workloads.common.tensors import INPUT
from trimtab_workloads.optimize.config import BenchmarkSettings

_WARM_UP_RUNS = 10
Measurement = dict[str, float | int]


def profile(artifact: Path, settings: BenchmarkSettings) -> tuple[list[Measurement], int]:
    """Measures in a fresh process, whose memory is that of the runtime and the model and not of torch.

    Returns:
        A measurement for each batch size, and the peak resident memory in bytes.

    Raises:
        subprocess.CalledProcessError: The measuring process failed; its messages are on standard error.
    """
    command = [sys.executable, "-m", __name__, str(artifact), settings.model_dump_json()]
    output = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return output["profile"], output["peakMemoryBytes"]


def measure(artifact: Path, batch: int, seconds: float, threads: int) -> Measurement:
    """Runs one batch size over and over for some seconds.

    Returns:
        Latency percentiles in milliseconds (`p50Ms`, `p95Ms`, `p99Ms`), `itemsPerSecond`, and `cpuSecondsPerItem`,
        which unlike the others does not depend on how much of a CPU the process got.
    """
    session = create_session(artifact, threads)
    x = np.random.default_rng(0).random((batch, 1, 8, 8), dtype=np.float32)
    for _ in range(_WARM_UP_RUNS):
        session.run(None, {INPUT: x})
    latencies = []
    cpu_started, started = time.process_time(), time.perf_counter()
    now = started
    while now - started < seconds:
        session.run(None, {INPUT: x})
        before, now = now, time.perf_counter()
        latencies.append(now - before)
    items = batch * len(latencies)
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) * 1000
    return {
        "batch": batch,
        "p50Ms": round(float(p50), 4),
        "p95Ms": round(float(p95), 4),
        "p99Ms": round(float(p99), 4),
        "itemsPerSecond": round(items / (now - started), 2),
        "cpuSecondsPerItem": round((time.process_time() - cpu_started) / items, 9),
    }


def _main() -> None:
    artifact = Path(sys.argv[1])
    settings = BenchmarkSettings.model_validate_json(sys.argv[2])
    rows = [measure(artifact, b, settings.seconds_per_batch, settings.threads) for b in settings.batches]
    print(json.dumps({"profile": rows, "peakMemoryBytes": _peak_memory_bytes()}))


def _peak_memory_bytes() -> int:
    # Not getrusage: its maximum lives on across exec, and so would be that of the parent with torch in it.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    _main()
