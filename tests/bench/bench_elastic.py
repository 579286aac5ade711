"""Mean completion time of all policies on the workloads of Pollux, beside the figures of its artifact.

Run: `python tests/bench/bench_elastic.py FOLDER/workloads [--seeds 0 1] [--policies trimtab pollux]`. A workload takes
seconds, but with `pollux` minutes.
"""

import argparse
import time
from pathlib import Path

from trimtab.simulate.elastic.run import POLICIES, ElasticRun, run_elastic

WORKLOADS = (1, 2, 3, 4, 5, 6, 7, 8)
ARTIFACT_SECONDS = {
    "pollux": (2088.76875, 3322.94375, 2188.49375, 2720.98125, 2673.7, 2446.13125, 3616.14375, 2951.90625),
    "optimus": (4087.0625, 6913.875, 3944.00625, 5967.75, 5656.25, 5301.875, 7290.85625, 6293.79375),
    "tiresias": (2473.65, 5144.9625, 3876.25625, 3280.2625, 3501.0125, 3469.69375, 5479.9125, 5079.70625),
}
"""Mean completion time of the workloads 1 to 8.

From `simulator/results-jobload/*-1.0/summary.json` of petuum/adaptdl, branch osdi21-artifact.
"""


def main() -> None:
    """Prints a line for each workload, policy and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", type=Path, help="folder with workload-N.csv, beside the folder traces")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    options = parser.parse_args()
    print("workload   policy           seed   hours artifact   GPU-h    kWh  plan ms  wall s")
    for path in sorted(options.workloads.glob("workload-*.csv")):
        number = int(path.stem.split("-")[1])
        for seed in options.seeds:
            for policy in options.policies:
                began = time.perf_counter()
                (result,) = run_elastic(ElasticRun(jobs=path, policies=(policy,), seed=seed))
                published = dict(zip(WORKLOADS, ARTIFACT_SECONDS.get(policy, ()), strict=False)).get(number)
                told = f"{published / 3600:8.4f}" if published else " " * 8
                print(
                    f"{path.stem:10} {policy:16} {seed:4} {result.mean_jct_h:7.4f} {told} {result.replica_hours:7.0f}"
                    f" {result.energy_kwh:6.1f} {result.plan_ms_p50 or 0:8.1f} {time.perf_counter() - began:7.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
