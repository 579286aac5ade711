"""Models and CRDs agree: what the API server lets through can be read, and what is written reads back the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.manifests import manifests
from trimtab.api.common import Condition, Resources, Usage
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.kinds import KINDS
from trimtab.api.serving import ServingWorkloadSpec
from trimtab.api.training import TrainingWorkloadSpec

PARTS = [pytest.param(kind, part, id=f"{kind.kind}.{part}") for kind in KINDS for part in ("spec", "status")]


@pytest.mark.parametrize(("kind", "part"), PARTS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=100)
@given(data=st.data())
def test_a_valid_manifest_is_read_and_reads_back_the_same(kind, part: str, data: st.DataObject) -> None:
    model = getattr(kind, part)
    first = model.model_validate(data.draw(manifests(kind, part)))
    assert model.model_validate(first.to_manifest()) == first


@pytest.mark.parametrize(("kind", "part"), PARTS)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=20)
@given(data=st.data())
def test_a_manifest_is_printed_without_what_is_unset(kind, part: str, data: st.DataObject) -> None:
    model = getattr(kind, part)
    printed = model.model_validate(data.draw(manifests(kind, part))).to_manifest()
    assert None not in printed.values()
    known = {field.alias for field in model.model_fields.values()}
    assert printed.keys() <= known


def test_unknown_fields_are_refused_in_spec_and_passed_over_in_status() -> None:
    with pytest.raises(ValidationError, match="minReplica"):
        TrainingWorkloadSpec.model_validate({"minReplica": 2})
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Up",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "new": 1,
    }
    assert Condition.model_validate(condition).type == "Ready"


@pytest.mark.parametrize(
    ("model", "manifest", "said"),
    [
        (Resources, {"memory": "5GB"}, "5GB"),
        (Resources, {"memory": "1Mi"}, "at least 64Mi"),
        (Resources, {"cpu": "0"}, "above zero"),
        (Resources, {"cpu": "-1"}, "above zero"),
        (TrainingWorkloadSpec, {"targets": {"minAccuracy": "95"}}, "between 0 and 1"),
        (TrainingWorkloadSpec, {"targets": {"completeWithin": "0s"}}, "above zero"),
        (TrainingWorkloadSpec, {"targets": {"completeWithin": "3 hours"}}, "1h30m"),
        (TrainingWorkloadSpec, {"checkpoint": {"claimName": "Not_A_Name"}}, "lower case"),
        (HardwareClassSpec, {"price": {"usdPerHour": "-1"}}, "not negative"),
        (ServingWorkloadSpec, {"variants": []}, "at least 1 item"),
    ],
)
def test_python_refuses_what_the_api_server_refuses(model, manifest: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        model.model_validate(manifest)


def test_memory_may_be_a_number_of_bytes() -> None:
    assert Resources.model_validate({"memory": 2**30}).memory == str(2**30)


def test_sums_in_usage_keep_small_steps() -> None:
    usage = Usage(cost_usd=1234.000000001)
    assert usage.to_manifest()["costUSD"] == "1234.000000001"
