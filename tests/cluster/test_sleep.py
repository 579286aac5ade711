"""A service that nobody asks has no server; a request that comes is held until one is there, and is answered."""

import json
from typing import Any

from tests.cluster import breaking
from tests.cluster.story import NAMESPACE, Story
from tests.cluster.test_local_cluster import IMAGE

NAME, CLIENT = "sleepy", "sleepy-client"
# One request to the Service, as any client sends it; how long it took stands in the termination message.
ASK = f"""
import json, time, urllib.request
body = {{"inputs": [{{"name": "input", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.0] * 64}}]}}
request = urllib.request.Request(
    "http://{NAME}:8000/v2/models/digits/infer", json.dumps(body).encode(), {{"Content-Type": "application/json"}}
)
begun = time.monotonic()
with urllib.request.urlopen(request, timeout=240) as response:
    answer = json.load(response)
told = {{"status": response.status, "values": len(answer["outputs"][0]["data"]), "seconds": time.monotonic() - begun}}
open("/dev/termination-log", "w").write(json.dumps(told))
"""


def client() -> dict[str, Any]:
    container = {"name": "ask", "image": IMAGE, "command": ["python3", "-c", ASK]}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": CLIENT, "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]},
    }  # fmt: skip


def servers(story: Story) -> int:
    """Those on their way out too: while one is, it still answers."""
    return len(story.shell.items("pods", f"trimtab.dev/workload={NAME},trimtab.dev/workload-kind=ServingWorkload"))


def test_a_service_sleeps_and_the_request_that_wakes_it_is_answered(story: Story) -> None:
    one = breaking.serving(NAME, ["digits-int8"], minReplicas=0, scaling={"scaleToZeroAfter": "20s"})

    def state() -> str:
        return str(breaking.status_of(story, "sw", NAME).get("state"))

    with breaking.applied(story, one):
        story.shell.until("a server", lambda: state() == "Serving", 240, state)
        story.shell.until("its sleep", lambda: state() == "Asleep" and servers(story) == 0, 240, state)
        story.shell.apply(json.dumps(client()))

        def answered() -> dict[str, Any] | None:
            found = story.shell.get("pod", CLIENT).get("status", {}).get("containerStatuses", [])
            ended = [c["state"]["terminated"] for c in found if "terminated" in c.get("state", {})]
            return dict(json.loads(ended[0]["message"])) if ended and ended[0].get("message") else None

        try:
            told = story.shell.until("the answer", answered, 240, state)
        finally:
            story.shell.query("delete", "pod", CLIENT, "-n", NAMESPACE, "--ignore-not-found")
        assert (told["status"], told["values"]) == (200, 10)
        print(f"the request that woke the service was answered after {told['seconds']:.1f} s")
        assert told["seconds"] > 1.0
        assert servers(story) == 1
        reasons = [event["reason"] for event in story.events("ServingWorkload", NAME)]
        assert "FallsAsleep" in reasons
        assert "ScaleUp" in reasons
        # One that may sleep no longer needs nobody who holds requests.
        kept = breaking.serving(NAME, ["digits-int8"], minReplicas=1)
        story.shell.apply(json.dumps(kept))
        story.shell.until(
            "the end of its waker",
            lambda: not (story.shell.get("deployment", f"{NAME}-waker") or story.shell.get("svc", f"{NAME}-awake")), 60,
        )  # fmt: skip
