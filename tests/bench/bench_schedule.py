"""Speed and memory of the scheduler: `python -m tests.bench.bench_schedule`, one core.

10,000 queued jobs over a week of hours (and a tenth of them), capacity scarce, one to three modes each, gangs and
deadlines; then the small problems that a simulator or the operator solves every hour. The memory is the peak of what
NumPy and Python allocate, by tracemalloc, in a run of its own, which is slower than the timed one.
"""

import argparse
import json
import math
import sys
import time
import tracemalloc

import numpy as np

from trimtab.plan.schedule.problem import Job, Pool, RunMode, SchedulingProblem
from trimtab.plan.schedule.solve import solve


def queue(
    jobs: int, slots: int = 168, pools: int = 4, use: float = 0.6, starts: float = 0.0, seed: int = 10
) -> SchedulingProblem:
    """A queue of jobs whose least demand is a share `use` of the capacity; a share `starts` lose 0.1 h a start."""
    random = np.random.default_rng(seed)
    made, demand = [], 0.0
    for index in range(jobs):
        work = min(float(random.lognormal(1.2, 1.0)), slots / 3.0)
        gang = float(random.choice([1, 1, 1, 2, 4]))
        home = int(random.integers(0, pools))
        modes = tuple(
            RunMode(
                home if random.random() < 0.7 else int(random.integers(0, pools)),
                n,
                gang * n,
                float(n**0.85),
                0.3 * gang * n,
            )
            for n in range(1, int(random.integers(1, 4)) + 1)
        )
        earliest = float(random.uniform(0.0, slots / 2.0)) if random.random() < 0.5 else 0.0
        slack = float(random.uniform(2.0, slots / 2.0))
        deadline = max(min(earliest + work + slack, float(slots)), earliest + 1.1 * work)
        made.append(
            Job(
                key=f"job-{index:05d}",
                work=work,
                modes=modes,
                earliest_hours=earliest,
                deadline_hours=deadline if random.random() < 0.9 else math.inf,
                switch_hours=0.1 if random.random() < starts else 0.0,
                priority=int(random.random() < 0.1),
            )
        )
        demand += work * gang
    hour = np.arange(slots)
    units = math.ceil(demand / slots / pools / use) + 3.0 if use else math.inf
    hardware = tuple(
        Pool(
            f"pool-{index}",
            np.full(slots, float(units)),
            np.full(slots, 2.0 + index),
            300.0 + 200.0 * np.sin(2 * np.pi * (hour + 6 * index) / 24) + random.normal(0.0, 20.0, slots),
            20.0,
        )
        for index in range(pools)
    )
    return SchedulingProblem(np.arange(slots + 1.0), hardware, tuple(made), usd_per_gram=1e-3)


def measure(name: str, problem: SchedulingProblem, repeats: int) -> dict[str, object]:
    """Time of the fastest run and its processor time, peak memory, distance from the bound."""
    best_wall, best_cpu = math.inf, math.inf
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        schedule = solve(problem)
        best_cpu = min(best_cpu, time.process_time() - cpu)
        best_wall = min(best_wall, time.perf_counter() - wall)
    tracemalloc.start()
    solve(problem)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "name": name,
        "jobs": len(problem.jobs),
        "slots": len(problem.edges_hours) - 1,
        "wall_seconds": round(best_wall, 4),
        "cpu_seconds": round(best_cpu, 4),
        "peak_megabytes": round(peak / 2**20, 1),
        "gap_to_bound": round(schedule.objective_usd / schedule.lower_bound_usd - 1.0, 5),
        "late": sum(plan.missed_by_hours > 0.0 for plan in schedule.jobs),
        "unfinished": sum(math.isinf(plan.finish_hours) for plan in schedule.jobs),
    }


def main() -> None:
    """Run all of it, a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small-only", action="store_true")
    options = parser.parse_args()
    cases = [
        ("small, room", queue(20, 72, 1, use=0.0), 20),
        ("small, scarce", queue(20, 72, 1), 20),
        ("hundred, room", queue(100, 72, 2, use=0.0), 10),
        ("hundred, scarce", queue(100, 72, 2), 10),
    ]
    if not options.small_only:
        cases += [
            ("a tenth", queue(1_000), options.repeats),
            ("week", queue(10_000), options.repeats),
            ("week, one start in ten costs", queue(10_000, starts=0.1), 1),
        ]
    for name, problem, repeats in cases:
        json.dump(measure(name, problem, repeats), sys.stdout)
        print(flush=True)


if __name__ == "__main__":
    main()
