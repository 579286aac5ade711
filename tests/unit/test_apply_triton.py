"""The bookkeeping of live switches. The switch itself is tested against a real server in tests/workloads."""

import json
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import serving, serving_pod
from trimtab.api.policy import Mode
from trimtab.api.serving import VariantVersion
from trimtab.apply.serving_apply import switch_targets
from trimtab.apply.triton import backoff
from trimtab.apply.triton_load import address, with_version
from trimtab.plan.decisions import ServingDecision

DECISION = ServingDecision(
    key="demo/digits-serving", mode=Mode.ENFORCE, variant="int8", hardware_class="local-cpu", replicas=2,
    versions=(VariantVersion(name="fp32", version=1), VariantVersion(name="int8", version=2)),
    available=("fp32", "int8"),
)  # fmt: skip


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_failures_are_tried_again_ever_later_within_a_minute(attempts: int) -> None:
    assert timedelta(seconds=2) <= backoff(attempts) <= timedelta(seconds=60)
    assert backoff(attempts) <= backoff(attempts + 1)


def test_a_version_is_chosen_under_the_name_that_the_configuration_has_for_it() -> None:
    config = {"name": "digits", "version_policy": {"specific": {"versions": ["1"]}}, "max_batch_size": 32}
    override = json.loads(with_version(config, 2))
    assert override == {**config, "version_policy": {"specific": {"versions": [2]}}}


def test_only_running_pods_that_are_known_to_serve_something_else_are_switched() -> None:
    def pod(name: str, version: int | None = 1, ip: str = "10.0.0.1", deleting: bool = False) -> object:
        return serving_pod(name).model_copy(update={"loaded_version": version, "ip": ip, "deleting": deleting})

    pods = (
        pod("old"),
        pod("right", version=2),
        pod("silent", version=None),
        pod("leaving", deleting=True),
        pod("young", ip=""),
    )
    (target,) = switch_targets(serving(pods=pods), DECISION)
    assert (target.pod, target.ip, target.model, target.version) == ("old", "10.0.0.1", "digits", 2)
    assert switch_targets(serving(pods=pods), DECISION.model_copy(update={"variant": ""})) == []


def test_addresses() -> None:
    assert address("10.0.0.1", 8001) == "10.0.0.1:8001"
    assert address("fd00::1", 8001) == "[fd00::1]:8001"
