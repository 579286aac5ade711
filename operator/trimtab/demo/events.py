"""Follows the operator's events and prints them as they happen."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.demo.narrate import Narrator


def _print_stream(process: subprocess.Popen[str], narrator: Narrator) -> None:
    """Print each event object of kubectl's stream of JSON."""
    decoder, buffer = json.JSONDecoder(), ""
    assert process.stdout is not None
    for line in process.stdout:
        buffer += line
        if line.rstrip() != "}":
            continue
        try:
            event, end = decoder.raw_decode(buffer.lstrip())
        except json.JSONDecodeError:
            continue
        buffer = buffer.lstrip()[end:]
        about = event.get("regarding") or {}
        if not str(about.get("apiVersion", "")).startswith("trimtab.dev/"):
            continue
        name = f"{about.get('kind')}/{about.get('name')}"
        narrator.event(name, event.get("reason", ""), event.get("note", ""), event.get("type") == "Warning")


@contextmanager
def followed(kubectl: Path, kubeconfig: Path, narrator: Narrator) -> Iterator[None]:
    """Print the operator's events while the block runs."""
    command = [str(kubectl), "--kubeconfig", str(kubeconfig), "get", "events.v1.events.k8s.io", "-A"]
    command += ["--watch-only", "-o", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    reader = threading.Thread(target=_print_stream, args=(process, narrator), daemon=True)
    reader.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        reader.join(timeout=5)
