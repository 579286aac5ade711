"""Admission as a user meets it: real kubectl, a real apiserver, the operator as a process with the chart's rights."""

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.control_plane.admission_world import SECRET, SYSTEM, World, workload, world
from tests.control_plane.operator_process import TORCH, Operator

from trimtab.api.labels import DEFAULTED_BY
from trimtab.kube.paths import OWN, SECRETS, object_path

pytestmark = pytest.mark.xdist_group("admission")

_NUMBERS = itertools.count()
_TEMPLATE = {"spec": {"containers": [{"name": "train", "image": "mine:1"}]}}
DENIED = 'admission webhook "validate.trimtab.dev" denied the request: '


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world("admission", tmp_path_factory.mktemp("admission")) as up:
        yield up


@pytest.fixture(scope="module")
def operator(here: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    made = here.operator(tmp_path_factory.mktemp("operator"))
    made.start()
    made.wait_for(here.is_answered, "the webhooks")
    yield made
    made.kill()


@pytest.fixture
def namespace(here: World) -> str:
    return here.namespace(f"people-{next(_NUMBERS)}")


def spec_of(here: World, kind: str, name: str, namespace: str) -> dict[str, Any]:
    return dict(here.kube.get(object_path(OWN[kind], name, namespace)) or {})


def test_a_gang_that_no_class_has_room_for_is_refused_with_by_how_much(
    here: World, operator: Operator, namespace: str
) -> None:
    spec = {**TORCH, "minReplicas": 70, "maxReplicas": 200, "resources": {"cpu": "1"}}
    done = here.apply(workload("TrainingWorkload", "wide", spec, namespace))
    assert done.returncode != 0
    assert f"{DENIED}spec.minReplicas: 70 replicas start together" in done.stderr
    assert "6 more than there is room for: plain has room for 64 at most (1 node)" in done.stderr
    assert "ask for 64, allow another class, or add 1 node to plain" in done.stderr
    # Who knows better can say so.
    insisted = here.apply(workload("TrainingWorkload", "wide", spec, namespace, **{"trimtab.dev/admission": "warn"}))
    assert insisted.returncode == 0
    assert "Warning: spec.minReplicas: 70 replicas start together" in insisted.stderr


def test_a_deadline_that_cannot_be_held_is_refused_with_the_shortest_that_can(
    here: World, operator: Operator, namespace: str
) -> None:
    spec = {
        "template": _TEMPLATE, "work": {"totalSamples": 36_000}, "maxReplicas": 4, "resources": {"cpu": "1"},
        "profiles": [{"hardwareClass": "plain", "replicas": 1, "samplesPerSecond": "1"}],
        "targets": {"completeWithin": "2h"},
    }  # fmt: skip
    done = here.apply(workload("TrainingWorkload", "late", spec, namespace))
    assert done.returncode != 0
    assert "spec.targets.completeWithin: 36,000 samples take 2h30m at the best known speed" in done.stderr
    assert "the shortest that can be held is 2h31m" in done.stderr
    done = here.apply(workload("TrainingWorkload", "late", {**spec, "targets": {"completeWithin": "2h31m"}}, namespace))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_limit_that_the_fewest_replicas_break_is_refused_and_names_its_policy(
    here: World, operator: Operator, namespace: str
) -> None:
    # The workload comes right after its policy: the operator knows policies before its next pass.
    cap = workload("EfficiencyPolicy", "thrifty", {"limits": {"costUSDPerHour": "0.01"}}, namespace)
    assert here.apply(cap).returncode == 0
    operator.wait_for(
        lambda: (
            here.apply(
                workload("TrainingWorkload", "dear", {**TORCH, "resources": {"cpu": "32"}}, namespace),
                "--dry-run=server",
            ).returncode
            != 0
        ),
        "the refusal",
    )
    done = here.apply(workload("TrainingWorkload", "dear", {**TORCH, "resources": {"cpu": "32"}}, namespace))
    assert f"0.04 USD/h above the limit of 0.01 USD/h of {namespace}/thrifty" in done.stderr


def test_what_only_does_not_fit_now_is_admitted_with_a_warning(here: World, operator: Operator, namespace: str) -> None:
    serving = {
        "model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 100}},
        "hardware": {"classes": ["plain", "coming"]}, "resources": {"cpu": "1"},
    }  # fmt: skip
    done = here.apply(workload("ServingWorkload", "digits", serving, namespace))
    assert done.returncode == 0
    assert "Warning: spec.hardware.classes: there is no HardwareClass 'coming' yet" in done.stderr
    assert "Warning: spec.variants: there is no ModelVariant 'fp32' yet" in done.stderr


def test_a_change_is_not_refused_for_what_was_wrong_before(here: World, operator: Operator, namespace: str) -> None:
    spec = {**TORCH, "minReplicas": 70, "maxReplicas": 200, "resources": {"cpu": "1"}}
    marked = workload("TrainingWorkload", "wide", spec, namespace, **{"trimtab.dev/admission": "warn"})
    assert here.apply(marked).returncode == 0
    done = here.apply(workload("TrainingWorkload", "wide", {**spec, "suspend": True}, namespace))
    assert done.returncode == 0, done.stderr
    assert "Warning: spec.minReplicas: 70 replicas" in done.stderr
    # But what becomes wrong by the change is.
    narrow = {**spec, "resources": {"cpu": "100"}}
    done = here.apply(workload("TrainingWorkload", "wide", narrow, namespace))
    assert done.returncode != 0
    assert "asks 36 CPU too much (it has 64 CPU)" in done.stderr


def test_policies_set_defaults_and_leave_what_the_user_wrote(here: World, operator: Operator, namespace: str) -> None:
    defaults = {
        "labels": {"team": "vision"}, "hardwareClasses": ["plain"],
        "training": {"completeWithin": "12h", "minAccuracy": "0.9"}, "serving": {"fallbackReplicas": 3},
    }  # fmt: skip
    assert here.apply(workload("EfficiencyPolicy", "house", {"defaults": defaults}, namespace)).returncode == 0

    def defaulted() -> bool:
        done = here.apply(workload("TrainingWorkload", "probe", TORCH, namespace), "--dry-run=server", "-o", "json")
        return DEFAULTED_BY in json.loads(done.stdout)["metadata"].get("annotations", {})

    operator.wait_for(defaulted, "the default")
    written = {**TORCH, "targets": {"completeWithin": "1h"}}
    assert here.apply(workload("TrainingWorkload", "mine", written, namespace, tier="batch")).returncode == 0
    made = spec_of(here, "TrainingWorkload", "mine", namespace)
    assert made["metadata"]["labels"] == {"tier": "batch", "team": "vision"}
    assert made["spec"]["targets"] == {"completeWithin": "1h", "minAccuracy": "0.9"}
    assert made["spec"]["hardware"] == {"classes": ["plain"]}
    note = made["metadata"]["annotations"][DEFAULTED_BY]
    assert f"spec.targets.minAccuracy={namespace}/house" in note
    assert f"metadata.labels[team]={namespace}/house" in note
    assert "completeWithin" not in note
    # Applying the same file again takes nothing back, and changes nothing.
    again = here.apply(workload("TrainingWorkload", "mine", written, namespace, tier="batch"))
    assert "unchanged" in again.stdout
    assert spec_of(here, "TrainingWorkload", "mine", namespace)["spec"] == made["spec"]
    serving = {"model": "m", "variants": ["v"], "targets": {"latency": {"milliseconds": 9}}, "maxReplicas": 2}
    assert here.apply(workload("ServingWorkload", "served", serving, namespace)).returncode == 0
    assert spec_of(here, "ServingWorkload", "served", namespace)["spec"]["fallback"] == {"replicas": 2}


def test_a_policy_says_whom_it_would_stop(here: World, operator: Operator, namespace: str) -> None:
    made = here.apply(workload("TrainingWorkload", "dear", {**TORCH, "resources": {"cpu": "32"}}, namespace))
    assert made.returncode == 0
    operator.wait_for(
        lambda: any(t.meta.key == f"{namespace}/dear" for t in operator.snapshot().training), "the workload's snapshot"
    )
    cap = {"limits": {"powerWatts": "1"}}
    done = here.apply(workload("EfficiencyPolicy", "tight", cap, namespace))
    assert done.returncode == 0
    assert f"Warning: spec: {namespace}/dear no longer fits: spec.minReplicas: 1 replica draw 25 W" in done.stderr


def test_nothing_is_looked_at_in_a_namespace_that_says_so(here: World, operator: Operator) -> None:
    free = here.namespace("free", **{"trimtab.dev/admission": "ignore"})
    done = here.apply(workload("TrainingWorkload", "huge", {**TORCH, "resources": {"cpu": "100"}}, free))
    assert (done.returncode, done.stderr) == (0, "")


def test_reviews_are_counted(here: World, operator: Operator) -> None:
    assert not here.apply(workload("TrainingWorkload", "fine", TORCH), "--dry-run=server").returncode
    text = operator.ask(operator.metrics_port, "/metrics")
    assert 'trimtab_admission_reviews_total{kind="TrainingWorkload",verdict="admitted"}' in text
    assert 'trimtab_admission_reviews_total{kind="TrainingWorkload",verdict="refused"}' in text
    assert "trimtab_webhook_certificate_expiry_timestamp_seconds" in text


def test_the_cluster_works_while_the_operator_is_down_and_is_guarded_again_when_it_is_back(
    here: World, operator: Operator, namespace: str
) -> None:
    secret = here.kube.get(object_path(SECRETS, SECRET, SYSTEM))
    operator.kill()
    begun = time.monotonic()
    done = here.apply(workload("TrainingWorkload", "huge", {**TORCH, "resources": {"cpu": "100"}}, namespace))
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < 10, "nobody may wait long for an operator that is down"
    operator.start()
    operator.wait_for(here.is_answered, "the webhooks")
    # It goes on with the certificates that it had.
    assert here.kube.get(object_path(SECRETS, SECRET, SYSTEM)) == secret


def test_until_the_first_pass_everything_is_admitted_and_said_to_be_unchecked(
    here: World, operator: Operator, namespace: str
) -> None:
    """An operator that may not list cannot make a pass, but its webhook answers."""
    role = json.loads(here.api.kubectl("get", "clusterrole", "trimtab-operator", "-o", "json"))
    blind = {**role, "rules": [rule for rule in role["rules"] if "trainingworkloads" not in rule["resources"]]}
    here.api.kubectl("replace", "-f", "-", input=json.dumps(blind))
    try:
        operator.kill()
        operator.start()

        def unchecked() -> bool:
            huge = workload("TrainingWorkload", "huge", {**TORCH, "resources": {"cpu": "100"}}, namespace)
            done = here.apply(huge, "--dry-run=server")
            assert done.returncode == 0
            return "Warning: trimtab: not checked: trimtab has just started" in done.stderr

        operator.wait_for(unchecked, "the warning")
    finally:
        current = json.loads(here.api.kubectl("get", "clusterrole", "trimtab-operator", "-o", "json"))
        role["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        here.api.kubectl("replace", "-f", "-", input=json.dumps(role))
    operator.wait_for(here.is_answered, "the webhooks")
