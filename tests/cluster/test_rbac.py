"""The operator's rights are exactly those that it uses: compared with what the apiserver's audit log says."""

import json
from typing import Any

from tests.cluster import breaking
from tests.cluster.story import SYSTEM, Story

Right = tuple[str, str, str]
"""Group, resource with subresource, verb."""

USER = f"system:serviceaccount:{SYSTEM}:trimtab-operator"
APPLIED = "a server-side apply that creates is logged as patch, but the apiserver also asks for create"
NOT_LOGGED_AS_SUCH: dict[Right, str] = {
    ("apps", "deployments", "create"): APPLIED,
    ("", "services", "create"): APPLIED,
    ("", "configmaps", "create"): APPLIED,
    ("policy", "poddisruptionbudgets", "create"): APPLIED,
}


def granted(story: Story) -> set[Right]:
    everywhere = story.shell.query("get", "clusterrole", "trimtab-operator", "-o", "json")
    at_home = story.shell.query("get", "roles", "-n", SYSTEM, "-l", "app.kubernetes.io/name=trimtab", "-o", "json")
    rules = [rule for role in (json.loads(everywhere), *json.loads(at_home)["items"]) for rule in role["rules"]]
    return {(g, r, v) for rule in rules for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def asked(story: Story) -> list[dict[str, Any]]:
    entries = map(json.loads, story.cluster.audit_log.read_text().splitlines())
    return [entry for entry in entries if entry["user"]["username"] == USER]


def right(entry: dict[str, Any]) -> Right | None:
    """The right that a request needed; None for what everybody may, such as asking for the API's resources."""
    about = entry.get("objectRef", {})
    if not about.get("resource"):
        return None
    return (
        about.get("apiGroup", ""),
        "/".join(filter(None, (about["resource"], about.get("subresource")))),
        entry["verb"],
    )


def test_the_status_of_a_cluster_policy_is_written(story: Story) -> None:
    spec = {"namespaces": ["nowhere"], "mode": "Recommend"}
    with breaking.applied(story, breaking.manifest("ClusterEfficiencyPolicy", "elsewhere", spec, namespace="")):
        story.shell.until("its status", lambda: story.shell.get("cepol", "elsewhere").get("status"), 60)


def test_nothing_was_refused(story: Story) -> None:
    refused = [e for e in asked(story) if e.get("responseStatus", {}).get("code") in (401, 403)]
    assert [f"{entry['verb']} {entry['requestURI']}" for entry in refused] == []


def test_nothing_is_granted_that_was_not_used(story: Story) -> None:
    used = {one for one in map(right, asked(story)) if one is not None}
    assert len(used) > 20, "this is not the audit log of a whole scenario"
    assert granted(story) - used == set(NOT_LOGGED_AS_SUCH)


def test_nothing_was_used_but_what_is_granted(story: Story) -> None:
    assert {one for one in map(right, asked(story)) if one is not None} <= granted(story)
