"""A budget on real pods: it is metered, the work is suspended before the line, and an edit lets it go on."""

import json
from typing import Any

from tests.cluster import breaking
from tests.cluster.story import Story
from tests.cluster.test_local_cluster import IMAGE
from trimtab.api.hardware import HardwareClassSpec

CLASS = "local-cpu"
CORES = 0.1
SECONDS = 240.0
"""For so long the budget pays for the work."""


def spinning(name: str) -> dict[str, Any]:
    """A training of an own container that never ends."""
    container = {"name": "train", "image": IMAGE, "command": ["python3", "-c", "while True: pass"]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {
        "template": {"spec": pod},
        "work": {"totalSamples": 1_000_000},
        "resources": {"cpu": f"{CORES * 1000:.0f}m", "memory": "64Mi"},
        "hardware": {"classes": [CLASS]},
    }
    one = breaking.manifest("TrainingWorkload", name, spec)
    one["metadata"]["labels"] = {"budget": name}
    return one


def cap(name: str, usd: float) -> dict[str, Any]:
    """A policy that lets the training spend so much in all."""
    budget = {"name": "total", "costUSD": f"{usd:.9f}", "period": "Total"}
    spec = {"selector": {"matchLabels": {"budget": name}}, "budgets": [budget]}
    return breaking.manifest("EfficiencyPolicy", name, spec)


def node_cores(story: Story, spec: HardwareClassSpec) -> float:
    """CPU cores of the class's node."""
    selector = ",".join(f"{key}={value}" for key, value in spec.node_selector.items())
    (node,) = story.shell.items("nodes", selector, "")
    return float(node["status"]["allocatable"]["cpu"])


def test_a_budget_is_never_overrun_and_a_wider_one_lets_the_work_go_on(story: Story) -> None:
    spec = HardwareClassSpec.model_validate(story.shell.get("hw", CLASS)["spec"])
    usd_per_second = spec.price.usd_per_hour * CORES / node_cores(story, spec) / 3600.0
    name = breaking.unique("budget")
    limit = usd_per_second * SECONDS

    def budget() -> dict[str, Any]:
        found = breaking.status_of(story, "epol", name).get("budgets") or [{}]
        return dict(found[0])

    def runs() -> bool:
        return any(p["status"].get("phase") == "Running" for p in story.pods(name, "TrainingWorkload"))

    work, policy = spinning(name), cap(name, limit)
    with breaking.applied(story, work, policy | {"spec": policy["spec"] | {"mode": "Off"}}):
        story.shell.until("its pod", runs, 180)
        # Work that runs already may use all of the budget; it would not be begun for so little.
        story.shell.apply(json.dumps(policy))
        story.shell.until(
            "the suspension", lambda: budget().get("action") == "Suspend" and not story.pods(name, "TrainingWorkload"),
            SECONDS + 180, lambda: str(budget().get("message")),
        )  # fmt: skip

        def settled() -> float | None:
            """What was spent, once the meter is beyond the end of the pods."""
            before = float(budget()["spent"])
            at = budget()["usage"]["accountedUntil"]
            story.shell.until("the meter to go on", lambda: budget()["usage"]["accountedUntil"] > at, 120)
            return before if float(budget()["spent"]) == before > 0.0 else None

        spent = story.shell.until("what it came to", settled, 300)
        assert spent is not None
        assert 0.5 * limit < spent <= limit * 1.01
        conditions = breaking.status_of(story, "tw", name)["conditions"]
        assert any(c["type"] == "WithinBudget" and c["status"] == "False" for c in conditions), conditions
        # An edit takes effect at once: the work goes on.
        story.shell.apply(json.dumps(cap(name, limit * 10)))
        story.shell.until("its pod again", runs, 120, lambda: str(budget().get("message")))
        assert float(budget()["spent"]) >= spent
