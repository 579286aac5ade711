"""Results of steps, by the digest of all that they depend on: an equal beginning of a chain is not run again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from trimtab_workloads.common.files import write_atomically
from trimtab_workloads.common.log import log

_TOOLS = ("torch", "torchao", "onnx", "onnxscript", "onnxruntime", "onnxslim", "numpy")
_OWN_CODE = ("common", "optimize", "train")

Facts = Mapping[str, object]


def begin(*parts: str) -> str:
    """The key of a chain before its first step: source, seed, and what would do the steps.

    Args:
        *parts: Digests of the source's files, and the seed.
    """
    tools = {name: version(name) for name in _TOOLS}
    return _digest({"parts": parts, "tools": tools, "code": _own_code()})


def then(key: str, step: Facts) -> str:
    """The key after one more step, as it is specified."""
    return _digest({"before": key, "step": step})


def _digest(value: Facts) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _own_code() -> str:
    """Digest of the code that does the steps: a correction in it must not be answered from before."""
    root = Path(__file__).resolve().parents[1]
    files = sorted(path for folder in _OWN_CODE for path in (root / folder).glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@dataclass(frozen=True)
class StepCache:
    """A directory of results. A damaged, missing or unwritable one costs time and nothing else."""

    directory: Path | None
    limit_bytes: int

    def get(self, key: str) -> tuple[bytes, Facts] | None:
        """The content and the facts that were put by this key; None where there are none that are whole."""
        if self.directory is None:
            return None
        content_path, facts_path = self._paths(self.directory, key)
        try:
            record = json.loads(facts_path.read_bytes())
            content = content_path.read_bytes()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log("step_cache_unreadable", key=key, error=str(error))
            return None
        if hashlib.sha256(content).hexdigest() != record.get("sha256"):
            log("step_cache_corrupt", key=key)
            return None
        try:
            os.utime(facts_path)  # The longest unused are the first to go.
        except OSError as error:
            log("step_cache_unwritable", key=key, error=str(error))
        return content, record["facts"]

    def put(self, key: str, content: bytes, facts: Facts) -> None:
        """Keeps a result, and removes the longest unused ones beyond the limit."""
        if self.directory is None or len(content) > self.limit_bytes:
            return
        content_path, facts_path = self._paths(self.directory, key)
        record = {"sha256": hashlib.sha256(content).hexdigest(), "facts": facts}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # The facts go last: they are what makes the result count.
            write_atomically(content_path, content)
            write_atomically(facts_path, json.dumps(record).encode())
            self._make_room(self.directory)
        except OSError as error:
            log("step_cache_unwritable", key=key, error=str(error))

    def _make_room(self, directory: Path) -> None:
        oldest_first = sorted(directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        sizes = {path: path.with_suffix(".bin").stat().st_size for path in oldest_first}
        used = sum(sizes.values())
        for path in oldest_first:
            if used <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            path.with_suffix(".bin").unlink(missing_ok=True)
            used -= sizes[path]

    @staticmethod
    def _paths(directory: Path, key: str) -> tuple[Path, Path]:
        return directory / f"{key}.bin", directory / f"{key}.json"
