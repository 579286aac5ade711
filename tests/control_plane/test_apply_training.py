"""Training workloads on a real apiserver: one Job each, whatever happens in between."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.control_plane.applied import TORCH, World, config_of

from trimtab.api.common import Usage
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import EVENTS, JOBS, OWN, PODS, SERVICES
from trimtab.plan.planner import plan

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

_NUMBERS = itertools.count()
CONTAINER = {"name": "main", "image": "example/own:1"}
WORK = {"totalSamples": 1000, "model": "resnet50"}


@pytest.fixture
def world(crds: "Api") -> Iterator[World]:
    kube = KubeClient.from_kubeconfig(str(crds.kubeconfig))
    made = World(crds, kube, f"apply-training-{next(_NUMBERS)}")
    yield made
    made.close()
    kube.close()


def own(spec: Any, **more: Any) -> dict[str, Any]:
    return {"template": {"spec": spec}, "work": WORK, **more}


def test_a_training_becomes_one_job_with_a_service_and_further_passes_write_nothing(world: World) -> None:
    made = world.make("TrainingWorkload", "digits", {**TORCH, "minReplicas": 2, "maxReplicas": 2})
    world.settle()
    (job,), (service,) = world.all(JOBS), world.all(SERVICES)
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    assert job["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert service["spec"]["clusterIP"] == "None"
    peers = service["metadata"]["name"]
    assert job["spec"]["template"]["spec"]["subdomain"] == peers
    assert config_of(job)["masterAddress"] == f"{job['metadata']['name']}-0.{peers}"
    assert world.status("TrainingWorkload", "digits")["decision"]["action"] == "Run"
    assert world.events() == [("Started", "digits")]
    before = world.versions()
    assert world.run().errors == {}
    assert world.versions() == before


def test_an_operator_that_is_killed_and_comes_back_makes_nothing_twice(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    before = world.versions()
    world.restart()
    assert world.run().errors == {}
    assert world.versions() == before


def test_an_operator_killed_before_it_wrote_status_repeats_itself_to_the_same_end(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.run()
    (job,) = world.all(JOBS)
    events = world.events()
    assert events
    world.kubectl(
        "patch", "tw", "digits", "--subresource=status", "--type=json", '-p=[{"op":"remove","path":"/status"}]'
    )
    world.restart()
    world.run()
    (again,) = world.all(JOBS)
    assert again["metadata"]["uid"] == job["metadata"]["uid"]
    assert world.events() == events


def test_suspending_and_resuming_keep_the_job_and_are_counted(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    (job,) = world.all(JOBS)
    assert job["spec"]["suspend"] is False
    world.make("TrainingWorkload", "digits", {**TORCH, "suspend": True})
    world.settle()
    suspended = world.get(JOBS, "digits")
    assert suspended["spec"]["suspend"] is True
    assert suspended["metadata"]["uid"] == job["metadata"]["uid"]
    assert suspended["spec"]["template"] == job["spec"]["template"]
    assert world.status("TrainingWorkload", "digits")["suspensions"] == 1
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    resumed = world.get(JOBS, "digits")
    assert resumed["spec"]["suspend"] is False
    assert resumed["metadata"]["uid"] == job["metadata"]["uid"]
    assert world.status("TrainingWorkload", "digits")["suspensions"] == 1
    assert world.events() == [("Resumed", "digits"), ("Started", "digits"), ("Suspended", "digits")]


def test_a_suspension_is_counted_once_when_the_operator_dies_between_job_and_status(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    world.make("TrainingWorkload", "digits", {**TORCH, "suspend": True})
    # The Job was suspended; the status still tells of the run.
    world.kubectl("patch", "job", "digits", "-p", '{"spec":{"suspend":true}}')
    world.restart()
    world.settle()
    assert world.status("TrainingWorkload", "digits")["suspensions"] == 1


def test_drift_is_put_right_and_what_others_added_stays(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    world.kubectl("patch", "job", "digits", "-p", '{"spec":{"suspend":true}}')
    world.kubectl("annotate", "job", "digits", "example.com/owner=somebody")
    assert world.run().errors == {}
    job = world.get(JOBS, "digits")
    assert job["spec"]["suspend"] is False
    assert job["metadata"]["annotations"]["example.com/owner"] == "somebody"
    # What cannot be seen in a Snapshot is put right by the resync.
    world.kubectl("label", "service", "digits-peers", "--overwrite", "app.kubernetes.io/managed-by=nobody")
    world.run(after=1)
    assert world.get(SERVICES, "digits-peers")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "nobody"
    world.run(after=301)
    assert world.get(SERVICES, "digits-peers")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "trimtab"


def test_a_changed_spec_rebuilds_the_job_when_the_old_pods_are_gone(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    (job,) = world.all(JOBS)
    world.pod("digits-0", "TrainingWorkload", "digits")
    world.make("TrainingWorkload", "digits", {**TORCH, "resources": {"cpu": "750m"}})
    world.run()
    assert world.all(JOBS) == []
    world.run()
    assert world.all(JOBS) == [], "two generations of pods would write the same checkpoint"
    world.kube.delete(world.path(PODS, "digits-0"))
    world.run()
    (rebuilt,) = world.all(JOBS)
    assert rebuilt["metadata"]["uid"] != job["metadata"]["uid"]
    assert rebuilt["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "750m"


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        ({"containers": "main"}, "InvalidTemplate", "spec.template.spec.containers: must be a list of containers"),
        ({"containers": []}, "InvalidTemplate", "at least one container"),
        ({"containers": ["main"]}, "InvalidTemplate", "spec.template.spec.containers[0]: must be an object"),
        ({"containers": [CONTAINER], "nodeSelector": "gpu"}, "InvalidTemplate", "spec.template.spec.nodeSelector"),
        ({"containers": [{"image": "example/own:1"}]}, "Rejected", "name"),
        ({"containers": [{**CONTAINER, "env": 5}]}, "Rejected", "env"),
        ({"containers": [{**CONTAINER, "imagee": "x"}]}, "Rejected", "imagee"),
        ({"containers": [CONTAINER], "restartPolicy": 1, "dnsPolicy": "Nowhere"}, "Rejected", "dnsPolicy"),
    ],
)
def test_a_bad_template_is_a_condition_of_its_own_object_only(world: World, pod: Any, reason: str, words: str) -> None:
    world.make("TrainingWorkload", "bad", own(pod))
    world.make("TrainingWorkload", "good", own({"containers": [CONTAINER]}))
    for second in range(3):
        assert list(world.run(after=second).errors) == [f"TrainingWorkload/{world.namespace}/bad"]
    assert [job["metadata"]["name"] for job in world.all(JOBS)] == ["good"]
    condition = world.condition("TrainingWorkload", "bad", "Progressing")
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert words in condition["message"]
    assert world.status("TrainingWorkload", "bad")["state"] == reason
    assert [name for event, name in world.events() if event == reason] == ["bad"]
    world.make("TrainingWorkload", "bad", own({"containers": [CONTAINER]}))
    assert world.run(after=4).errors == {}
    assert world.condition("TrainingWorkload", "bad", "Progressing")["reason"] != reason


def test_a_bad_edit_leaves_the_running_job_alone(world: World) -> None:
    world.make("TrainingWorkload", "mine", own({"containers": [CONTAINER]}))
    world.settle()
    (job,) = world.all(JOBS)
    world.make("TrainingWorkload", "mine", own({"containers": [{"image": "example/own:2"}]}))
    assert world.run().errors
    (kept,) = world.all(JOBS)
    assert kept["metadata"]["uid"] == job["metadata"]["uid"]
    assert world.condition("TrainingWorkload", "mine", "Progressing")["reason"] == "Rejected"


def test_an_own_template_is_taken_over_with_its_labels_annotations_and_tolerations(world: World) -> None:
    template = {
        "metadata": {"labels": {"team": "vision"}, "annotations": {"example.com/note": "kept"}},
        "spec": {
            "containers": [CONTAINER, {"name": "side", "image": "example/side:1"}],
            "tolerations": [{"key": "example.com/mine", "operator": "Exists"}],
        },
    }
    made = world.make("TrainingWorkload", "mine", {"template": template, "work": WORK, "resources": {"cpu": "250m"}})
    world.settle()
    pod = world.get(JOBS, "mine")["spec"]["template"]
    assert pod["metadata"]["labels"]["team"] == "vision"
    assert pod["metadata"]["annotations"] | {"example.com/note": "kept"} == pod["metadata"]["annotations"]
    assert pod["metadata"]["annotations"]["trimtab.dev/model"] == "resnet50"
    assert pod["metadata"]["annotations"]["trimtab.dev/total-samples"] == "1000"
    assert pod["metadata"]["annotations"]["trimtab.dev/workload-uid"] == made["metadata"]["uid"]
    main, side = pod["spec"]["containers"]
    assert main["resources"]["requests"] == main["resources"]["limits"] == {"cpu": "250m", "memory": "1Gi"}
    assert side["resources"] == {}
    assert pod["spec"]["nodeSelector"] == {"sort": world.namespace}
    assert pod["spec"]["tolerations"] == [{"key": "example.com/mine", "operator": "Exists"}]


def test_recommend_decides_and_changes_nothing(world: World) -> None:
    world.make("EfficiencyPolicy", "look-only", {"mode": "Recommend"})
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    assert world.all(JOBS) == world.all(SERVICES) == []
    decision = world.status("TrainingWorkload", "digits")["decision"]
    assert (decision["mode"], decision["action"]) == ("Recommend", "Run")
    assert world.status("EfficiencyPolicy", "look-only")["workloads"] == 1


def test_a_budget_is_opened_written_enforced_and_told(world: World) -> None:
    budget = {"name": "day", "costUSD": "2", "period": "Day", "timeZone": "Europe/Madrid"}
    world.make("EfficiencyPolicy", "cap", {"budgets": [budget]})
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    (job,) = world.all(JOBS)
    assert not job["spec"].get("suspend")
    (opened,) = world.status("EfficiencyPolicy", "cap")["budgets"]
    assert (opened["limit"], opened["spent"], opened["usage"]["costUSD"]) == ("2", "0", "0")
    until = world.start + timedelta(seconds=20)
    account = {(f"{world.namespace}/cap", "day"): Usage(cost_usd=2.0, accounted_until=until)}
    snapshot = world.snapshot(20)
    world.actuator.apply(snapshot, plan(snapshot), {}, snapshot.taken_at, account)
    assert world.status("EfficiencyPolicy", "cap")["budgets"][0]["spent"] == "2"
    assert world.run(after=31).errors == {}
    (job,) = world.all(JOBS)
    assert job["spec"]["suspend"]
    status = world.status("EfficiencyPolicy", "cap")["budgets"][0]
    assert (status["action"], status["spentShare"]) == ("Suspend", "1")
    within = world.condition("EfficiencyPolicy", "cap", "WithinBudget")
    assert (within["status"], within["reason"]) == ("False", "Exhausted")
    decision = world.status("TrainingWorkload", "digits")["decision"]
    assert decision["reasons"][0]["code"] == "BudgetExhausted"
    told = {e["reason"] for e in world.all(EVENTS) if e["regarding"]["kind"] == "EfficiencyPolicy"}
    assert {"BudgetExhausted", "BudgetAction"} <= told
    # A wider budget is an edit: the next pass lets it run again.
    world.make("EfficiencyPolicy", "cap", {"budgets": [{**budget, "costUSD": "50"}]})
    assert world.run(after=42).errors == {}
    (job,) = world.all(JOBS)
    assert not job["spec"].get("suspend")


def test_usage_is_written_whole_and_at_its_own_pace(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    key = f"TrainingWorkload/{world.namespace}/digits"

    def usage(seconds: int) -> dict[str, Usage]:
        until = world.start + timedelta(seconds=seconds)
        return {key: Usage(energy_watt_hours=float(seconds), cost_usd=0.25 * seconds, accounted_until=until)}

    world.run(after=11, usage=usage(5))
    first = world.status("TrainingWorkload", "digits")["usage"]
    assert (first["energyWattHours"], first["costUSD"]) == ("5", "1.25")
    version = world.versions()["TrainingWorkload/digits"]
    world.run(after=15, usage=usage(9))
    assert world.versions()["TrainingWorkload/digits"] == version, "usage alone waits for its turn"
    assert world.status("TrainingWorkload", "digits")["usage"] == first
    world.run(after=22, usage=usage(16))
    later = world.status("TrainingWorkload", "digits")["usage"]
    assert (later["energyWattHours"], later["costUSD"]) == ("16", "4")
    assert later["accountedUntil"] > first["accountedUntil"]


def test_a_finished_job_is_shown_and_never_made_again(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    finish(world, "digits")
    world.run()
    status = world.status("TrainingWorkload", "digits")
    assert status["completionTime"] == "2026-11-24T12:00:00Z"
    assert status["state"] == "Succeeded"
    (job,) = world.all(JOBS)
    world.make("TrainingWorkload", "digits", {**TORCH, "resources": {"cpu": "750m"}})
    world.settle()
    assert [one["metadata"]["uid"] for one in world.all(JOBS)] == [job["metadata"]["uid"]]
    world.kube.delete(world.path(JOBS, "digits"))
    world.settle()
    assert world.all(JOBS) == []
    assert world.status("TrainingWorkload", "digits")["completionTime"] == "2026-11-24T12:00:00Z"


def finish(world: World, name: str) -> None:
    """What the Job controller writes when all pods have succeeded."""
    times = {"startTime": "2026-11-24T11:00:00Z", "completionTime": "2026-11-24T12:00:00Z"}
    done = {"status": "True", "lastTransitionTime": "2026-11-24T12:00:00Z", "reason": "CompletionsReached"}
    status = {
        **times,
        "succeeded": 1,
        "completedIndexes": "0",
        "uncountedTerminatedPods": {},
        "conditions": [{"type": "SuccessCriteriaMet", **done}, {"type": "Complete", **done}],
    }
    metadata = {"name": name, "namespace": world.namespace}
    world.kube.apply_status(
        world.path(JOBS, name), {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status}
    )


def test_an_object_deleted_meanwhile_is_not_brought_back(world: World) -> None:
    world.make("TrainingWorkload", "digits", TORCH)
    snapshot = world.snapshot()
    world.kube.delete(world.path(OWN["TrainingWorkload"], "digits"))
    assert world.actuator.apply(snapshot, plan(snapshot), {}, snapshot.taken_at).errors == {}
    assert world.all(OWN["TrainingWorkload"]) == []


def test_events_carry_what_kubectl_describe_shows(world: World) -> None:
    made = world.make("TrainingWorkload", "digits", TORCH)
    world.settle()
    (event,) = world.all(EVENTS)
    assert event["reportingController"] == "trimtab.dev/operator"
    assert event["regarding"]["uid"] == made["metadata"]["uid"]
    assert event["type"] == "Normal"
    assert "Started" in world.kubectl("describe", "tw", "digits")
