"""Files that are either whole or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> str:
    """Writes a file so that a reader, or a crash at any moment, sees the old content or the new, never a part.

    The data is on the disk before the name points at it, and the name is on the disk before this returns.

    Returns:
        The data's SHA-256 in hexadecimal.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
    return hashlib.sha256(data).hexdigest()


def write_with_digest(path: Path, data: bytes) -> str:
    """Writes a file atomically and its SHA-256 beside it, in the format of `sha256sum`; returns the digest."""
    digest = hashlib.sha256(data).hexdigest()
    # The digest goes first: a crash between the two leaves a mismatch, which reads as "not whole".
    write_atomically(digest_path(path), f"{digest}  {path.name}\n".encode())
    write_atomically(path, data)
    return digest


def digest_path(path: Path) -> Path:
    """Where `write_with_digest` puts the digest of a file."""
    return path.with_name(path.name + ".sha256")


def read_verified(path: Path) -> bytes:
    """Reads a file that `write_with_digest` wrote.

    Raises:
        OSError: The file or its digest cannot be read.
        ValueError: The content does not match its digest.
    """
    expected = digest_path(path).read_text().split()[:1]
    data = path.read_bytes()
    actual = hashlib.sha256(data).hexdigest()
    if expected != [actual]:
        raise ValueError(f"{path}: SHA-256 is {actual}, expected {expected[0] if expected else 'one beside it'}")
    return data


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
