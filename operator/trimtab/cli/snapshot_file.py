"""Reads a Snapshot that the operator kept."""

from pathlib import Path

import typer
from pydantic import ValidationError

from trimtab.plan.snapshot import Snapshot


def read_snapshot(path: Path) -> Snapshot:
    """The Snapshot in a file.

    Raises:
        typer.BadParameter: It cannot be read, or is none of this version; with the first field that is wrong.
    """
    try:
        return Snapshot.model_validate_json(path.read_text())
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise typer.BadParameter(f"{path} is no Snapshot of this version: {where}: {first['msg']}") from error
