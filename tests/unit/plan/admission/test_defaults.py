"""What policies set at creation: the first that says something, and never over what the user wrote."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import hardware, meta, policy
from trimtab.api.labels import DEFAULTED_BY
from trimtab.plan.admission.defaults import defaults_for, merge_patch
from trimtab.plan.snapshot import PolicyState

CLASSES = (hardware("plain"), hardware("a100", resourceName="nvidia.com/gpu"))


def house(name: str = "house", cluster: bool = False, mode: str = "Enforce", **facts: Any) -> PolicyState:
    selector = facts.pop("selector", {})
    made = policy(name, mode=mode, selector=selector, defaults=facts)
    return made.model_copy(update={"meta": meta(name, namespace="")}) if cluster else made


def chosen(
    spec: dict[str, Any], *policies: PolicyState, kind: str = "TrainingWorkload", **labels: str
) -> dict[str, Any]:
    found = defaults_for(kind, meta("digits", **labels), spec, policies, CLASSES)
    return {default.dotted: (default.value, default.policy) for default in found}


def test_nothing_is_set_where_no_policy_says_anything() -> None:
    assert chosen({}, house()) == {}
    assert merge_patch(()) == {}


def test_a_namespaces_policy_goes_before_a_clusters_then_by_name() -> None:
    cluster = house("aaa", cluster=True, training={"completeWithin": "1h"}, labels={"team": "all"})
    first, second = (house(name, training={"completeWithin": hours}) for name, hours in (("b", "2h"), ("c", "3h")))
    assert chosen({}, second, cluster, first) == {
        "spec.targets.completeWithin": ("2h", "demo/b"),
        "metadata.labels[team]": ("all", "aaa"),
    }


def test_policies_that_only_watch_or_are_off_set_nothing() -> None:
    for mode in ("Off", "Recommend"):
        assert chosen({}, house(mode=mode, labels={"team": "x"})) == {}


def test_a_label_that_one_policy_sets_lets_another_select() -> None:
    labels = house("a", labels={"team": "vision"})
    by_team = house("b", selector={"matchLabels": {"team": "vision"}}, training={"minAccuracy": "0.9"})
    assert chosen({}, by_team, labels)["spec.targets.minAccuracy"] == ("0.9", "demo/b")
    assert "spec.targets.minAccuracy" not in chosen({}, by_team, labels, team="speech")


def test_classes_that_cannot_do_its_work_are_no_default() -> None:
    both = house(hardwareClasses=["a100", "plain", "coming"])
    assert chosen({"resources": {"cpu": "1"}}, both)["spec.hardware.classes"] == (["plain", "coming"], "demo/house")
    assert chosen({"resources": {"accelerators": 2}}, both)["spec.hardware.classes"][0] == ["a100", "coming"]
    assert chosen({"resources": {"accelerators": 2}}, house(hardwareClasses=["plain"])) == {}


def test_an_explicit_nothing_is_something_that_the_user_wrote() -> None:
    assert chosen({"hardware": {"classes": []}}, house(hardwareClasses=["plain"])) == {}


def test_a_fallback_never_exceeds_what_the_service_may_scale_to() -> None:
    rules = house(serving={"fallbackReplicas": 5})
    assert chosen({"maxReplicas": 2}, rules, kind="ServingWorkload") == {"spec.fallback.replicas": (2, "demo/house")}
    assert chosen({"maxReplicas": 2}, rules) == {}


def test_the_patch_says_where_its_fields_come_from() -> None:
    rules = house(labels={"team": "x"}, training={"completeWithin": "90m"})
    patch = merge_patch(defaults_for("TrainingWorkload", meta("digits"), {}, (rules,), ()))
    assert patch == {
        "metadata": {
            "labels": {"team": "x"},
            "annotations": {
                DEFAULTED_BY: "metadata.labels[team]=demo/house spec.targets.completeWithin=demo/house",
            },
        },
        "spec": {"targets": {"completeWithin": "1h30m"}},
    }


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        result[key] = merged(result.get(key), value)
    return result


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {k: v for name, inside in tree.items() for k, v in leaves(inside, (*path, name)).items()}


_specs = st.fixed_dictionaries(
    {},
    optional={
        "targets": st.fixed_dictionaries({}, optional={"completeWithin": st.just("1h"), "minAccuracy": st.just("0.5")}),
        "hardware": st.fixed_dictionaries({}, optional={"classes": st.lists(st.sampled_from(["plain", "a100"]))}),
        "fallback": st.fixed_dictionaries({"replicas": st.integers(1, 3)}),
        "maxReplicas": st.integers(1, 5),
    },
)
_houses = st.lists(
    st.builds(
        house,
        name=st.sampled_from(["a", "b", "c"]),
        cluster=st.booleans(),
        mode=st.sampled_from(["Enforce", "Off", "Recommend"]),
        labels=st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["x", "y"])),
        training=st.just({"completeWithin": "3h", "minAccuracy": "0.9"}),
        serving=st.just({"fallbackReplicas": 2}),
        hardwareClasses=st.lists(st.sampled_from(["plain", "coming"]), unique=True),
    ),
    max_size=4,
    unique_by=lambda p: p.meta.key,
)


@given(spec=_specs, houses=_houses, kind=st.sampled_from(["TrainingWorkload", "ServingWorkload"]), tier=st.booleans())
def test_defaults_add_and_never_change(spec: dict[str, Any], houses: list[PolicyState], kind: str, tier: bool) -> None:
    mine = meta("digits", **({"tier": "mine"} if tier else {}))
    body = {"metadata": {"labels": mine.labels}, "spec": spec}
    patch = merge_patch(defaults_for(kind, mine, spec, tuple(houses), CLASSES))
    result = leaves(merged(body, patch))
    for path, value in leaves(body).items():
        if value != {}:
            assert result[path] == value
    # What has been defaulted once is what its user wrote: a second time nothing is set.
    after = merged(body, patch)
    labelled = mine.model_copy(update={"labels": after["metadata"]["labels"]})
    assert defaults_for(kind, labelled, after["spec"], tuple(houses), CLASSES) == ()
