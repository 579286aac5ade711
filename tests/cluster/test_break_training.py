"""Training pods die, and the work is still done exactly once."""

import json

from tests.cluster import breaking
from tests.cluster.breaking import SAMPLES
from tests.cluster.story import Story
from trimtab.demo.shell import Object


def ended_with(story: Story, name: str, uid: str) -> Object | None:
    """How the container of a pod of rank 0 ended."""
    for pod in story.pods(name, "TrainingWorkload", index=0):
        if pod["metadata"]["uid"] == uid:
            return pod["status"]["containerStatuses"][0]["state"].get("terminated")
    return None


def test_killed_pods_lose_no_sample_and_repeat_none(story: Story) -> None:
    name, epochs = breaking.unique("killed"), 4
    with breaking.applied(story, breaking.training(name, epochs)):
        first = breaking.with_checkpoint(story, name)
        job = story.shell.get("job", name)["metadata"]["uid"]
        breaking.force_delete(story, story.pods(name, "TrainingWorkload", index=1)[0])
        second = breaking.with_checkpoint(story, name, {first["metadata"]["uid"]})
        breaking.kill_process(story, second, "trimtab_workloads.train")
        killed = story.shell.until(
            "the end of the killed container", lambda: ended_with(story, name, second["metadata"]["uid"]), 60
        )
        assert killed["exitCode"] == 137
        progress = breaking.finished(story, name)["progress"]
        assert story.shell.get("job", name)["metadata"]["uid"] == job
        last = story.pods(name, "TrainingWorkload", index=0)[0]["status"]["containerStatuses"][0]
        result = json.loads(last["state"]["terminated"]["message"])
    assert result["resumes"] >= 2
    assert (progress["visitsMin"], progress["visitsMax"]) == (epochs, epochs)
    assert progress["completedSamples"] == progress["totalSamples"] == epochs * SAMPLES
