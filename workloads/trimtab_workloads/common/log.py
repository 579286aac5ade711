"""One JSON object a line on standard output."""

from __future__ import annotations

import datetime
import json
import sys
import threading

_lock = threading.Lock()


def log(event: str, **fields: object) -> None:
    """Writes one line: the event's name, the UTC time and the fields.

    Args:
        event: What happened, in snake_case.
        **fields: Anything that JSON can carry; other values are written as their text.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"event": event, "time": now, **fields}, default=str)
    # Threads share stdout (exporters, runners): a line must stay whole.
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
