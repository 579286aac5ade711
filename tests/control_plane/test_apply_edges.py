"""What a pass survives on a real apiserver: odd names, edits by others at the worst moment, and bugs of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from tests.control_plane.applied import TORCH, World

from trimtab.handlers.exporter import Exporter
from trimtab.handlers.passes import PassCrashError, Passes
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import JOBS, OWN, SERVICES
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

_NUMBERS = itertools.count()


@pytest.fixture
def world(crds: "Api") -> Iterator[World]:
    kube = KubeClient.from_kubeconfig(str(crds.kubeconfig))
    made = World(crds, kube, f"apply-edges-{next(_NUMBERS)}")
    yield made
    made.close()
    kube.close()


@pytest.mark.parametrize("name", ["1digits", "7", "a" * 63])
def test_any_name_that_the_server_admits_gets_its_children(world: World, name: str) -> None:
    world.make("TrainingWorkload", name, TORCH)
    assert world.run().errors == {}
    (job,), (service,) = world.all(JOBS), world.all(SERVICES)
    assert job["metadata"]["labels"]["trimtab.dev/workload"] == name
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    world.restart()
    assert world.run().errors == {}
    assert len(world.all(JOBS)) == 1


def test_a_bug_in_one_object_is_raised_when_the_others_are_done(world: World) -> None:
    for name in ("first", "second", "third"):
        world.make("TrainingWorkload", name, TORCH)
    snapshot = world.snapshot()
    whole = plan(snapshot)
    # A decision as only a bug could make it: no number of replicas.
    broken = tuple(d.model_copy(update={"replicas": None}) if d.key.endswith("/first") else d for d in whole.training)
    with pytest.raises(TypeError) as caught:
        world.actuator.apply(snapshot, whole.model_copy(update={"training": broken}), {}, snapshot.taken_at)
    assert f"while applying TrainingWorkload/{world.namespace}/first" in caught.value.__notes__
    assert sorted(job["metadata"]["name"] for job in world.all(JOBS)) == ["second", "third"]
    assert world.status("TrainingWorkload", "third")["decision"]["action"] == "Run"


def test_a_status_that_somebody_edits_is_put_right(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    before = world.status("TrainingWorkload", "digits")
    patch = '{"status":{"state":"Succeeded","message":"by hand","suspensions":null}}'
    world.kubectl("patch", "tw", "digits", "--subresource=status", "--type=merge", f"-p={patch}")
    assert world.run().errors == {}
    assert world.status("TrainingWorkload", "digits") == before
    assert [c["type"] for c in before["conditions"]] == sorted({c["type"] for c in before["conditions"]})


def test_a_namesake_made_meanwhile_gets_nothing_of_its_predecessor(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    snapshot = world.snapshot()
    world.kube.delete(world.path(OWN["TrainingWorkload"], "digits"))
    namesake = world.make("TrainingWorkload", "digits", {**TORCH, "suspend": True})
    world.actuator.apply(snapshot, plan(snapshot), {}, snapshot.taken_at)
    assert world.status("TrainingWorkload", "digits") == {}
    (job,) = world.all(JOBS)
    owner = job["metadata"]["ownerReferences"][0]["uid"]
    assert owner != namesake["metadata"]["uid"], "it would be taken for the namesake's"


def test_a_lasting_failure_is_one_event_also_after_a_restart(world: World) -> None:
    template = {"spec": {"containers": [{"name": "main", "image": "example/own:1", "env": 5}]}}
    world.make("TrainingWorkload", "bad", {"template": template, "work": {"totalSamples": 9, "model": "resnet50"}})
    for minutes in range(3):
        assert world.run(after=120 * minutes).errors
        world.restart()
    assert [one for one in world.events() if one[0] == "Rejected"] == [("Rejected", "bad")]


def test_a_workload_that_is_being_deleted_gets_no_children(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.kubectl("patch", "tw", "digits", "--type=merge", '-p={"metadata":{"finalizers":["example.com/hold"]}}')
    world.kube.delete(world.path(OWN["TrainingWorkload"], "digits"))
    assert world.run().errors == {}
    assert world.all(JOBS) == []
    world.kubectl("patch", "tw", "digits", "--type=merge", '-p={"metadata":{"finalizers":null}}')
    assert world.run().errors == {}
    assert world.all(OWN["TrainingWorkload"]) == []


def test_a_job_that_nothing_happens_to_is_not_written_as_time_goes_by(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    before = world.versions()
    for second in range(10, 60, 10):
        assert world.run(after=second).errors == {}
    assert world.versions() == before


def test_a_crash_keeps_the_snapshot_that_shows_it(world: World, tmp_path: Path) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.snapshot()
    passes = Passes(world.observer, world.actuator, Exporter(CollectorRegistry()), tmp_path / "snapshot.json")
    world.actuator.close()  # What no pass can do without: it raises a RuntimeError, as a bug would.
    with pytest.raises(PassCrashError, match="RuntimeError") as caught:
        passes.run(lambda: world.start)
    (kept,) = tmp_path.glob("crash-*.json")
    assert str(kept) in str(caught.value)
    assert kept.read_text() == (tmp_path / "snapshot.json").read_text()
    assert passes.last_plan == plan(Snapshot.model_validate_json(kept.read_text()))
