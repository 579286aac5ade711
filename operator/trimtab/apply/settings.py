"""Settings of applying."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Images:
    """Images of the built-in runtimes; a workload may name its own."""

    train: str
    optimize: str
    serve: str
    serve_nvidia: str = ""
    """For serving with accelerators; empty means `serve`."""


@dataclass(frozen=True)
class ApplySettings:
    """How the plan is made so. All times are in seconds."""

    images: Images
    usage_write_seconds: float = 10.0
    """Usage alone is written to status at most this often."""
    resync_seconds: float = 300.0
    """Children are applied again after this time even when nothing changed: what others changed is put right."""
    parallel: int = 8
    """Objects applied at the same time."""
