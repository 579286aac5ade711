from typing import Any

import pytest

from trimtab.api.hardware import HARDWARE_CLASS, HardwareClassSpec
from trimtab.api.training import TRAINING_WORKLOAD
from trimtab.observe.facts import DeploymentFact, JobFact, KindFact, NodeFact, PodFact, Rejected
from trimtab.observe.hardware import foreign_requests, hardware_states, tolerates
from trimtab.observe.project_pod import effective_requests
from trimtab.observe.projection import project

OURS = {
    "trimtab.dev/workload": "digits",
    "trimtab.dev/workload-kind": "TrainingWorkload",
    "trimtab.dev/hardware-class": "local-cpu",
    "trimtab.dev/spec-hash": "abc",
}


def meta(name: str = "x", labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "namespace": "demo", "uid": f"uid-{name}", "resourceVersion": "7",
        "creationTimestamp": "2026-11-24T11:00:00Z", "labels": labels or {}, **more,
    }  # fmt: skip


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **more: Any) -> PodFact:
    raw = {"metadata": meta("p", OURS, **more), "spec": spec or {"nodeName": "n1"}, "status": status}
    fact = project("pods", raw)
    assert isinstance(fact, PodFact)
    return fact


def requests(**amounts: str) -> dict[str, Any]:
    return {"resources": {"requests": amounts}}


def node(name: str, *, ready: bool = True, unschedulable: bool = False, taints: Any = (), **labels: str) -> NodeFact:
    fact = project(
        "nodes",
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {"unschedulable": unschedulable, "taints": list(taints)},
            "status": {
                "allocatable": {"cpu": "1900m", "memory": "4Gi", "nvidia.com/gpu": "4"},
                "conditions": [{"type": "Ready", "status": str(ready)}],
            },
        },
    )
    assert isinstance(fact, NodeFact)
    return fact


def hardware_class(**spec: Any) -> KindFact:
    given = {
        "nodeSelector": {"sort": "a"}, "price": {"usdPerHour": "0.1"}, "power": {"idleWatts": 1, "peakWatts": 2},
        "gridZone": "ES", **spec,
    }  # fmt: skip
    raw = {"metadata": {"name": "hw", "creationTimestamp": "2026-11-24T11:00:00Z"}, "spec": given}
    fact = project(HARDWARE_CLASS.plural, raw)
    assert isinstance(fact, KindFact)
    return fact


def test_a_running_pod() -> None:
    status = {
        "phase": "Running", "podIP": "10.0.0.3",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{"restartCount": 1, "state": {"running": {"startedAt": "2026-11-24T11:01:00Z"}}}],
    }  # fmt: skip
    fact = pod(status, annotations={"batch.kubernetes.io/job-completion-index": "2"})
    assert fact.rank == 2
    assert fact.pod is not None
    assert (fact.pod.ready, fact.pod.ip, fact.pod.restarts, fact.pod.hardware_class) == (
        True,
        "10.0.0.3",
        1,
        "local-cpu",
    )
    assert fact.pod.started_at is not None
    assert fact.pod.started_at.isoformat() == "2026-11-24T11:01:00+00:00"
    assert (fact.pod.waiting, fact.pod.unschedulable, fact.pod.exit_code) == ("", "", None)


def test_why_a_pod_does_not_run() -> None:
    unschedulable = pod(
        {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}
    )
    assert unschedulable.pod is not None
    assert unschedulable.pod.unschedulable == "0/1 nodes"
    pulling = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    waiting = pod({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}, pulling]})
    assert waiting.pod is not None
    assert waiting.pod.waiting == "ImagePullBackOff: no such image"


def test_the_last_container_to_end_has_the_last_word() -> None:
    early = {"terminated": {"exitCode": 1, "message": "early", "finishedAt": "2026-11-24T11:01:00Z"}}
    late = {"terminated": {"exitCode": 143, "message": "late", "finishedAt": "2026-11-24T11:09:00Z"}}
    fact = pod({"containerStatuses": [{"state": {"running": {}}, "lastState": late}, {"state": early}]})
    assert fact.pod is not None
    assert (fact.pod.termination_message, fact.pod.exit_code) == ("late", 143)


def test_requests_as_the_scheduler_counts_them() -> None:
    spec = {
        "containers": [requests(cpu="500m", memory="1Gi"), requests(cpu="250m")],
        "initContainers": [
            requests(cpu="1"),
            {**requests(cpu="100m", memory="64Mi"), "restartPolicy": "Always"},
            requests(cpu="800m", memory="2Gi"),
        ],
        "overhead": {"cpu": "10m"},
    }
    counted = effective_requests(spec)
    assert counted["cpu"] == pytest.approx(1.01)
    assert counted["memory"] == 2 * 2**30 + 64 * 2**20
    assert effective_requests({**spec, "resources": {"requests": {"cpu": "2"}}})["cpu"] == pytest.approx(2.01)
    assert effective_requests({"containers": [{}]}) == {}


