"""The whole story on real pods, as `make demo` tells it: each test holds one thing that it promises."""

import json
from typing import Any

import pytest

from tests.cluster.story import Story


def status(story: Story, kind: str, name: str) -> dict[str, Any]:
    return story.shell.get(kind, name)["status"]


def test_the_operator_runs_with_little_right(story: Story) -> None:
    [pod] = story.shell.items("pods", "app.kubernetes.io/component=operator", "trimtab-system")
    [container] = pod["spec"]["containers"]
    assert pod["spec"]["serviceAccountName"] == "trimtab-operator"
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0, "it crashed on the way"


def test_training_was_suspended_by_the_edit_and_lost_no_work(story: Story) -> None:
    training = story.facts.training
    progress = training["progress"]
    assert training["suspensions"] >= 1
    assert progress["completedSamples"] == progress["totalSamples"] == 15 * 1437
    assert progress["visitsMin"] == progress["visitsMax"] == 15
    assert float(training["accuracy"]["low"]) > 0.95


def test_energy_cost_and_carbon_of_the_training_are_in_status(story: Story) -> None:
    usage = status(story, "tw", "digits")["usage"]
    # Two replicas of half a core for about a hundred seconds, on a node of 0.085 USD an hour that draws 4.9 to 18 W.
    assert 100 < float(usage["replicaSeconds"]) < 600
    assert float(usage["costUSD"]) == pytest.approx(float(usage["replicaSeconds"]) / 3600 * 0.085 / 4, rel=0.05)
    assert 0.05 < float(usage["energyWattHours"]) < 2
    assert float(usage["carbonGrams"]) > 0
    assert usage["source"] == "modelled"


def test_each_variant_has_what_was_measured_of_it(story: Story) -> None:
    variants = story.facts.variants
    assert set(variants) == {"digits-fp32", "digits-int8", "digits-pruned"}
    size = {name: one["artifact"]["sizeBytes"] for name, one in variants.items()}
    speed = {name: float(one["profile"][0]["itemsPerSecond"]) for name, one in variants.items()}
    assert size["digits-int8"] < size["digits-fp32"] / 2
    assert size["digits-pruned"] < size["digits-fp32"] / 2
    assert min(speed["digits-int8"], speed["digits-pruned"]) > speed["digits-fp32"]
    for one in variants.values():
        assert float(one["accuracy"]["value"]) > 0.95
        assert float(one["profile"][0]["p95Milliseconds"]) > 0


def test_load_scaled_it_up_and_down_again(story: Story) -> None:
    assert story.facts.largest_replicas >= 2
    assert story.facts.breach_to_new_pod_seconds is not None
    assert status(story, "sw", "digits")["readyReplicas"] == 1


def test_the_lower_budget_switched_the_variant_without_a_failed_request(story: Story) -> None:
    first, second = story.facts.variants_served[:2]
    assert first == "digits-fp32"
    assert second in ("digits-int8", "digits-pruned")
    assert story.facts.requests_in_switch
    assert story.facts.failed_requests_in_switch == 0
    answered = story.facts.serving["load"]["byVersion"]
    assert len(answered) >= 2, "clients were answered by both variants"


def test_no_request_failed_over_all_the_load(story: Story) -> None:
    assert story.facts.requests
    assert story.facts.failed_requests == 0, story.facts.serving["load"]["errors"]


def test_the_gpu_training_ran_where_the_planner_chose_and_says_simulated(story: Story) -> None:
    gpu = story.facts.gpu
    assert gpu["decision"]["hardwareClass"] == "gpu-v100"
    assert gpu["nodes"] == ["gpu-v100-1", "gpu-v100-2"]
    assert {gpu["usage"]["source"], gpu["progress"]["source"], gpu["decision"]["source"]} == {"simulated"}


def test_columns_and_describe_tell_a_person_what_is_going_on(story: Story) -> None:
    table = story.shell.query("get", "tw,sw,mv", "-n", "demo")
    for word in ("Succeeded", "Serving", "Ready", "simulated", "modelled", "local-cpu"):
        assert word in table
    described = story.shell.query("describe", "tw", "digits", "-n", "demo")
    assert "CarbonAboveCeiling" in described or "above the ceiling" in described
    assert "Resumed" in described
    served = story.shell.query("describe", "sw", "digits", "-n", "demo")
    assert "SwitchVariant" in served
    assert "ScaleUp" in served


_NEVER_SEEN = {
    # A server-side apply that creates is logged as patch, but the apiserver asks for create as well.
    ("batch", "jobs", "create"),
    ("apps", "deployments", "create"),
    ("", "services", "create"),
    ("", "configmaps", "create"),
    # Needed when a Job must be rebuilt, or a class is left: no part of this story.
    ("batch", "jobs", "delete"),
    ("apps", "deployments", "delete"),
}


def test_the_operator_has_exactly_the_rights_that_it_uses(story: Story) -> None:
    granted: set[tuple[str, str, str]] = set()
    for rule in json.loads(story.shell.query("get", "clusterrole", "trimtab-operator", "-o", "json"))["rules"]:
        granted |= {(g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    used: set[tuple[str, str, str]] = set()
    refused: list[str] = []
    for line in story.cluster.audit_log.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] != "system:serviceaccount:trimtab-system:trimtab-operator":
            continue
        if entry.get("responseStatus", {}).get("code") == 403:
            refused.append(f"{entry['verb']} {entry['requestURI']}")
        about = entry.get("objectRef")
        if about and about.get("resource"):
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            used.add((about.get("apiGroup", ""), resource, entry["verb"]))
    assert not refused
    assert granted - used - _NEVER_SEEN == set(), "granted, and never used"
