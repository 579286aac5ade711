"""A month with 200 kills of the operator and 50 outages of Prometheus, against one without: is any digit different?

Run it as `python -m tests.bench.bench_ledger_month` with `operator` on the path. It takes some minutes, and exits with
1 when an account differs.
"""

import argparse
import json
import sys
import time

from tests.unit.metered_month import Month
from tests.unit.test_ledger_month import run


def main() -> None:
    """Compare the two runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--outages", type=int, default=50, help="half of them lose the samples")
    parser.add_argument("--seed", type=int, default=30)
    chosen = parser.parse_args()
    begin = time.monotonic()
    dark = chosen.outages // 2
    month = Month(chosen.seed, chosen.days, dark)
    whole = run(month)
    broken = run(month, kills=chosen.kills, outages=chosen.outages - dark, seed=7)
    different = sorted(key for key in whole if whole[key] != broken.get(key))
    for key in sorted(whole):
        sums = {name: whole[key][name] for name in ("energyWattHours", "costUSD", "carbonGrams", "estimatedWattHours")}
        sys.stdout.write(json.dumps({"account": key, "same": key not in different, **sums}) + "\n")
    asked = {"days": chosen.days, "kills": chosen.kills, "outages": chosen.outages, "pods": len(month.pods)}
    sys.stdout.write(json.dumps({**asked, "seconds": round(time.monotonic() - begin, 1)}) + "\n")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
