"""`python3 -m trimtab_workloads.serve.probe`: liveness by one real inference.

Triton calls a server live and a model ready though the process behind the model is dead and every request fails
(triton-inference-server/server#8604, #7230); only an inference tells. Standard library only, so that it is light.

What it sends is made from the model's own configuration. A server that is merely busy is alive: one whose queue is
full, or that answers others while the probe waits.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import urllib.error
import urllib.request
from typing import Any

INFERENCE_SECONDS = 20.0
"""For models that take their time. A dead backend answers at once, with an error."""
ASK_SECONDS = 3.0
"""For each question to the server itself. All together stays below the pod's liveness timeout."""
_BUSY = ("maximum queue size", "timeout expired")
"""Of Triton's refusals, those that only a server with work in hand gives."""


def probe(model: str, port: int, inference_seconds: float = INFERENCE_SECONDS) -> None:
    """Sends one inference and looks at the answer.

    Args:
        model: Name of the model in Triton.
        port: Of Triton's HTTP on this host.
        inference_seconds: How long to wait for it.

    Raises:
        OSError: No answer while the server answered nobody else either, or one with an error status.
        ValueError: The answer is no inference.
    """
    base = f"http://127.0.0.1:{port}/v2/models/{model}"
    config = _call(f"{base}/config", None, ASK_SECONDS)
    before = _executions(base)
    try:
        answer = _call(f"{base}/infer", inference(config), inference_seconds)
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        if any(words in said for words in _BUSY):
            return
        raise OSError(f"{error.code}: {said[:300]}") from error
    except OSError:
        if _executions(base) > before:
            return
        raise
    given = {it["name"] for it in answer.get("outputs", [])}
    missing = sorted({it["name"] for it in config["output"]} - given)
    if missing:
        raise ValueError(f"the answer lacks the output {', '.join(missing)}")


def inference(config: dict[str, Any]) -> dict[str, Any]:
    """A request of one item for a model, as JSON of the KServe protocol.

    Its values are drawn anew each time: the answer to the same request might come from the response cache.
    """
    batch = [1] if int(config.get("max_batch_size", 0)) > 0 else []
    inputs = []
    for it in config["input"]:
        shape = [*batch, *(int(size) if int(size) > 0 else 1 for size in it["dims"])]
        kind = it["data_type"].removeprefix("TYPE_")
        kind = "BYTES" if kind == "STRING" else kind
        inputs.append({"name": it["name"], "shape": shape, "datatype": kind, "data": [_value(kind)] * math.prod(shape)})
    parameters: dict[str, Any] = {}
    if "sequence_batching" in config:
        parameters = {"sequence_id": random.getrandbits(62) + 1, "sequence_start": True, "sequence_end": True}
    elif int(config.get("dynamic_batching", {}).get("priority_levels", 0)) > 0:
        parameters = {"priority": 1}
    return {"inputs": inputs, **({"parameters": parameters} if parameters else {})}


def _value(kind: str) -> Any:
    if kind.startswith("FP"):
        return round(random.random(), 6)
    if kind == "BYTES":
        return f"{random.getrandbits(32):x}"
    return bool(random.getrandbits(1)) if kind == "BOOL" else random.getrandbits(1)


def _executions(base: str) -> int:
    """Executions of all versions since the server started."""
    stats = _call(f"{base}/stats", None, ASK_SECONDS)
    return sum(int(one.get("execution_count", 0)) for one in stats.get("model_stats", []))


def _call(url: str, body: dict[str, Any] | None, timeout_seconds: float) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    # No proxies: the server is in this pod.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout_seconds) as response:
        answer = json.load(response)
    if not isinstance(answer, dict):
        raise ValueError(f"{url} answers with no object")
    return answer


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
