"""The handlers around the pure judging: what they read out of a request, and that nothing of theirs is in the way."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import kopf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.unit.worlds import NOW, hardware, job, policy, snapshot, training
from trimtab.api.labels import DEFAULTED_BY
from trimtab.api.policy import EFFICIENCY_POLICY
from trimtab.api.schema import Kind
from trimtab.api.serving import SERVING_WORKLOAD
from trimtab.api.training import TRAINING_WORKLOAD
from trimtab.handlers.admission import Admission
from trimtab.plan.snapshot import Snapshot

SPEC: dict[str, Any] = {"torch": {}, "checkpoint": {"claimName": "models"}, "resources": {"cpu": "1"}}
HUGE = {**SPEC, "resources": {"cpu": "100"}}


class Request:
    """What kopf hands to a handler."""

    def __init__(self, body: Any, old: Any = None, operation: str = "CREATE", kind: Kind = TRAINING_WORKLOAD) -> None:
        self.warnings: list[str] = []
        self.patch: dict[str, Any] = {}
        self._given = {"body": body, "old": old, "operation": operation, "param": kind}

    def __call__(self) -> dict[str, Any]:
        return {**self._given, "warnings": self.warnings, "patch": self.patch, "name": "x", "userinfo": {}}


class Desk:
    """The two handlers as they are registered, and the metrics."""

    def __init__(self, world: Any) -> None:
        self.metrics = CollectorRegistry()
        self.admission = Admission(world, lambda: NOW, timedelta(minutes=1), self.metrics)

    def validate(self, request: Request) -> None:
        asyncio.run(self.admission._validate(**request()))

    def default(self, request: Request) -> None:
        asyncio.run(self.admission._default(**request()))

    def count(self, verdict: str, kind: str = "TrainingWorkload") -> float:
        labels = {"kind": kind, "verdict": verdict}
        return self.metrics.get_sample_value("trimtab_admission_reviews_total", labels) or 0.0


def body(spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "digits", "namespace": "demo", **metadata}, "spec": spec}


def desk(**facts: Any) -> Desk:
    world = snapshot(**facts)
    return Desk(lambda: world)


def test_a_refusal_is_an_answer_of_422_and_counted() -> None:
    here = desk()
    with pytest.raises(kopf.AdmissionError) as caught:
        here.validate(Request(body(HUGE)))
    assert caught.value.code == 422
    assert "asks 98 CPU too much" in str(caught.value)
    assert (here.count("refused"), here.count("admitted")) == (1, 0)


def test_what_is_created_may_lack_name_uid_and_time() -> None:
    here = desk()
    here.validate(Request({"metadata": {"generateName": "run-", "namespace": "demo"}, "spec": SPEC}))
    assert here.count("admitted") == 1


def test_a_request_is_joined_with_what_is_observed_of_the_object() -> None:
    """It holds both cores of the node itself: a change of it fits."""
    running = training(job=job(replicas=2), resources={"cpu": "1"})
    here = desk(training=(running,))
    mine = {"uid": running.meta.uid, "creationTimestamp": "2026-11-24T11:55:00Z"}
    spec = {**SPEC, "minReplicas": 2, "maxReplicas": 2}
    request = Request(body({**spec, "priority": 3}, **mine), body(spec, **mine), "UPDATE")
    here.validate(request)
    assert request.warnings == []
    other = Request(body(spec, name="other"))
    here.validate(other)
    assert any("does not fit now" in warning for warning in other.warnings)


def test_a_policy_whose_time_zone_nobody_knows_is_refused() -> None:
    """The CRD cannot know the zones: the operator could not read the policy, and nothing of it would hold."""
    spec = {"budgets": [{"name": "m", "costUSD": "5", "timeZone": "Europe/Nowhere"}]}
    with pytest.raises(kopf.AdmissionError, match=r"the operator could not read it: .*Europe/Nowhere"):
        desk().validate(Request(body(spec), kind=EFFICIENCY_POLICY))


def test_what_cannot_be_read_can_still_be_labelled_and_deleted() -> None:
    unreadable = {**SPEC, "later": "field"}
    request = Request(body(unreadable, labels={"a": "b"}), body(unreadable), "UPDATE")
    desk().validate(request)
    with pytest.raises(kopf.AdmissionError):
        desk().validate(Request(body({**unreadable, "priority": 2}), body(unreadable), "UPDATE"))


def test_a_status_that_cannot_be_read_is_no_reason_to_refuse() -> None:
    odd = {**body(SPEC), "status": {"progress": {"completedSamples": "many"}}}
    desk().validate(Request(odd))


def test_an_error_of_its_own_admits_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Snapshot:
        raise RuntimeError("a bug")

    here, request = Desk(broken), Request(body(HUGE))
    here.validate(request)
    here.default(request)
    assert len(request.warnings) == 2
    assert here.count("failed") == 1
    assert "RuntimeError: a bug" in caplog.text


def test_before_the_first_pass_everything_is_admitted_with_a_warning() -> None:
    here, request = Desk(lambda: None), Request(body(HUGE))
    here.default(request)
    here.validate(request)
    assert [w.partition(":")[0] for w in request.warnings] == ["trimtab", "trimtab"]
    assert request.patch == {}


def test_defaults_are_set_at_creation_only() -> None:
    here = desk(policies=(policy(defaults={"labels": {"team": "x"}}),))
    created = Request(body(SPEC))
    here.default(created)
    assert created.patch == {
        "metadata": {"labels": {"team": "x"}, "annotations": {DEFAULTED_BY: "metadata.labels[team]=demo/rules"}}
    }
    changed = Request(body(SPEC), body(SPEC), "UPDATE")
    here.default(changed)
    assert changed.patch == {}


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "1", "1Gi", "2h", "x", "-1"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["cpu", "name", "classes"]), inner, max_size=2)
    ),
    max_leaves=4,
)
_fields = [
    "torch",
    "checkpoint",
    "resources",
    "targets",
    "hardware",
    "minReplicas",
    "variants",
    "model",
    "template",
    "odd",
]


@given(
    spec=st.dictionaries(st.sampled_from(_fields), _values, max_size=6),
    kind=st.sampled_from([TRAINING_WORKLOAD, SERVING_WORKLOAD, EFFICIENCY_POLICY]),
    empty=st.booleans(),
)
def test_whatever_is_sent_it_is_answered_and_never_fails(spec: dict[str, Any], kind: Kind, empty: bool) -> None:
    here = desk(hardware=() if empty else (hardware(),))
    request = Request(body(spec), kind=kind)
    if kind is not EFFICIENCY_POLICY:
        here.default(request)
    with contextlib.suppress(kopf.AdmissionError):
        here.validate(request)
    assert here.count("refused", kind.kind) + here.count("admitted", kind.kind) == 1
    assert not [w for w in request.warnings if "error of its own" in w]
    assert here.count("failed", kind.kind) == 0
