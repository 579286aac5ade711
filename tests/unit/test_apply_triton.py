"""The bookkeeping of live switches. The switch itself is tested against a real server in tests/workloads."""

import json
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import serving, serving_pod
from trimtab.api.policy import Mode
from trimtab.api.serving import VariantVersion
from trimtab.api.triton import TritonSettings
from trimtab.api.variant import Artifact
from trimtab.apply.children.serving import artifact_digests, served_variants
from trimtab.apply.children.triton_settings import settings_digest, settings_text
from trimtab.apply.serving_apply import switch_targets
from trimtab.apply.triton import backoff
from trimtab.apply.triton_load import address, with_version
from trimtab.plan.decisions import ServingDecision

DECISION = ServingDecision(
    key="demo/digits-serving", mode=Mode.ENFORCE, variant="int8", hardware_class="local-cpu", replicas=2,
    versions=(VariantVersion(name="fp32", version=1), VariantVersion(name="int8", version=2)),
    available=("fp32", "int8"),
)  # fmt: skip
ARTIFACTS = {
    name: Artifact(claim_name="models", path=f"variants/{name}/model.onnx", sha256=name[0] * 64, size_bytes=9)
    for name in ("fp32", "int8")
}


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
    (target,) = switch_targets(serving(pods=pods), DECISION, ARTIFACTS)
    assert (target.pod, target.ip, target.model, target.version) == ("old", "10.0.0.1", "digits", 2)
    assert switch_targets(serving(pods=pods), DECISION.model_copy(update={"variant": ""}), ARTIFACTS) == []


def test_settings_are_loaded_only_where_a_reload_is_enough() -> None:
    wanted = TritonSettings(max_batch_size=8)
    variants, digests = served_variants(DECISION, ARTIFACTS), artifact_digests(DECISION, ARTIFACTS)
    assert digests == {"1": "f" * 64, "2": "i" * 64}
    base, _, live = settings_digest(wanted, variants, digests).partition(".")

    def pod(name: str, settings: str, version: int = 2) -> object:
        return serving_pod(name).model_copy(
            update={"loaded_version": version, "loaded_settings": settings, "ip": "10.0.0.1"}
        )

    pods = (
        pod("right", f"{base}.{live}"),
        pod("lags", f"{base}.older"),
        pod("will-be-replaced", f"other.{live}"),
        pod("does-not-say", ""),
        pod("lags-and-other-version", f"{base}.older", version=1),
        pod("only-other-version", f"other.{live}", version=1),
    )
    state = serving(pods=pods, triton={"maxBatchSize": 8})
    found = {target.pod: target for target in switch_targets(state, DECISION, ARTIFACTS)}
    assert {name: bool(target.settings) for name, target in found.items()} == {
        "lags": True, "lags-and-other-version": True, "only-other-version": False,
    }  # fmt: skip
    assert found["lags"].settings == settings_text(wanted, digests)
    assert {target.version for target in found.values()} == {2}
    # A variant that was made anew is loaded anew, by every server that knows it.
    remade = {**ARTIFACTS, "int8": ARTIFACTS["int8"].model_copy(update={"sha256": "0" * 64})}
    assert [t.pod for t in switch_targets(state, DECISION, remade) if t.settings] == [
        "right", "lags", "lags-and-other-version",
    ]  # fmt: skip


def test_addresses() -> None:
    assert address("10.0.0.1", 8001) == "10.0.0.1:8001"
    assert address("fd00::1", 8001) == "[fd00::1]:8001"
