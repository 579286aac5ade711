"""`python3 -m trimtab_workloads.optimize`: the Job of a ModelVariant."""

from __future__ import annotations

from trimtab_workloads.common.entry import run_entry_point
from trimtab_workloads.optimize.config import OptimizeConfig
from trimtab_workloads.optimize.run import run

if __name__ == "__main__":
    run_entry_point(OptimizeConfig, run)
