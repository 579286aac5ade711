"""The operator's live switch against a real tritonserver."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytest.importorskip("pytriton")
pytest.importorskip("onnxruntime")

from tests.workloads.processes import eventually
from tests.workloads.test_serve_live import serving
from trimtab.apply.triton import SwitchTarget, TritonControl

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(variants, tmp_path_factory):
    with serving(variants, tmp_path_factory.mktemp("switching")) as it:
        yield it


@pytest.fixture
def control(server):
    made = TritonControl(port=server.grpc)
    yield made
    made.close()


def served(server) -> list[str]:
    with server.client as client:
        return list(client.get_model_metadata("digits").versions)


def target(version: int, ip: str = "127.0.0.1") -> SwitchTarget:
    return SwitchTarget("pod-0", ip, "digits", version)


def switched(server, control, version: int, now: datetime) -> bool:
    """One pass of the operator: what does not serve the version is told to, and the next pass looks again."""
    if served(server) == [str(version)]:
        return True
    control.switch([target(version)], now)
    return False


def test_a_switch_replaces_the_version_and_another_one_brings_it_back(server, control):
    assert served(server) == ["1"]
    assert control.switch([target(2)], NOW) == {}
    eventually(lambda: switched(server, control, 2, NOW))
    eventually(lambda: switched(server, control, 1, NOW))


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving_and_is_tried_again_later(server, control):
    before = served(server)
    eventually(lambda: control.switch([target(9)], NOW))
    (message,) = control.switch([target(9)], NOW).values()
    assert "at least one version must be available" in message
    assert served(server) == before
    # The configuration that failed is not what the next switch starts from.
    eventually(lambda: switched(server, control, 2, NOW))
    eventually(lambda: switched(server, control, 1, NOW))


def test_a_server_that_is_gone_is_a_failure_that_names_itself(control):
    gone = SwitchTarget("pod-gone", "127.0.0.2", "digits", 2)
    control.switch([gone], NOW)
    eventually(lambda: control.switch([gone], NOW))
    assert "pod-gone" in control.switch([gone], NOW)
