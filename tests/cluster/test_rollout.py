"""A more accurate variant is tried on one of two servers under load, and serves everyone once it is shown no worse."""

import json
from typing import Any

from tests.cluster import breaking
from tests.cluster.story import NAMESPACE, Story, conditions

NAME, LOAD = "tried", "tried-load"
STABLE, CANDIDATE = "digits-int8", "digits-fp32"
REQUESTS_PER_SECOND = 20


def server(*variants: str) -> dict[str, Any]:
    """Two servers; 2 % more failures are allowed, which some 370 requests can rule out."""
    rollout = {
        "strategy": "Canary", "share": "0.5", "maxErrorIncrease": "0.02", "minDuration": "20s", "maxDuration": "40s",
        "retryAfter": "20s",
    }  # fmt: skip
    one = breaking.serving(NAME, list(variants), minReplicas=2, maxReplicas=2, rollout=rollout)
    one["metadata"]["labels"] = {"rollout": NAME}
    return one


def accurate() -> dict[str, Any]:
    """Of what holds the targets, the most accurate serves."""
    spec = {"selector": {"matchLabels": {"rollout": NAME}}, "serving": {"prefer": "Accuracy"}}
    return breaking.manifest("EfficiencyPolicy", NAME, spec)


def rollout(story: Story) -> dict[str, Any]:
    found: dict[str, Any] = breaking.status_of(story, "sw", NAME).get("rollout") or {}
    return found


def reasons(story: Story) -> list[str]:
    return [event["reason"] for event in story.events("ServingWorkload", NAME)]


def test_a_candidate_is_tried_sent_back_for_want_of_requests_then_tried_under_load_and_promoted(story: Story) -> None:
    policy = accurate()
    with breaking.applied(story, policy, server(STABLE)):
        story.shell.until(
            "two servers", lambda: breaking.status_of(story, "sw", NAME).get("readyReplicas") == 2, 240,
            lambda: str(breaking.status_of(story, "sw", NAME).get("message")),
        )  # fmt: skip
        story.shell.apply(json.dumps(server(STABLE, CANDIDATE)))

        # Without requests nothing can be shown: it goes back, and what served serves on.
        def undecided() -> dict[str, Any] | None:
            status = breaking.status_of(story, "sw", NAME)
            return status if (status.get("rollout") or {}).get("reason") == "Inconclusive" else None

        status = story.shell.until("a verdict without requests", undecided, 180)
        assert status["rollout"]["phase"] == "Returned"
        assert status["decision"]["variant"] == STABLE
        assert conditions({"status": status})["RolloutSucceeded"]["status"] == "False"

        items = breaking.load(LOAD, NAME, REQUESTS_PER_SECOND)
        story.shell.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        try:
            longer = server(STABLE, CANDIDATE)
            longer["spec"]["rollout"]["maxDuration"] = "10m"
            story.shell.apply(json.dumps(longer))
            story.shell.until(
                "the promotion", lambda: rollout(story).get("phase") == "Promoted", 400,
                lambda: str(rollout(story).get("message")),
            )  # fmt: skip
            status = breaking.status_of(story, "sw", NAME)
            arms = {arm["name"]: arm for arm in status["rollout"]["arms"]}
            assert float(arms[CANDIDATE]["requests"]) >= 300
            assert float(arms[STABLE]["requests"]) >= 100
            assert float(arms[CANDIDATE]["failures"]) == float(arms[STABLE]["failures"]) == 0
            story.shell.until(
                "it to serve everyone",
                lambda: breaking.status_of(story, "sw", NAME).get("activeVariant") == CANDIDATE, 60,
            )  # fmt: skip
            stop = json.dumps({"data": {"stages.json": json.dumps({"requestsPerSecond": 0, "stop": True})}})
            story.shell.query("patch", "configmap", LOAD, "-n", NAMESPACE, "--type", "merge", "-p", stop)

            def ended() -> dict[str, Any] | None:
                for pod in story.shell.items("pods", f"job-name={LOAD}"):
                    for container in pod["status"].get("containerStatuses", []):
                        message = container.get("state", {}).get("terminated", {}).get("message")
                        if message:
                            return dict(json.loads(message))
                return None

            total = story.shell.until("the end of the load", ended, 120)
            assert total["failed"] == 0, total
        finally:
            story.shell.query("delete", f"job/{LOAD}", f"configmap/{LOAD}", "-n", NAMESPACE, "--ignore-not-found")
        assert {"CanaryBegun", "CanaryReturned", "CanaryPromoted"} <= set(reasons(story))
