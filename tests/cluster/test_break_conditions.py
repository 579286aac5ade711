"""What only shows after `kubectl apply` becomes a condition that names what is wrong, while others keep running."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster import breaking
from tests.cluster.story import NAMESPACE, Story, conditions, is_ready, restarts

SMALL = {"minReplicas": 1, "maxReplicas": 1, "resources": {"cpu": "100m", "memory": "256Mi"}}
NOWHERE = {
    "nodeSelector": {"node.kubernetes.io/instance-type": "nowhere"},
    "resourceName": "cpu",
    "price": {"usdPerHour": "0.1"},
    "power": {"idleWatts": "1", "peakWatts": "2"},
    "gridZone": "ES",
}
WRONG = (
    breaking.manifest("HardwareClass", "nowhere", NOWHERE, namespace=""),
    breaking.training("wrong-nodes", 1, **SMALL, hardware={"classes": ["nowhere"]}),
    breaking.training("wrong-class", 1, **SMALL, hardware={"classes": ["tpu-v9"]}),
    breaking.training("wrong-claim", 1, **SMALL, checkpoint={"claimName": "no-such-claim"}),
    breaking.training("wrong-image", 1, **SMALL, torch={"image": "registry.invalid/none:1"}),
    breaking.manifest("ModelVariant", "wrong-source", {"source": {"trainingWorkload": "no-such-training"}}),
    breaking.serving("wrong-variant", ["no-such-variant"]),
    breaking.serving("partly-wrong", ["digits-int8", "no-such-variant"]),
)


def served(story: Story) -> dict[str, int]:
    return {p["metadata"]["uid"]: restarts(p) for p in story.pods("digits", "ServingWorkload") if is_ready(p)}


@pytest.fixture(scope="module")
def wrong(story: Story) -> Iterator[dict[str, int]]:
    """All that is wrong, at once; gives the pods that served before."""
    before = served(story)
    assert before
    with breaking.applied(story, *WRONG):
        yield before


@pytest.mark.parametrize(
    ("kind", "name", "condition", "reason", "named"),
    [
        ("tw", "wrong-nodes", "Ready", "NoNodes", "nowhere"),
        ("tw", "wrong-class", "Ready", "HardwareClassNotFound", "tpu-v9"),
        ("tw", "wrong-claim", "Ready", "Unschedulable", "no-such-claim"),
        ("tw", "wrong-image", "Ready", "PodsFailing", "registry.invalid/none:1"),
        ("mv", "wrong-source", "Ready", "SourceNotFound", "no-such-training"),
        ("sw", "wrong-variant", "Ready", "VariantNotFound", "no-such-variant"),
        ("sw", "wrong-variant", "TargetsFeasible", "VariantNotFound", "no-such-variant"),
        ("sw", "partly-wrong", "VariantsFound", "VariantNotFound", "no-such-variant"),
    ],
)
def test_a_condition_names_what_is_wrong(
    story: Story, wrong: dict[str, int], kind: str, name: str, condition: str, reason: str, named: str
) -> None:
    def told() -> bool:
        found = conditions(story.shell.get(kind, name)).get(condition, {})
        return (found.get("status"), found.get("reason")) == ("False", reason) and named in found["message"]

    def state() -> str:
        return json.dumps(conditions(story.shell.get(kind, name)).get(condition))

    story.shell.until(f"{condition} of {name}: {reason}", told, 90, state)


def test_a_workload_serves_the_variants_that_there_are(story: Story, wrong: dict[str, int]) -> None:
    def serves() -> bool:
        status = breaking.status_of(story, "sw", "partly-wrong")
        return (status.get("activeVariant"), status.get("readyReplicas")) == ("digits-int8", 1)

    story.shell.until("a server of the other variant", serves, 180)


def test_others_keep_running_all_the_while(story: Story, wrong: dict[str, int]) -> None:
    assert served(story) == wrong
    assert conditions(story.shell.get("sw", "digits"))["Ready"]["status"] == "True"


def test_an_edit_that_needs_other_pods_makes_the_job_anew(story: Story, wrong: dict[str, int]) -> None:
    before = story.shell.get("job", "wrong-image")["metadata"]["uid"]
    memory = json.dumps({"spec": {"resources": {"memory": "320Mi"}}})
    story.shell.query("patch", "tw", "wrong-image", "-n", NAMESPACE, "--type", "merge", "-p", memory)

    def anew() -> bool:
        job = story.shell.get("job", "wrong-image")
        if not job or job["metadata"]["uid"] == before:
            return False
        limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        return bool(limits["memory"] == "320Mi")

    story.shell.until("a Job with the new memory", anew, 120)


def test_a_class_that_is_left_keeps_nothing(story: Story, wrong: dict[str, int]) -> None:
    local = story.shell.get("hw", "local-cpu")["spec"]
    with breaking.applied(story, breaking.manifest("HardwareClass", "other-cpu", local, namespace="")):
        classes = json.dumps({"spec": {"hardware": {"classes": ["other-cpu"]}}})
        story.shell.query("patch", "sw", "partly-wrong", "-n", NAMESPACE, "--type", "merge", "-p", classes)

        def moved() -> bool:
            left = story.shell.get("deployment", "partly-wrong-local-cpu")
            taken = story.shell.get("deployment", "partly-wrong-other-cpu")
            return not left and taken.get("status", {}).get("readyReplicas") == 1

        story.shell.until("a server on the other class, and none on the first", moved, 180)
        story.shell.query("delete", "sw", "partly-wrong", "-n", NAMESPACE)
