"""`trimtab crds`: write the generated CustomResourceDefinitions, or check that the committed ones are right."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from trimtab.api import crd

DIRECTORIES = (Path("crds"), Path("helm/trimtab/crds"))
"""Where they are kept: for `kubectl apply -f crds/`, and for helm, which takes no files from outside the chart."""


def stale(directory: Path, wanted: dict[str, str]) -> list[Path]:
    """Generated files in the directory that no kind stands behind (any more)."""
    candidates = sorted(directory.glob("*.yaml")) if directory.is_dir() else []
    return [path for path in candidates if path.name not in wanted and path.read_text().startswith(crd.HEADER)]


def differences(directory: Path, wanted: dict[str, str]) -> Iterator[str]:
    """What distinguishes the files in the directory from the wanted ones, as lines of unified diffs."""
    for name, text in wanted.items():
        path = directory / name
        present = path.read_text() if path.is_file() else ""
        if present != text:
            lines = (present.splitlines(), text.splitlines())
            yield from difflib.unified_diff(*lines, str(path), f"{name} (generated)", lineterm="")
    for path in stale(directory, wanted):
        yield f"{path}: no kind has this definition any more"


def write(directory: Path, wanted: dict[str, str]) -> None:
    """Write all definitions, and remove generated ones whose kind is gone."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in stale(directory, wanted):
        path.unlink()
    for name, text in wanted.items():
        path = directory / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def crds(
    directories: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR]...", help="Default: crds and helm/trimtab/crds.")
    ] = None,
    write_files: Annotated[bool, typer.Option("--write", help="Write the definitions.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail when the files differ from the models.")] = False,
) -> None:
    """Generate the CustomResourceDefinitions from the models; without an option, print them."""
    targets = tuple(directories or DIRECTORIES)
    wanted = crd.files()
    if write_files and check:
        raise typer.BadParameter("--write and --check exclude each other")
    if write_files:
        for directory in targets:
            write(directory, wanted)
    elif check:
        lines = [line for directory in targets for line in differences(directory, wanted)]
        if lines:
            typer.echo("\n".join(lines))
            mend = " ".join(["trimtab crds --write", *(str(directory) for directory in directories or ())])
            typer.echo(f"\nThe CRDs differ from the models; mend them with: {mend}", err=True)
            raise typer.Exit(1)
    else:
        typer.echo("---\n".join(wanted.values()), nl=False)
