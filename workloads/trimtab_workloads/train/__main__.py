"""`python3 -m trimtab_workloads.train`: one rank of a training, in a pod of an Indexed Job."""

from __future__ import annotations

from trimtab_workloads.common.entry import run_entry_point
from trimtab_workloads.train.config import TrainConfig
from trimtab_workloads.train.run import run

if __name__ == "__main__":
    run_entry_point(TrainConfig, run)
