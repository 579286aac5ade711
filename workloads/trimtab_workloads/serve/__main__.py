"""`python3 -m trimtab_workloads.serve`: builds the model repository and becomes tritonserver."""

from __future__ import annotations

import os

from trimtab_workloads.common.entry import run_entry_point
from trimtab_workloads.common.log import log
from trimtab_workloads.serve import repository, triton
from trimtab_workloads.serve.config import ServeConfig


def run(config: ServeConfig) -> int:
    """Replaces this process by tritonserver, so that it is the container's first process and gets its signals."""
    active = repository.active_version(config)
    settings = repository.settings(config)
    path = repository.build(config, active, settings)
    backends = triton.backend_directory(config.work_directory)
    triton.remove_stale_shared_memory(config)
    arguments = triton.command(config, settings, path, backends)
    log("serving", model=config.model, active_version=active, command=arguments)
    os.execve(arguments[0], arguments, triton.environment(config, settings, dict(os.environ)))


if __name__ == "__main__":
    run_entry_point(ServeConfig, run)
