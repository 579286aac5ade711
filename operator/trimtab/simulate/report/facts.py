"""What a report says about the run itself: enough to repeat it and to know what it was fed."""

import hashlib
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from trimtab.simulate.results import Sensitivity

FloatArray = npt.NDArray[np.float64]

_LIBRARIES = ("trimtab", "numpy", "scipy", "highspy")


@dataclass(frozen=True)
class InputFile:
    """A file that the run read."""

    role: str
    """What it was read for: `jobs`, `carbon`."""
    path: str
    """As it was named on the command line."""
    sha256: str


@dataclass(frozen=True)
class RunFacts:
    """How a run was made."""

    kind: Literal["training", "elastic", "serving"]
    """Jobs on a grid trace, elastic jobs that compete for a cluster, or requests."""
    command: str
    """The command line that repeats it."""
    seed: int
    reference: str
    """The policy against which savings are counted."""
    objective: str
    """What is to be least, and what the ratio to the optimum is of: `carbon`, `mean completion time`."""
    least_attainment: float = 0.0
    """Share of requests that have to be within the latency target (0..1): a policy below it is no rival."""
    inputs: tuple[InputFile, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    """What was assumed, for a person: name, value."""
    zone: str = ""
    """The grid's zone."""
    grams_per_kwh: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Carbon intensity from the start of the simulation, hourly; empty where none was given."""
    sensitivities: tuple[Sensitivity, ...] = ()


def input_file(role: str, path: Path) -> InputFile:
    """Fingerprint a file that is read."""
    with path.open("rb") as stream:
        return InputFile(role, str(path), hashlib.file_digest(stream, "sha256").hexdigest())


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that figures depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
