"""Budgets on real pods: they are metered, the work is suspended before the line, and an edit lets it go on.

The carbon of the second one follows the demo's grid, whose hours pass in 6 s each: between clean and dirty ones what
the same work emits in a second changes by more than twice while the budget is in force.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import breaking
from tests.cluster.story import Story
from tests.cluster.test_local_cluster import IMAGE
from trimtab.api.hardware import HardwareClassSpec

CLASS = "local-cpu"
CORES = 0.1
DIRTIEST = 420.0
"""No hour of the grid that is played is dirtier (gCO2e/kWh)."""


@dataclass(frozen=True)
class Case:
    """What is budgeted."""

    unit: str
    seconds: float
    """For so long the budget pays for the work at least."""
    least: float
    """The least part of it that is spent when the work is suspended: what 75 seconds cost is kept for the stop."""

    def per_second(self, spec: HardwareClassSpec, node_cores: float) -> float:
        """The most that the work spends, in the budget's unit."""
        share = CORES / node_cores
        if self.unit == "costUSD":
            return spec.price.usd_per_hour * share / 3600.0
        made = spec.embodied
        embodied = made.kilograms / (made.lifetime_years * 8766.0) if made is not None else 0.0
        return (spec.power.peak_watts / 1000.0 * DIRTIEST / 1000.0 + embodied) * share / 3600.0

    def spent(self, budget: dict[str, Any]) -> float:
        """By its account, whose sums have nine decimals."""
        usage = budget["usage"]
        return float(usage["costUSD"]) if self.unit == "costUSD" else float(usage["carbonGrams"]) / 1000.0


COST, CARBON = Case("costUSD", 240.0, 0.5), Case("carbonKilograms", 160.0, 0.3)


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


def cap(name: str, case: Case, limit: float) -> dict[str, Any]:
    """A policy that lets the training spend so much in all."""
    budget = {"name": "total", case.unit: f"{limit:.12f}", "period": "Total"}
    spec = {"selector": {"matchLabels": {"budget": name}}, "budgets": [budget]}
    return breaking.manifest("EfficiencyPolicy", name, spec)


def node_cores(story: Story, spec: HardwareClassSpec) -> float:
    """CPU cores of the class's node."""
    selector = ",".join(f"{key}={value}" for key, value in spec.node_selector.items())
    (node,) = story.shell.items("nodes", selector, "")
    return float(node["status"]["allocatable"]["cpu"])


@pytest.mark.parametrize("case", [COST, CARBON], ids=lambda case: case.unit)
def test_a_budget_is_never_overrun_and_a_wider_one_lets_the_work_go_on(story: Story, case: Case) -> None:
    spec = HardwareClassSpec.model_validate(story.shell.get("hw", CLASS)["spec"])
    name = breaking.unique("budget")
    limit = case.per_second(spec, node_cores(story, spec)) * case.seconds

    def budget() -> dict[str, Any]:
        found = breaking.status_of(story, "epol", name).get("budgets") or [{}]
        return dict(found[0])

    def runs() -> bool:
        return any(p["status"].get("phase") == "Running" for p in story.pods(name, "TrainingWorkload"))

    work, policy = spinning(name), cap(name, case, limit)
    with breaking.applied(story, work, policy | {"spec": policy["spec"] | {"mode": "Off"}}):
        story.shell.until("its pod", runs, 180)
        # Work that runs already may use all of the budget; it would not be begun for so little.
        story.shell.apply(json.dumps(policy))
        story.shell.until(
            "the suspension", lambda: budget().get("action") == "Suspend" and not story.pods(name, "TrainingWorkload"),
            3.0 * case.seconds + 180, lambda: str(budget().get("message")),
        )  # fmt: skip

        def settled() -> float | None:
            """What was spent, once the meter is beyond the end of the pods."""
            before = case.spent(budget())
            at = budget()["usage"]["accountedUntil"]
            story.shell.until("the meter to go on", lambda: budget()["usage"]["accountedUntil"] > at, 120)
            return before if case.spent(budget()) == before > 0.0 else None

        spent = story.shell.until("what it came to", settled, 300)
        assert spent is not None
        assert case.least * limit < spent <= limit * 1.01
        conditions = breaking.status_of(story, "tw", name)["conditions"]
        assert any(c["type"] == "WithinBudget" and c["status"] == "False" for c in conditions), conditions
        # An edit takes effect at once: the work goes on.
        story.shell.apply(json.dumps(cap(name, case, limit * 10)))
        story.shell.until("its pod again", runs, 120, lambda: str(budget().get("message")))
        assert case.spent(budget()) >= spent
