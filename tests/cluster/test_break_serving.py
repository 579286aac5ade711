"""Servers die under load and come back; a deleted workload takes its children along."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster import breaking
from tests.cluster.story import NAMESPACE, Story, is_ready, restarts
from trimtab.demo.shell import Object

NAME, LOAD = "sturdy", "sturdy-load"
SELECTOR = f"trimtab.dev/workload={NAME},trimtab.dev/workload-kind=ServingWorkload"
REPLICAS, REQUESTS_PER_SECOND = 2, 10
CLEAN_SECONDS = 5


def ready_pods(story: Story) -> dict[str, Object]:
    return {p["metadata"]["uid"]: p for p in story.pods(NAME, "ServingWorkload") if is_ready(p)}


def seconds(story: Story) -> list[dict[str, int]]:
    pods = story.shell.items("pods", f"job-name={LOAD}")
    return [line for pod in pods for line in story.logged(pod) if line["event"] == "second"]


def served_cleanly(story: Story) -> None:
    """Wait for some seconds, all of them from now on, in which every request was answered."""
    seen = len(seconds(story))

    def clean() -> bool:
        lines = seconds(story)[seen:][-CLEAN_SECONDS:]
        return len(lines) == CLEAN_SECONDS and all(line["ok"] > 0 and line["failed"] == 0 for line in lines)

    story.shell.until("seconds without a failed request", clean, 90, lambda: str(seconds(story)[-1:]))


@pytest.fixture(scope="module")
def sturdy(story: Story) -> Iterator[Story]:
    """Two servers under a modest load."""
    spec = breaking.serving(
        NAME, ["digits-int8"], minReplicas=REPLICAS, maxReplicas=REPLICAS, triton={"maxBatchSize": 8}
    )
    with breaking.applied(story, spec):
        story.shell.until("both servers", lambda: len(ready_pods(story)) == REPLICAS, 180)
        story.shell.apply(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": breaking.load(LOAD, NAME, REQUESTS_PER_SECOND)})
        )
        try:
            story.shell.until("requests", lambda: any(line["ok"] for line in seconds(story)), 120)
            yield story
        finally:
            story.shell.query("delete", f"job/{LOAD}", f"configmap/{LOAD}", "-n", NAMESPACE, "--ignore-not-found")
            story.shell.until("the end of the load", lambda: not story.shell.items("pods", f"job-name={LOAD}"), 90)


def test_a_killed_server_is_replaced(sturdy: Story) -> None:
    deployment = sturdy.shell.get("deployment", f"{NAME}-local-cpu")["metadata"]["uid"]
    before = ready_pods(sturdy)
    victim = next(iter(before))
    breaking.force_delete(sturdy, before[victim])

    def replaced() -> bool:
        now = ready_pods(sturdy)
        return len(now) == REPLICAS and victim not in now

    sturdy.shell.until("a server in its place", replaced, 120)
    served_cleanly(sturdy)
    assert sturdy.shell.get("deployment", f"{NAME}-local-cpu")["metadata"]["uid"] == deployment


def test_a_server_whose_model_process_died_is_started_anew(sturdy: Story) -> None:
    victim = next(iter(ready_pods(sturdy).values()))
    uid, name, before = victim["metadata"]["uid"], victim["metadata"]["name"], restarts(victim)
    # Triton goes on calling itself ready without it: only a real inference tells.
    breaking.kill_process(sturdy, victim, "triton_python_backend_stub")

    def restarted() -> bool:
        pod = ready_pods(sturdy).get(uid, {})
        return bool(pod) and restarts(pod) > before

    sturdy.shell.until("the container started anew", restarted, 240)
    told = [e["note"] for e in sturdy.events("Pod", name) if e["reason"] == "Unhealthy"]
    assert any("inference failed" in note for note in told), told
    served_cleanly(sturdy)
    assert len(ready_pods(sturdy)) == REPLICAS


def failed_requests(story: Story) -> int:
    return sum(line["failed"] for line in seconds(story))


def test_a_drained_server_fails_no_request_and_is_replaced(sturdy: Story) -> None:
    served_cleanly(sturdy)
    before, failed = ready_pods(sturdy), failed_requests(sturdy)
    victim = next(iter(before.values()))["metadata"]

    def budget() -> Object:
        return sturdy.shell.get("pdb", f"{NAME}-disruption")

    # What kubectl drain does with each pod of the node; the budget says whether it may.
    sturdy.shell.until("leave for one", lambda: budget().get("status", {}).get("disruptionsAllowed") == 1, 60)
    breaking.evict(sturdy, victim["name"])

    def replaced() -> bool:
        now = ready_pods(sturdy)
        return len(now) == REPLICAS and victim["uid"] not in now

    sturdy.shell.until("a server in its place", replaced, 120)
    served_cleanly(sturdy)
    assert failed_requests(sturdy) == failed


def test_a_disruption_budget_that_is_turned_off_goes(sturdy: Story) -> None:
    one = breaking.serving(
        NAME, ["digits-int8"], minReplicas=REPLICAS, maxReplicas=REPLICAS, triton={"maxBatchSize": 8},
        availability={"disruptionBudget": False},
    )  # fmt: skip
    sturdy.shell.apply(json.dumps(one))
    sturdy.shell.until("its end", lambda: not sturdy.shell.get("pdb", f"{NAME}-disruption"), 60)


def test_a_deleted_workload_takes_its_children_along(sturdy: Story) -> None:
    kinds = "deployments,replicasets,services,configmaps,pods"

    def children(selector: str) -> set[str]:
        return set(sturdy.shell.query("get", kinds, "-n", NAMESPACE, "-l", selector, "-o", "name").split())

    others = "trimtab.dev/workload=digits,trimtab.dev/workload-kind=ServingWorkload"
    kept = children(others)
    assert {name.partition("/")[0] for name in children(SELECTOR)} >= {"deployment.apps", "service", "configmap", "pod"}
    sturdy.shell.query("delete", "sw", NAME, "-n", NAMESPACE)
    sturdy.shell.until(
        "none of its children", lambda: not children(SELECTOR), 120, lambda: " ".join(children(SELECTOR))
    )
    assert children(others) == kept
