"""The operator dies or is away while a training runs and a model is served: nothing is made, lost or counted twice."""

from datetime import datetime
from typing import Any

from tests.cluster import breaking
from tests.cluster.breaking import SAMPLES
from tests.cluster.story import SYSTEM, Story, is_ready, restarts
from trimtab.demo.facts import instant
from trimtab.demo.shell import Object

KUBELET_LAG_SECONDS = 20.0
"""The kubelet counts CPU time every 10 to 15 s, and an account ends with the last count before its end."""


def held_seconds(usage: dict[str, Any]) -> float:
    return float(usage["replicaSeconds"])


def serving_pods(story: Story) -> dict[str, int]:
    return {pod["metadata"]["uid"]: restarts(pod) for pod in story.pods("digits", "ServingWorkload")}


def ready_operator(story: Story, known: str = "", more_restarts_than: int = -1) -> Object | None:
    pod = story.operator_pod()
    if not pod or pod["metadata"]["uid"] == known or restarts(pod) <= more_restarts_than:
        return None
    return pod if is_ready(pod) else None


def job_is_done(story: Story, name: str) -> bool:
    found = story.shell.get("job", name).get("status", {}).get("conditions", [])
    return any(c["type"] == "Complete" and c["status"] == "True" for c in found)


def accounted(story: Story, kind: str, name: str, until: datetime) -> dict[str, Any] | None:
    usage: dict[str, Any] = breaking.status_of(story, kind, name).get("usage") or {}
    settled = bool(usage) and not usage.get("gaps") and instant(usage["accountedUntil"]) >= until
    return usage if settled else None


def ran_seconds(story: Story, name: str) -> list[float]:
    ended = [
        pod["status"]["containerStatuses"][0]["state"]["terminated"] for pod in story.pods(name, "TrainingWorkload")
    ]
    return [(instant(one["finishedAt"]) - instant(one["startedAt"])).total_seconds() for one in ended]


def test_an_operator_that_is_killed_or_away_makes_nothing_twice_and_loses_nothing(story: Story) -> None:
    shell, name, epochs = story.shell, breaking.unique("orphan"), 5
    deployment = shell.get("deployment", "digits-local-cpu")["metadata"]["uid"]
    servers, before = serving_pods(story), breaking.status_of(story, "sw", "digits")["usage"]
    with breaking.applied(story, breaking.training(name, epochs)):
        breaking.with_checkpoint(story, name)
        job = shell.get("job", name)["metadata"]["uid"]
        pods = {pod["metadata"]["uid"] for pod in story.pods(name, "TrainingWorkload")}
        # Out of memory, say: the container is started anew.
        operator = story.operator_pod()
        breaking.kill_process(story, operator, "trimtab.handlers")
        shell.until("the operator again", lambda: ready_operator(story, "", restarts(operator)), 120)
        # The node is lost, say, and for a while there is no place for it: the training comes to its end meanwhile.
        shell.query("scale", "deployment/trimtab-operator", "-n", SYSTEM, "--replicas=0")
        try:
            breaking.force_delete(story, story.operator_pod() or operator)
            shell.until("the training's end without the operator", lambda: job_is_done(story, name), 180)
            assert not story.operator_pod()
            assert "completionTime" not in breaking.status_of(story, "tw", name)
        finally:
            shell.query("scale", "deployment/trimtab-operator", "-n", SYSTEM, "--replicas=1")
        shell.until("a new operator", lambda: ready_operator(story, operator["metadata"]["uid"]), 120)
        status = breaking.finished(story, name)
        assert shell.get("job", name)["metadata"]["uid"] == job
        assert {pod["metadata"]["uid"] for pod in story.pods(name, "TrainingWorkload")} == pods
        ran = ran_seconds(story, name)
        done = instant(status["completionTime"])
        usage = shell.until("the training's last account", lambda: accounted(story, "tw", name, done), 120)
        after = shell.until("the server's account", lambda: accounted(story, "sw", "digits", done), 120)
    progress = status["progress"]
    assert (progress["visitsMin"], progress["visitsMax"]) == (epochs, epochs)
    assert progress["completedSamples"] == epochs * SAMPLES
    assert sum(ran) - KUBELET_LAG_SECONDS * len(ran) <= held_seconds(usage) <= sum(ran) + 2 * len(ran)
    # The server went on untouched, and its time is in the account once, also while nobody counted.
    assert shell.get("deployment", "digits-local-cpu")["metadata"]["uid"] == deployment
    assert serving_pods(story) == servers
    passed = (instant(after["accountedUntil"]) - instant(before["accountedUntil"])).total_seconds()
    assert passed > 40
    assert abs(held_seconds(after) - held_seconds(before) - passed * len(servers)) <= KUBELET_LAG_SECONDS * len(servers)
