"""Builds what the cache lacks, with a progress bar; a second invocation waits and then finds it done."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.progress import Progress, TaskID

from trimtab.local.binaries.families import FAMILIES, Family
from trimtab.local.binaries.golang import go_program
from trimtab.local.console import building, say
from trimtab.local.errors import LocalError
from trimtab.local.locks import exclusive
from trimtab.local.paths import cache_dir
from trimtab.local.process import last_lines, run


def ensure(families: Iterable[str] = tuple(FAMILIES)) -> dict[str, Path]:
    """Return where each program of these families is, building what neither the cache nor PATH has.

    Raises:
        LocalError: If a build fails, with the end of its output.
    """
    wanted = [FAMILIES[name] for name in families]
    programs: dict[str, Path] = {}
    for family in wanted:
        if not family.is_built():
            programs.update(family.on_path())
    build_missing(family for family in wanted if not programs.keys() >= family.packages.keys())
    for family in wanted:
        for program in family.packages:
            programs.setdefault(program, family.directory / program)
    return programs


def build_missing(families: Iterable[Family] = tuple(FAMILIES.values())) -> None:
    """Build those of these families that the cache lacks.

    Raises:
        LocalError: If a build fails, with the end of its output.
    """
    wanted = list(families)
    if all(family.is_built() for family in wanted):
        return
    lock = cache_dir() / "bin" / ".lock"
    with exclusive(lock, lambda: say("another trimtab builds the programs of Kubernetes: waiting for it")):
        missing = [family for family in wanted if not family.is_built()]
        if not missing:
            return
        go = go_program()
        with building() as progress:
            for family in missing:
                _build(go, family, progress)


def _build(go: Path, family: Family, progress: Progress) -> None:
    task = progress.add_task(f"{family.name} {family.version}: fetching modules", total=None)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    packages = sorted(family.packages.values())
    listed = run(
        [go, "list", "-tags", ",".join(family.tags), "-deps", *packages],
        environment=environment,
        directory=family.source,
    )
    progress.update(task, total=len(listed.splitlines()), description=f"{family.name} {family.version}")
    scratch = family.directory.with_name(family.directory.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    log = family.directory.with_name(family.directory.name + ".log")
    command = [
        "nice",
        "-n",
        "5",
        str(go),
        "build",
        "-v",
        "-trimpath",
        "-tags",
        ",".join(family.tags),
        "-ldflags",
        family.linker_flags,
        "-o",
        f"{scratch}/",
        *packages,
    ]
    started = time.monotonic()
    with log.open("w") as output:
        compiler = subprocess.Popen(
            command,
            cwd=family.source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        _follow(compiler, output, progress, task)
    if compiler.returncode != 0:
        raise LocalError(f"building {family.name} failed:\n{last_lines(log)}\n    All of it: {log}")
    for program, package in family.packages.items():
        (scratch / _built_name(package)).rename(scratch / program)
    shutil.rmtree(family.directory, ignore_errors=True)
    scratch.rename(family.directory)
    progress.update(task, completed=progress.tasks[task].total)
    say(f"built {family.name} {family.version}", time.monotonic() - started)


def _built_name(package: str) -> str:
    """Return what Go calls the program of a package: its last part that is no major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _follow(compiler: "subprocess.Popen[str]", log: TextIO, progress: Progress, task: TaskID) -> None:
    """Advance the bar by one for each package that the compiler names."""
    for line in compiler.stdout or ():
        log.write(line)
        progress.advance(task)
    compiler.wait()
