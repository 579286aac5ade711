"""Prometheus is away: what runs keeps running at its scale, and the workload says why nothing is decided."""

from tests.cluster import breaking
from tests.cluster.story import SYSTEM, Story, conditions


def metrics_are(story: Story, status: str, reason: str) -> bool:
    found = conditions(story.shell.get("sw", "digits")).get("MetricsAvailable", {})
    return (found.get("status"), found.get("reason")) == (status, reason)


def test_without_prometheus_what_runs_keeps_running_and_says_so(story: Story) -> None:
    shell = story.shell
    pods = {pod["metadata"]["uid"] for pod in story.pods("digits", "ServingWorkload")}
    before = shell.get("deployment", "digits-local-cpu")
    shell.query("scale", "deployment/trimtab-prometheus", "-n", SYSTEM, "--replicas=0")
    try:
        shell.until("the condition", lambda: metrics_are(story, "False", "PrometheusUnreachable"), 120)
        status = breaking.status_of(story, "sw", "digits")
        assert conditions({"status": status})["MetricsAvailable"]["message"]
        assert conditions({"status": status})["Ready"]["status"] == "True"
        assert "MetricsMissing" in [reason["code"] for reason in status["decision"]["reasons"]]
        assert status["decision"]["replicas"] == before["spec"]["replicas"]
    finally:
        shell.query("scale", "deployment/trimtab-prometheus", "-n", SYSTEM, "--replicas=1")
    shell.until("metrics again", lambda: metrics_are(story, "True", "Fresh"), 180)
    after = shell.get("deployment", "digits-local-cpu")
    assert (after["metadata"]["uid"], after["spec"]["replicas"]) == (
        before["metadata"]["uid"],
        before["spec"]["replicas"],
    )
    assert {pod["metadata"]["uid"] for pod in story.pods("digits", "ServingWorkload")} == pods