def test_a_pod_of_someone_else_keeps_only_what_it_holds() -> None:
    raw = {"metadata": meta("other"), "spec": {"nodeName": "n1", "containers": [requests(cpu="1")]}}
    fact = project("pods", raw)
    assert isinstance(fact, PodFact)
    assert (fact.owner, fact.pod, fact.requests) == (None, None, {"cpu": 1.0})


def test_jobs_and_deployments() -> None:
    owner = [{"uid": "not-it"}, {"uid": "tw-1", "controller": True}]
    job = project(
        "jobs",
        {
            "metadata": meta("j", OURS, ownerReferences=owner),
            "spec": {"suspend": True, "parallelism": 4},
            "status": {
                "failed": 2,
                "conditions": [
                    {"type": "Complete", "status": "False"},
                    {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"},
                ],
            },
        },
    )
    assert isinstance(job, JobFact)
    assert (job.owner_uid, job.owner.name, job.state.replicas, job.state.suspended) == ("tw-1", "digits", 4, True)
    assert (job.state.failure, job.state.complete) == ("BackoffLimitExceeded: too often", False)
    assert (job.state.hardware_class, job.state.spec_hash) == ("local-cpu", "abc")
    stuck = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "slow"}
    deployment = project(
        "deployments",
        {
            "metadata": meta("d", OURS), "spec": {"replicas": 0},
            "status": {"readyReplicas": 1, "conditions": [stuck]},
        },
    )  # fmt: skip
    assert isinstance(deployment, DeploymentFact)
    assert (deployment.state.replicas, deployment.state.ready) == (0, 1)
    assert deployment.state.problem == "ProgressDeadlineExceeded: slow"
    assert project("jobs", {"metadata": meta("foreign")}) is None


def test_an_unreadable_status_is_not_taken_for_an_empty_one() -> None:
    raw = {
        "metadata": meta("t"),
        "spec": {"torch": {}, "checkpoint": {"claimName": "models"}},
        "status": {"usage": {"energyWattHours": "much"}},
    }
    fact = project(TRAINING_WORKLOAD.plural, raw)
    assert isinstance(fact, Rejected)
    assert fact.key == "demo/t"
    assert "status.usage.energyWattHours" in fact.message


def test_every_wrong_field_of_a_spec_is_named() -> None:
    raw = {"metadata": meta("t"), "spec": {"torch": {"epochs": 0}, "maxReplica": 3}}
    fact = project(TRAINING_WORKLOAD.plural, raw)
    assert isinstance(fact, Rejected)
    assert "spec.torch.epochs" in fact.message
    assert "spec.maxReplica" in fact.message


def test_a_class_counts_only_nodes_that_its_pods_may_use() -> None:
    gpu_only = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    soft = {"key": "spot", "effect": "PreferNoSchedule"}
    nodes = [
        node("good", sort="a", taints=[soft]),
        node("tainted", sort="a", taints=[gpu_only]),
        node("cordoned", sort="a", unschedulable=True),
        node("down", sort="a", ready=False),
        node("other", sort="b"),
    ]
    (state,) = hardware_states([hardware_class()], nodes, [])
    assert (state.nodes, state.capacity_units, state.units_per_node) == (1, 1.9, 1.9)
    tolerant = hardware_class(
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}], resourceName="nvidia.com/gpu"
    )
    (state,) = hardware_states([tolerant], nodes, [])
    assert (state.nodes, state.capacity_units, state.cpu_cores_per_node) == (2, 8.0, 1.9)
    (empty,) = hardware_states([hardware_class(nodeSelector={"sort": "none"})], nodes, [])
    assert (empty.nodes, empty.capacity_units, empty.units_per_node) == (0, 0.0, 0.0)


def test_what_others_hold_is_what_is_scheduled_and_not_finished() -> None:
    def other(name: str, phase: str, where: str, labels: dict[str, str] | None = None) -> PodFact:
        raw = {
            "metadata": meta(name, labels), "status": {"phase": phase},
            "spec": {"nodeName": where, "containers": [requests(cpu="500m")]},
        }  # fmt: skip
        fact = project("pods", raw)
        assert isinstance(fact, PodFact)
        return fact

    pods = [
        other("a", "Running", "good"),
        other("b", "Pending", "good"),
        other("done", "Succeeded", "good"),
        other("waiting", "Pending", ""),
        other("ours", "Running", "good", OURS),
    ]
    assert foreign_requests(pods) == {"good": {"cpu": 1.0}}
    (state,) = hardware_states([hardware_class()], [node("good", sort="a")], pods)
    assert state.foreign_units == 1.0


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], tolerated: bool) -> None:
    spec = hardware_class(tolerations=[toleration]).spec
    assert isinstance(spec, HardwareClassSpec)
    (taint,) = node("n", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]).taints
    assert tolerates(spec.tolerations, taint) is tolerated
