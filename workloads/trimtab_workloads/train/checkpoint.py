"""Checkpoints on a volume: whole or ignored, the newest whole one wins."""

from __future__ import annotations

import re
from pathlib import Path

from trimtab_workloads.common.files import digest_path, read_verified, write_with_digest
from trimtab_workloads.common.log import log

# The newest may be torn by a lost node; with two more, one bad write after another still costs no restart.
KEPT = 3
_NAME = re.compile(r"checkpoint-(\d{10})\.pt")


def save(directory: Path, step: int, data: bytes) -> Path:
    """Writes a checkpoint and removes all but the newest `KEPT`; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"checkpoint-{step:010d}.pt"
    write_with_digest(path, data)
    for old in _newest_first(directory)[KEPT:]:
        old.unlink(missing_ok=True)
        digest_path(old).unlink(missing_ok=True)
    return path


def load_newest(directory: Path) -> bytes | None:
    """The content of the newest checkpoint whose digest matches; None when there is none.

    A torn or corrupt checkpoint is said in the log (`checkpoint_corrupt`) and passed over.
    """
    for path in _newest_first(directory):
        try:
            return read_verified(path)
        except (OSError, ValueError) as error:
            log("checkpoint_corrupt", path=str(path), error=str(error))
    return None


def _newest_first(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
