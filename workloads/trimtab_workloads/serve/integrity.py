"""Serves no other file than the one that was measured, wherever it was fetched from."""

from __future__ import annotations

import hashlib
from pathlib import Path


class WrongFileError(Exception):
    """The file is not the one that the operator means."""


def check(path: Path, sha256: str | None) -> None:
    """Compares a file with its digest.

    Args:
        path: The file.
        sha256: Its digest in hexadecimal; None where nothing is known of it.

    Raises:
        WrongFileError: It has another one; the message names both.
        OSError: The file cannot be read.
    """
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WrongFileError(f"{path} has the SHA-256 {found}, but what was measured, and may serve, has {sha256}")
