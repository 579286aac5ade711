"""How wrong the power model is where nothing is measured: against the open Zeus tables (GPUs) and RAPL (CPUs).

Run it as `python -m tests.bench.bench_power_model` with `operator` on the path. It prints the table of docs/ledger.md.
Every figure is of what was left out when the model was fitted; intervals are 95 % by bootstrap over groups (a network
on a GPU, a CPU), because measurements within one are alike.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimtab.ledger.power_model import BUSY_ACCELERATOR_PPM, curve

DATA = Path(__file__).parents[1] / "data"
IDLE_SHARE = 34.8 / 300.0
"""Of a GPU's power limit at rest: the V100 of the Teads data set (34.8 W idle, limit 300 W)."""
TEADS_V100_WATTS = 305.6
"""A V100 at full load in the Teads data set."""
DRAWS, SEED = 4000, 20261124


@dataclass(frozen=True)
class Point:
    """One measurement."""

    device: str
    group: str
    """What it is alike with."""
    watts: float
    limit: float
    """Power limit of a GPU; measured peak of a CPU."""
    use: float = 1.0


def gpu_points() -> list[Point]:
    """Trainings on a V100 and a P100, at every power limit."""
    points = []
    for path in sorted((DATA / "zeus").glob("summary_power_*.csv")):
        gpu = path.stem.rsplit("_", 1)[1].upper()
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                watts, limit = float(row["average_power"]), float(row["power_limit"])
                points.append(Point(gpu, f"{gpu} {row['network']}", watts, limit))
    return points


def cpu_points() -> tuple[list[Point], dict[str, tuple[float, float]]]:
    """Measurements between rest and full load, and the end points of each CPU."""
    with (DATA / "codecarbon/cpu_load_rapl.csv").open(encoding="utf-8") as file:
        rows = [
            (r["cpu"], r["mode"], float(r["cpu_load_percent"]) / 100, float(r["rapl_watts"]))
            for r in csv.DictReader(file)
        ]
    ends = {}
    for cpu in sorted({row[0] for row in rows}):
        full = [row for row in rows if row[0] == cpu and row[1] == "all_cores"]
        ends[cpu] = (min(full, key=lambda row: row[2])[3], max(full, key=lambda row: row[2])[3])
    return [Point(c, c, watts, ends[c][1], use) for c, _, use, watts in rows if 0.05 < use < 0.995], ends


def errors(points: Iterable[Point], predict: Callable[[Point], float]) -> dict[str, list[float]]:
    """Errors relative to what was measured (with sign), by group."""
    found: dict[str, list[float]] = defaultdict(list)
    for point in points:
        found[point.group].append(predict(point) / point.watts - 1.0)
    return found


def summary(found: dict[str, list[float]]) -> tuple[float, float, float, float, float, int]:
    """Mean absolute error with its interval, the median of it, mean error, and how many there are."""
    groups = [np.array(values) for values in found.values()]
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, len(groups), (DRAWS, len(groups)))
    sums = np.array([np.abs(g).sum() for g in groups])
    sizes = np.array([g.size for g in groups])
    means = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    everything = np.concatenate(groups)
    size = np.abs(everything)
    return float(size.mean()), float(low), float(high), float(np.median(size)), float(everything.mean()), size.size


def busy_share(points: Iterable[Point]) -> float:
    """Where between rest and limit the trainings stood, on average over groups."""
    by_group: dict[str, list[float]] = defaultdict(list)
    for point in points:
        by_group[point.group].append((point.watts / point.limit - IDLE_SHARE) / (1 - IDLE_SHARE))
    return float(np.mean([np.mean(values) for values in by_group.values()]))


def at_share(point: Point, share: float) -> float:
    """Watts at a share between rest and limit."""
    return point.limit * (IDLE_SHARE + (1 - IDLE_SHARE) * share)


def gpu_rows() -> list[tuple[str, dict[str, list[float]]]]:
    """Models of a busy GPU, at its highest limit (as it comes) and at every limit."""
    points = gpu_points()
    top = {gpu: max(p.limit for p in points if p.device == gpu) for gpu in ("P100", "V100")}
    default = [p for p in points if p.limit == top[p.device]]
    left_out = {g: busy_share(p for p in default if p.group != g) for g in {p.group for p in default}}
    network = {g: busy_share(p for p in default if p.group.split()[1] != g.split()[1]) for g in left_out}
    other = {gpu: busy_share(p for p in default if p.device != gpu) for gpu in top}
    v100 = [p for p in default if p.device == "V100"]
    return [
        ("V100 at full load by the Teads table", errors(v100, lambda p: TEADS_V100_WATTS)),
        ("at its power limit", errors(default, lambda p: p.limit)),
        ("fitted share, the network on that GPU left out", errors(default, lambda p: at_share(p, left_out[p.group]))),
        ("fitted share, the network left out everywhere", errors(default, lambda p: at_share(p, network[p.group]))),
        ("fitted share, the GPU left out", errors(default, lambda p: at_share(p, other[p.device]))),
        ("the share that the ledger has", errors(default, lambda p: at_share(p, BUSY_ACCELERATOR_PPM / 1e6))),
        ("the same at every power limit", errors(points, lambda p: at_share(p, BUSY_ACCELERATOR_PPM / 1e6))),
    ]


def cpu_rows() -> list[tuple[str, dict[str, list[float]]]]:
    """Curves between a CPU's measured rest and full load."""
    points, ends = cpu_points()

    def shape(cpu: str, use: float) -> float:
        near = [p.watts / p.limit for p in points if p.device != cpu and abs(p.use - use) < 0.06]
        return float(np.mean(near))

    shapes = {cpu: (shape(cpu, 0.1), shape(cpu, 0.5)) for cpu in ends}

    def bent(point: Point) -> float:
        rest, peak = ends[point.device]
        ten, half = shapes[point.device]
        return curve(rest, ten * peak, half * peak, peak).at(round(point.use * 1e6)) / 1000

    def straight(point: Point) -> float:
        return curve(ends[point.device][0], None, None, ends[point.device][1]).at(round(point.use * 1e6)) / 1000

    return [("straight line from rest to full load", errors(points, straight)),
            ("through 10 % and 50 %, their shape from the other CPUs", errors(points, bent))]  # fmt: skip


def main() -> None:
    """Print the tables."""
    points = gpu_points()
    top = max(p.limit for p in points)
    share = busy_share(p for p in points if p.limit == top)
    sys.stdout.write(f"fitted share between rest and limit: {share:.3f}\n\n")
    for title, rows in (("GPU training (Zeus)", gpu_rows()), ("CPU load (RAPL)", cpu_rows())):
        sys.stdout.write(
            f"| {title} | mean abs. error | 95 % interval | median | mean error | points |\n|---|---|---|---|---|---|\n"
        )
        for name, found in rows:
            mape, low, high, median, bias, count = summary(found)
            sys.stdout.write(
                f"| {name} | {mape:.0%} | {low:.0%} to {high:.0%} | {median:.0%} | {bias:+.0%} | {count} |\n"
            )
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
