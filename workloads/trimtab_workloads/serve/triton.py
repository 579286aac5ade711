"""Where Triton is, and how it is started."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from trimtab_workloads.serve.config import ServeConfig, Settings

# A batch is a few kilobytes. A container's /dev/shm has 64 MiB by default, and each instance takes a region, two while
# versions are switched; they grow when they must.
_SHARED_MEMORY_BYTES = 1 << 20
_SHARED_MEMORY = Path("/dev/shm")
_NVIDIA_IMAGE = Path(os.environ.get("TRIMTAB_TRITON_DIRECTORY", "/opt/tritonserver"))
"""Where NVIDIA's image has its server."""
# The percentiles that a target may be set for, and more of the tail: they tell how much of an error budget is spent.
_QUANTILES = "0.5:0.05,0.9:0.01,0.95:0.005,0.98:0.002,0.99:0.001,0.999:0.0005"


def installation() -> Path:
    """The folder of tritonserver: that of NVIDIA's image, or of the wheel of nvidia-pytriton, found without importing
    that.

    Raises:
        FileNotFoundError: There is neither.
    """
    if (_NVIDIA_IMAGE / "bin/tritonserver").is_file():
        return _NVIDIA_IMAGE
    found = find_spec("pytriton")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            f"no tritonserver: neither {_NVIDIA_IMAGE} nor nvidia-pytriton is there; a serving image has one of them"
        )
    return Path(found.submodule_search_locations[0]) / "tritonserver"


def _stub(triton: Path) -> Path:
    """The Python backend's stub for this Python: NVIDIA's image has one, for its own Python, beside the backend."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    of_version = triton / f"python_backend_stubs/{version}/triton_python_backend_stub"
    return of_version if of_version.is_file() else triton / "backends/python/triton_python_backend_stub"


def backend_directory(work_directory: Path) -> Path:
    """Makes a backend directory whose Python backend has the stub of this Python, as links; returns it.

    The server looks for the stub beside the backend's library only, and a copy of the stub would break its relative
    RPATH: the load then hangs without an error.
    """
    triton = installation()
    backends = work_directory / "backends"
    shutil.rmtree(backends, ignore_errors=True)
    python = backends / "python"
    python.mkdir(parents=True)
    for target in (
        triton / "backends/python/libtriton_python.so",
        triton / "backends/python/triton_python_backend_utils.py",
        _stub(triton),
    ):
        (python / target.name).symlink_to(target)
    return backends


def shared_memory_prefix(config: ServeConfig) -> str:
    """What the names of the server's regions in /dev/shm begin with; no two servers of a host share a port."""
    return f"trimtab-triton-{config.grpc_port}-"


def remove_stale_shared_memory(config: ServeConfig) -> None:
    """Removes the regions that a killed server left: /dev/shm outlives a container's restart, and would fill up."""
    for path in _SHARED_MEMORY.glob(f"{shared_memory_prefix(config)}*"):
        path.unlink(missing_ok=True)


def command(config: ServeConfig, settings: Settings, repository: Path, backends: Path) -> list[str]:
    """The command line of tritonserver."""
    triton = installation()
    return [
        str(triton / "bin/tritonserver"),
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        f"--load-model={config.model}",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={config.exit_timeout_seconds}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-default-byte-size={_SHARED_MEMORY_BYTES}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix(config)}",
        f"--backend-config=python,shm-growth-byte-size={_SHARED_MEMORY_BYTES}",
        f"--cache-directory={triton / 'caches'}",
        f"--http-address={config.address}",
        f"--http-port={config.http_port}",
        f"--grpc-address={config.address}",
        f"--grpc-port={config.grpc_port}",
        f"--grpc-max-connection-age={round(config.max_connection_age_seconds * 1000)}",
        f"--metrics-address={config.address}",
        f"--metrics-port={config.metrics_port}",
        "--allow-gpu-metrics=false",
        "--metrics-interval-ms=2000",
        "--metrics-config=summary_latencies=true",
        # Triton has it for models that stream. 2.51 takes the setting, and has none.
        "--metrics-config=histogram_latencies=true",
        f"--metrics-config=summary_quantiles={_QUANTILES}",
        f"--log-verbose={settings.log_verbose}",
        *_options(config),
    ]


def _options(config: ServeConfig) -> list[str]:
    """What is off unless it is asked for: the cache of answers, and the rate limiter."""
    options = []
    if config.response_cache_bytes:
        options.append(f"--cache-config=local,size={config.response_cache_bytes}")
    if config.rate_limiter_resources:
        options.append("--rate-limit=execution_count")
        options += [f"--rate-limit-resource={name}:{n}" for name, n in sorted(config.rate_limiter_resources.items())]
    return options


def environment(config: ServeConfig, settings: Settings, inherited: dict[str, str]) -> dict[str, str]:
    """The environment of tritonserver: its stub must find this very Python, and libpython, wherever they are.

    Args:
        config: Of the server.
        settings: Those that it starts with.
        inherited: The environment that this process has.
    """
    library = sysconfig.get_config_var("LIBDIR")
    paths = [str(Path(sys.executable).parent), inherited.get("PATH", "/usr/bin:/bin")]
    libraries = [part for part in (inherited.get("LD_LIBRARY_PATH"), library) if part]
    return inherited | {
        "PATH": ":".join(paths),
        "LD_LIBRARY_PATH": ":".join(libraries),
        "OMP_NUM_THREADS": str(settings.threads),
        "HOME": str(config.work_directory),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
