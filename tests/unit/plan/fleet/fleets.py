"""Random fleets for tests."""

import math

import numpy as np

from trimtab.plan.fleet.problem import Fleet, Limits, Load, Option, Pool, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile


def random_fleet(
    seed: int, workloads: int = 6, variants: int = 3, pools: int = 2, free_units: float = math.inf, **fleet: bool
) -> Fleet:
    """Workloads of different load and target, each with every variant on every pool; some run already."""
    rng = np.random.default_rng(seed)
    names = [f"pool-{i}" for i in range(pools)]
    made = []
    for i in range(workloads):
        seconds = float(rng.uniform(0.002, 0.02))
        options = tuple(_option(v, name, p, seconds) for v in range(variants) for p, name in enumerate(names))
        runs = Running(variant="v0", pool=names[0], replicas=int(rng.integers(1, 4)), ready=1, loaded=("v0",))
        made.append(
            Workload(
                key=f"w{i}",
                options=options,
                target=Target(float(rng.uniform(0.1, 0.4)), 0.95, float(rng.choice([0.0, 0.965]))),
                load=Load((float(rng.uniform(0.0, 600.0)),)),
                settings=Settings(
                    max_replicas=12, usd_per_gram=1e-4, prefer_accuracy=bool(rng.integers(0, 2)),
                    scale_down_stabilization_seconds=0.0,
                ),
                limits=Limits(usd_per_hour=float(rng.choice([math.inf, 1.0]))),
                running=runs if rng.integers(0, 2) else Running(),
            )
        )  # fmt: skip
    return Fleet(
        1000.0, tuple(Pool(name, free_units, 100.0 + 200.0 * i) for i, name in enumerate(names)), tuple(made), **fleet
    )


def _option(variant: int, pool: str, index: int, seconds: float) -> Option:
    faster = seconds * (1.0 - 0.2 * variant) / (1.0 + 0.5 * index)
    return Option(
        variant=f"v{variant}",
        pool=pool,
        accuracy=0.98 - 0.01 * variant,
        profile=BatchProfile((1, 4, 16), (faster, 2.2 * faster, 6.0 * faster), 16, variability=0.3, tail_ratio=1.3),
        usd_per_hour=0.1 * (1.0 + 0.6 * index),
        idle_watts=20.0,
        peak_watts=80.0 * (1 + index),
        units=1.0 + index,
    )
