"""`python3 -m trimtab_workloads.serve.probe`: liveness by one real inference.

Triton calls a server live and a model ready though the process behind the model is dead and every request fails
(triton-inference-server/server#8604, #7230); only an inference tells. Standard library only, so that it is light.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request

SHAPE = (1, 1, 8, 8)
TIMEOUT_SECONDS = 4.0


def probe(model: str, port: int, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Sends one blank image and looks at the answer.

    Args:
        model: Name of the model in Triton.
        port: Of Triton's HTTP on this host.
        timeout_seconds: How long to wait.

    Raises:
        OSError: No answer, or one with an error status.
        ValueError: The answer is no inference.
    """
    body = {"inputs": [{"name": "input", "shape": SHAPE, "datatype": "FP32", "data": [0.0] * 64}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/models/{model}/infer",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # No proxies: the server is in this pod.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout_seconds) as response:
        answer = json.load(response)
    values = answer["outputs"][0]["data"] if answer.get("outputs") else []
    if len(values) != 10:
        raise ValueError(f"{len(values)} values instead of 10 logits")


def main() -> int:
    """Probes what `TRIMTAB_CONFIG` names; returns 0 if it answers, else 1 with the reason on standard error."""
    try:
        config = json.loads(os.environ["TRIMTAB_CONFIG"])
        probe(config["model"], config.get("httpPort", 8000))
    except (OSError, ValueError, KeyError) as error:
        print(f"inference failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
