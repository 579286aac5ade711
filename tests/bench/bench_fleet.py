"""How fast the serving planner plans: time of a plan, peak memory, and how both grow.

Run it as `python -m tests.bench.bench_fleet` with `operator` on the path. One core is enough, and more are not used.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
from tests.unit.worlds import NOW, carbon, hardware, load, meta, serving, serving_pod, snapshot, variant

from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.problem import Fleet, Load, Option, Pool, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

VARIANTS, CLASSES = 5, 4


def fleet(workloads: int, intervals: int, seed: int) -> Fleet:
    """Workloads of different load, each with 5 variants on 4 classes; half of them run."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(workloads):
        base = float(rng.uniform(0.002, 0.02))
        options = tuple(_option(v, c, base) for v in range(VARIANTS) for c in range(CLASSES))
        rate = float(rng.uniform(1.0, 1000.0))
        history = rng.poisson(rate * 10.0, intervals) / 10.0
        running = Running("v1", "class-0", 3, ready=3, loaded=("v1",)) if i % 2 else Running()
        made.append(
            Workload(
                f"w{i}", options, Target(float(rng.uniform(0.05, 0.3)), 0.95, 0.95), Load(tuple(history.tolist())),
                Settings(max_replicas=20, usd_per_gram=1e-4), running=running,
            )
        )  # fmt: skip
    return Fleet(0.0, tuple(Pool(f"class-{c}", grams_per_kwh=100.0 * (c + 1)) for c in range(CLASSES)), tuple(made))


def _option(v: int, c: int, base: float) -> Option:
    seconds = base * (1.0 - 0.15 * v) / (1.0 + 0.5 * c)
    profile = BatchProfile((1, 4, 16), (seconds, 2.2 * seconds, 6.0 * seconds), 16, variability=0.2, tail_ratio=1.3)
    return Option(
        f"v{v}", f"class-{c}", 0.99 - 0.01 * v, profile, usd_per_hour=0.1 * (1.0 + 0.6 * c), idle_watts=20.0,
        peak_watts=80.0 * (c + 1), units=1.0 + c % 2,
    )  # fmt: skip


def narrowed(wide: Fleet, share: float) -> Fleet:
    """The same with a part of the units that all would like to hold."""
    units = {(o.variant, o.pool): o.units for w in wide.workloads for o in w.options}
    held = dict.fromkeys((p.name for p in wide.pools), 0.0)
    for decision in control(wide):
        for placement in decision.placements:
            held[placement.pool] += placement.replicas * units[decision.variant, placement.pool]
    total = sum(held.values())
    free = {name: share * max(value, 0.05 * total) for name, value in held.items()}
    return replace(wide, pools=tuple(replace(p, free_units=free[p.name]) for p in wide.pools))


def world(workloads: int) -> Snapshot:
    """ServingWorkloads with 5 ModelVariants each and 4 HardwareClasses, as the operator observes them."""
    classes = tuple(
        hardware(f"class-{c}", nodes=1000, capacity_units=8000.0, units_per_node=8.0, speed=str(1.0 + 0.5 * c),
                 price={"usdPerHour": str(0.1 * (1 + 0.6 * c))})
        for c in range(CLASSES)
    )  # fmt: skip
    variants, served = [], []
    for i in range(workloads):
        names = [f"m{i}-v{v}" for v in range(VARIANTS)]
        variants += [variant(name, 0.99 - 0.01 * v, 100.0 * (1 + v)) for v, name in enumerate(names)]
        state = serving(
            2,
            {"activeVariant": names[0], "variants": [{"name": names[0], "version": 1}]},
            variants=names,
            metrics=load(20.0 + i % 200),
            pods=(serving_pod("a"), serving_pod("b")),
        )
        served.append(state.model_copy(update={"meta": meta(f"w{i}", timedelta(minutes=5 + i % 60))}))
    return snapshot(hardware=classes, variants=tuple(variants), serving=tuple(served), carbon=(carbon("ES", 100.0),),
                    taken_at=NOW)  # fmt: skip


def measure(name: str, run: Callable[[], object], repeats: int) -> dict[str, object]:
    """Wall-clock and CPU seconds, and the peak resident memory of the process so far (MiB)."""
    run()
    wall, cpu = [], []
    for _ in range(repeats):
        before = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {
        "case": name,
        "seconds_median": round(statistics.median(wall), 3),
        "seconds_worst": round(max(wall), 3),
        "cpu_seconds_median": round(statistics.median(cpu), 3),
        "peak_memory_mib": round(peak, 1),
    }


def main() -> None:
    """Measure a tenth of the size, then the size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for size in (options.workloads // 10, options.workloads):
        for intervals in (1, 60):
            wide = fleet(size, intervals, options.seed)
            cases = {"capacity for all": wide, "0.9 of it": narrowed(wide, 0.9), "0.5 of it": narrowed(wide, 0.5)}
            for name, case in cases.items():
                label = f"core, {size} workloads x {VARIANTS} variants x {CLASSES} classes, {intervals} rates, {name}"
                print(json.dumps(measure(label, lambda case=case: control(case), options.repeats)))
        seen = world(size)
        label = f"plan(Snapshot), {size} ServingWorkloads x {VARIANTS} ModelVariants x {CLASSES} HardwareClasses"
        print(json.dumps(measure(label, lambda seen=seen: plan(seen), options.repeats)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
