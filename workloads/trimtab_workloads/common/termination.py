"""The result of a container: JSON in the file that Kubernetes copies to the pod's status."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from trimtab_workloads.common.log import log

DEFAULT_PATH = "/dev/termination-log"
PATH_VARIABLE = "TRIMTAB_TERMINATION_LOG"
# The kubelet keeps the last 4096 bytes only, and half a JSON object is none:
# https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
LIMIT_BYTES = 4096


def write_result(result: Mapping[str, object]) -> None:
    """Writes the result to the termination log, and to standard output as the event `result`.

    Outside Kubernetes the file is missing or not ours to write; the line on standard output is then all there is,
    and the log says so.

    Raises:
        ValueError: The result is longer than Kubernetes would keep.
    """
    text = json.dumps(result)
    log("result", **{"result": result})
    if len(text.encode()) >= LIMIT_BYTES:
        raise ValueError(f"the result has {len(text.encode())} bytes, Kubernetes keeps {LIMIT_BYTES}")
    path = Path(os.environ.get(PATH_VARIABLE, DEFAULT_PATH))
    try:
        path.write_text(text)
    except OSError as error:
        log("termination_log_unwritable", path=str(path), error=str(error))
