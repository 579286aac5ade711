"""What exists for a service that may sleep, on a real apiserver."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.control_plane.applied import World, config_of
from tests.control_plane.test_apply_serving import SERVING, ask_for, made, trained

from trimtab.kube.client import KubeClient
from trimtab.kube.paths import DEPLOYMENTS, SERVICES
from trimtab.plan.decisions import Plan
from trimtab.plan.planner import plan
from trimtab.plan.serving_facts import Idleness

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

SLEEPY = {**SERVING, "minReplicas": 0}


@pytest.fixture
def sleepy(crds: "Api", request: pytest.FixtureRequest) -> Iterator[World]:
    """A service that may sleep, just made."""
    kube = KubeClient.from_kubeconfig(str(crds.kubeconfig))
    world = World(crds, kube, f"apply-sleep-{abs(hash(request.node.name)) % 10_000}")
    trained(world)
    ask_for(world, "fp32")
    made(world, "fp32", "0.98")
    world.make("ServingWorkload", "digits", SLEEPY)
    world.settle()
    yield world
    world.close()
    kube.close()


def with_waiting(world: World, connections: float | None, after: float = 1.0) -> Plan:
    """What is decided when so many connections wait."""
    snapshot = world.snapshot(after)
    idle = Idleness(waiting_connections=connections, requests=0.0)
    serving = tuple(one.model_copy(update={"idleness": idle}) for one in snapshot.serving)
    return plan(snapshot.model_copy(update={"serving": serving}))


def fell_asleep(world: World) -> None:
    """An earlier pass found that nobody asked."""
    status = world.status("ServingWorkload", "digits")
    decision = {**status["decision"], "replicas": 0, "reasons": [{"code": "Asleep", "message": "nobody asked"}]}
    world.write_status("ServingWorkload", "digits", {**status, "decision": decision})
    assert world.run(decisions=with_waiting(world, 0.0)).errors == {}


def kind_that_gets_requests(world: World) -> str:
    selector = world.get(SERVICES, "digits")["spec"]["selector"]
    assert selector["trimtab.dev/workload"] == "digits"
    return str(selector["trimtab.dev/workload-kind"])


def server_replicas(world: World) -> int:
    return int(world.get(DEPLOYMENTS, f"digits-{world.namespace}")["spec"]["replicas"])


def test_until_its_first_server_is_ready_requests_are_held(sleepy: World) -> None:
    waker = sleepy.get(DEPLOYMENTS, "digits-waker")
    labels = waker["spec"]["template"]["metadata"]["labels"]
    assert sleepy.get(SERVICES, "digits")["spec"]["selector"].items() <= labels.items()
    assert config_of(waker) == {
        "upstream": "digits-awake", "ports": [8000, 8001], "metricsPort": 8002, "holdSeconds": 300,
    }  # fmt: skip
    awake = sleepy.get(SERVICES, "digits-awake")["spec"]
    template = sleepy.get(DEPLOYMENTS, f"digits-{sleepy.namespace}")["spec"]["template"]["metadata"]["labels"]
    assert awake["selector"].items() <= template.items()
    assert {port["port"] for port in awake["ports"]} == {8000, 8001}
    assert server_replicas(sleepy) == 1


def test_asleep_it_has_no_server_and_is_ready_all_the_same(sleepy: World) -> None:
    fell_asleep(sleepy)
    assert (server_replicas(sleepy), kind_that_gets_requests(sleepy)) == (0, "ServingWaker")
    ready = sleepy.condition("ServingWorkload", "digits", "Ready")
    assert (ready["status"], ready["reason"]) == ("True", "Asleep")
    assert "Asleep" in sleepy.kubectl("get", "sw", "digits")


def test_a_connection_that_waits_brings_a_server(sleepy: World) -> None:
    fell_asleep(sleepy)
    assert sleepy.run(decisions=with_waiting(sleepy, 1.0)).errors == {}
    assert (server_replicas(sleepy), kind_that_gets_requests(sleepy)) == (1, "ServingWaker")


def test_further_passes_write_nothing(sleepy: World) -> None:
    fell_asleep(sleepy)
    sleepy.run(decisions=with_waiting(sleepy, 0.0))
    before = sleepy.versions()
    assert sleepy.run(decisions=with_waiting(sleepy, 0.0, after=2.0)).errors == {}
    assert sleepy.versions() == before


def test_one_that_may_sleep_no_longer_loses_its_waker(sleepy: World) -> None:
    sleepy.make("ServingWorkload", "digits", {**SLEEPY, "minReplicas": 1})
    sleepy.settle()
    assert [one["metadata"]["name"] for one in sleepy.all(DEPLOYMENTS)] == [f"digits-{sleepy.namespace}"]
    assert [one["metadata"]["name"] for one in sleepy.all(SERVICES)] == ["digits"]
    assert kind_that_gets_requests(sleepy) == "ServingWorkload"


def test_all_ends_with_the_workload(sleepy: World) -> None:
    uids = {
        owner["uid"]
        for one in (*sleepy.all(DEPLOYMENTS), *sleepy.all(SERVICES))
        for owner in one["metadata"]["ownerReferences"]
    }
    assert len(uids) == 1
