"""What is broken on purpose comes right again, and nothing is made twice or lost."""

import json
from typing import Any

import pytest

from tests.cluster.story import Story
from trimtab.demo.shell import Shell

SHORT_TRAINING = """
apiVersion: trimtab.dev/v1alpha1
kind: TrainingWorkload
metadata: {name: %s, namespace: demo}
spec:
  torch: {epochs: 6, samplesPerSecondLimit: 300}
  minReplicas: 2
  maxReplicas: 2
  resources: {cpu: 400m, memory: 1Gi}
  hardware: {classes: [local-cpu]}
  checkpoint: {claimName: models, interval: 5s}
"""


WRONG = {
    "apiVersion": "trimtab.dev/v1alpha1",
    "kind": "TrainingWorkload",
    "metadata": {"name": "wrong", "namespace": "demo"},
}


def workload_status(shell: Shell, kind: str, name: str) -> dict[str, Any]:
    return shell.get(kind, name).get("status", {})


def condition(shell: Shell, kind: str, name: str, of: str) -> dict[str, Any]:
    return next((c for c in workload_status(shell, kind, name).get("conditions", []) if c["type"] == of), {})


def percent(shell: Shell, name: str) -> int:
    return int(workload_status(shell, "tw", name).get("progress", {}).get("percent", 0))


def finish(shell: Shell, name: str) -> dict[str, Any]:
    return shell.until(
        f"the end of {name}",
        lambda: (
            workload_status(shell, "tw", name) if workload_status(shell, "tw", name).get("completionTime") else None
        ),
        300,
        lambda: str(workload_status(shell, "tw", name).get("state")),
    )


def pod_names(shell: Shell, selector: str, namespace: str = "demo") -> list[str]:
    return [p["metadata"]["name"] for p in shell.items("pods", selector, namespace)]


def kill(shell: Shell, pod: str, namespace: str = "demo") -> None:
    shell.query("delete", "pod", pod, "-n", namespace, "--grace-period=0", "--force")


def test_killed_training_pod_and_killed_operator_lose_no_work(story: Story) -> None:
    shell, name = story.shell, "killed"
    shell.apply(SHORT_TRAINING % name)
    shell.until("some progress", lambda: percent(shell, name) >= 15, 180, lambda: f"{percent(shell, name)} %")
    job = shell.get("job", name)["metadata"]["uid"]
    kill(shell, next(p for p in pod_names(shell, f"trimtab.dev/workload={name}") if p.startswith(f"{name}-1")))
    [operator] = pod_names(shell, "app.kubernetes.io/component=operator", "trimtab-system")
    kill(shell, operator, "trimtab-system")
    done = finish(shell, name)
    assert shell.get("job", name)["metadata"]["uid"] == job, "the Job was made anew"
    assert done["progress"]["visitsMin"] == done["progress"]["visitsMax"] == 6
    assert done["progress"]["completedSamples"] == 6 * 1437
    shell.query("delete", "tw", name, "-n", "demo")


def test_a_killed_triton_pod_is_replaced_and_the_workload_says_what_happens(story: Story) -> None:
    shell, selector = story.shell, "trimtab.dev/workload=digits,trimtab.dev/workload-kind=ServingWorkload"
    [before] = pod_names(shell, selector)
    kill(shell, before)

    def serves_again() -> bool:
        ready = workload_status(shell, "sw", "digits").get("readyReplicas", 0) >= 1
        return ready and before not in pod_names(shell, selector)

    shell.until("a new server", serves_again, 120)


def test_without_prometheus_what_runs_keeps_running_and_says_so(story: Story) -> None:
    shell = story.shell
    replicas = workload_status(shell, "sw", "digits")["readyReplicas"]
    shell.query("scale", "deployment/trimtab-prometheus", "-n", "trimtab-system", "--replicas=0")
    try:
        shell.until(
            "the condition",
            lambda: condition(shell, "sw", "digits", "MetricsAvailable").get("reason") == "PrometheusUnreachable",
            120,
            lambda: str(condition(shell, "sw", "digits", "MetricsAvailable").get("reason")),
        )
        assert workload_status(shell, "sw", "digits")["readyReplicas"] == replicas
    finally:
        shell.query("scale", "deployment/trimtab-prometheus", "-n", "trimtab-system", "--replicas=1")
    shell.until(
        "metrics again", lambda: condition(shell, "sw", "digits", "MetricsAvailable").get("status") == "True", 180
    )


@pytest.mark.parametrize(
    ("edit", "kind", "reason"),
    [
        ({"hardware": {"classes": ["tpu-v9"]}}, "tw", "HardwareClassNotFound"),
        ({"checkpoint": {"claimName": "no-such-claim"}}, "tw", "no-such-claim"),
    ],
)
def test_what_only_shows_later_is_a_condition_that_names_it(
    story: Story, edit: dict[str, Any], kind: str, reason: str
) -> None:
    shell, name = story.shell, "wrong"
    spec = {"torch": {"epochs": 1}, "checkpoint": {"claimName": "models"}, **edit}
    shell.apply(json.dumps({**WRONG, "spec": spec}))
    try:
        shell.until(
            reason,
            lambda: reason in json.dumps(workload_status(shell, kind, name)),
            60,
            lambda: str(condition(shell, kind, name, "Ready").get("message")),
        )
        assert workload_status(shell, "sw", "digits")["readyReplicas"] >= 1
    finally:
        shell.query("delete", kind, name, "-n", "demo")


def test_a_deleted_workload_takes_its_children_along(story: Story) -> None:
    shell, name = story.shell, "gone"
    shell.apply(SHORT_TRAINING % name)
    shell.until("its Job", lambda: shell.get("job", name), 60)
    shell.query("delete", "tw", name, "-n", "demo")
    shell.until(
        "an empty place",
        lambda: not shell.get("job", name) and not pod_names(shell, f"trimtab.dev/workload={name}"),
        120,
    )
