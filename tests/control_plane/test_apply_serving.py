"""Serving workloads and variants on a real apiserver."""

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.control_plane.applied import IMAGES, TORCH, World, config_of

from trimtab.api.serving import LatenessSource
from trimtab.apply.actuator import Actuator
from trimtab.apply.settings import ApplySettings
from trimtab.apply.triton import TritonControl
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import CONFIG_MAPS, DEPLOYMENTS, DISRUPTION_BUDGETS, JOBS, OWN, PODS, SERVICES
from trimtab.local.process import wait_until
from trimtab.plan.decisions import Plan
from trimtab.plan.planner import plan
from trimtab.plan.serving_facts import LateShare, ServingMetrics
from trimtab.plan.snapshot import WorkloadPod
from trimtab.plan.variants import spec_hash

if TYPE_CHECKING:
    from tests.control_plane.conftest import Api

_NUMBERS = itertools.count()
SERVING = {
    "model": "digits",
    "variants": ["fp32", "int8"],
    "targets": {"latency": {"milliseconds": 200}},
    "resources": {"cpu": "400m"},
}
FINISHED = {"completionTime": "2026-11-24T12:00:00Z", "state": "Succeeded"}


@pytest.fixture
def world(crds: "Api") -> Iterator[World]:
    kube = KubeClient.from_kubeconfig(str(crds.kubeconfig))
    made = World(crds, kube, f"apply-serving-{next(_NUMBERS)}")
    yield made
    made.close()
    kube.close()


def trained(world: World) -> None:
    world.make("TrainingWorkload", "digits", {**TORCH, "suspend": True})
    world.write_status("TrainingWorkload", "digits", FINISHED)


def ask_for(world: World, *names: str) -> None:
    for name in names:
        steps = [{"quantize": {}}] if name == "int8" else []
        world.make("ModelVariant", name, {"source": {"trainingWorkload": "digits"}, "steps": steps})


def made(world: World, name: str, accuracy: str, **figures: Any) -> None:
    """The variant is there: what an earlier pass wrote when its Job had reported."""
    snapshot = world.snapshot()
    (state,) = [v for v in snapshot.variants if v.meta.name == name]
    point = {"batch": 1, "p50Milliseconds": "5", "p95Milliseconds": "6", "p99Milliseconds": "7"}
    status = {
        "specHash": spec_hash(state, snapshot.training[0]),
        "artifact": {"claimName": "models", "path": f"variants/{name}/model.onnx", "sha256": "0" * 64, "sizeBytes": 9},
        "accuracy": {"value": accuracy, "low": accuracy, "high": accuracy, "samples": 360},
        "cpuCores": "1",
        "hardwareClass": world.namespace,
        "profile": [{**point, "itemsPerSecond": "200", "cpuSecondsPerItem": "0.005"}],
        **figures,
    }
    world.write_status("ModelVariant", name, status)


@pytest.fixture
def serving(world: World) -> World:
    """A model that serves, from two variants."""
    trained(world)
    ask_for(world, "fp32", "int8")
    made(world, "fp32", "0.98")
    made(world, "int8", "0.97")
    world.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2})
    world.settle()
    return world


def decided(world: World, **changes: Any) -> Plan:
    """The plan for the present, but for what is changed in the decision about serving."""
    whole = plan(world.snapshot())
    return whole.model_copy(update={"serving": tuple(d.model_copy(update=changes) for d in whole.serving)})


def deployment_name(world: World) -> str:
    return f"digits-{world.namespace}"


def test_a_model_is_served_by_a_deployment_a_service_and_the_active_version(serving: World) -> None:
    (deployment,) = serving.all(DEPLOYMENTS)
    (service,) = serving.all(SERVICES)
    active = serving.get(CONFIG_MAPS, "digits-active")
    assert deployment["metadata"]["name"] == deployment_name(serving)
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {
        "http": 8000, "grpc": 8001, "metrics": 8002,
    }  # fmt: skip
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    status = serving.status("ServingWorkload", "digits")
    versions = {one["name"]: one["version"] for one in status["variants"]}
    assert versions == {"fp32": 1, "int8": 2}
    assert active["data"]["version"] == str(versions[status["decision"]["variant"]])
    assert [v["path"] for v in config_of(deployment)["variants"]] == [
        "/models/variants/fp32/model.onnx",
        "/models/variants/int8/model.onnx",
    ]


def test_further_passes_and_a_restart_write_nothing(serving: World) -> None:
    before = serving.versions()
    assert serving.run().errors == {}
    assert serving.versions() == before
    serving.restart()
    assert serving.run().errors == {}
    assert serving.versions() == before


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_another_variant_or_more_replicas_do_not_touch_the_pod_template(serving: World, variant: str) -> None:
    template = serving.get(DEPLOYMENTS, deployment_name(serving))["spec"]["template"]
    switches = serving.status("ServingWorkload", "digits").get("switches", 0)
    before = serving.status("ServingWorkload", "digits")["decision"]["variant"]
    assert serving.run(decisions=decided(serving, variant=variant, replicas=3)).errors == {}
    deployment = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["template"] == template
    assert serving.get(CONFIG_MAPS, "digits-active")["data"]["version"] == {"fp32": "1", "int8": "2"}[variant]
    assert serving.status("ServingWorkload", "digits").get("switches", 0) == switches + int(variant != before)


def test_settings_that_running_servers_take_change_the_config_map_alone(serving: World) -> None:
    before = serving.get(DEPLOYMENTS, deployment_name(serving))
    triton: dict[str, Any] = {"maxBatchSize": 16, "queue": {"maxQueueSize": 100}, "warmup": {"requests": 2}}
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2, "triton": triton})
    assert serving.run().errors == {}
    after = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    told = json.loads(serving.get(CONFIG_MAPS, "digits-active")["data"]["settings"])
    assert told["modelConfig"]["max_batch_size"] == 16
    assert told["modelConfig"]["dynamic_batching"]["default_queue_policy"]["max_queue_size"] == 100
    assert told["warmup"] == {"requests": 2, "batch": 1}
    cached = {**triton, "responseCache": {"size": "64Mi"}}
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2, "triton": cached})
    assert serving.run().errors == {}
    replaced = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert config_of(replaced)["responseCacheBytes"] == 64 * 2**20
    assert replaced["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_the_files_may_come_from_an_image_by_digest(serving: World) -> None:
    image = f"registry.example.com/ml/digits@sha256:{'5' * 64}"
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2, "repository": {"image": image}})
    assert serving.run().errors == {}
    deployment = serving.get(DEPLOYMENTS, deployment_name(serving))
    volumes = {volume["name"]: volume for volume in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["models"] == {"name": "models", "image": {"reference": image, "pullPolicy": "IfNotPresent"}}
    # What may be served is still what was measured, wherever it lies.
    told = json.loads(serving.get(CONFIG_MAPS, "digits-active")["data"]["settings"])
    assert told["sha256"] == {"1": "0" * 64, "2": "0" * 64}
    before = deployment["metadata"]["generation"]
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2})
    assert serving.run().errors == {}
    again = serving.get(DEPLOYMENTS, deployment_name(serving))
    volumes = {volume["name"]: volume for volume in again["spec"]["template"]["spec"]["volumes"]}
    assert volumes["models"]["persistentVolumeClaim"]["claimName"] == "models"
    assert again["metadata"]["generation"] == before + 1


def test_a_disruption_budget_is_kept_until_it_is_turned_off(serving: World) -> None:
    (budget,) = serving.all(DISRUPTION_BUDGETS)
    assert budget["metadata"]["name"] == "digits-disruption"
    assert budget["spec"]["maxUnavailable"] == 1
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2, "availability": {"maxUnavailable": 2}})
    assert serving.run().errors == {}
    assert serving.all(DISRUPTION_BUDGETS)[0]["spec"]["maxUnavailable"] == 2
    off = {**SERVING, "minReplicas": 2, "availability": {"disruptionBudget": False}}
    serving.make("ServingWorkload", "digits", off)
    assert serving.run().errors == {}
    assert serving.all(DISRUPTION_BUDGETS) == []
    serving.restart()
    assert serving.run().errors == {}
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2})
    assert serving.run().errors == {}
    assert [one["metadata"]["name"] for one in serving.all(DISRUPTION_BUDGETS)] == ["digits-disruption"]


def test_the_apiserver_takes_every_way_to_spread_and_a_priority(serving: World) -> None:
    serving.kubectl("create", "priorityclass", f"{serving.namespace}-high", "--value=1000")
    for spread in ("Required", "Off", "Preferred"):
        availability = {"spread": spread, "longestRequest": "2m"}
        spec = {**SERVING, "priorityClassName": f"{serving.namespace}-high", "availability": availability}
        serving.make("ServingWorkload", "digits", spec)
        assert serving.run().errors == {}
        pod = serving.get(DEPLOYMENTS, deployment_name(serving))["spec"]["template"]["spec"]
        assert len(pod.get("topologySpreadConstraints", [])) == (0 if spread == "Off" else 2)
        assert pod["priorityClassName"] == f"{serving.namespace}-high"
    assert pod["terminationGracePeriodSeconds"] == 145
    serving.kubectl("delete", "priorityclass", f"{serving.namespace}-high")


def test_a_new_artifact_changes_the_template_and_gets_the_next_version(serving: World) -> None:
    serving.make("ServingWorkload", "digits", {**SERVING, "minReplicas": 2, "variants": ["fp32", "int8", "pruned"]})
    serving.settle()
    before = serving.get(DEPLOYMENTS, deployment_name(serving))
    ask_for(serving, "pruned")
    made(serving, "pruned", "0.96")
    serving.settle()
    after = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert [v["name"] for v in config_of(after)["variants"]] == ["fp32", "int8", "pruned"]
    assert after["metadata"]["labels"]["trimtab.dev/spec-hash"] != before["metadata"]["labels"]["trimtab.dev/spec-hash"]
    assert serving.status("ServingWorkload", "digits")["variants"][2] == {"name": "pruned", "version": 3}


CLOSED = {"name": "always", "start": "00:00", "end": "24:00", "when": "Inside", "action": "ScaleToZero"}


def test_a_window_takes_all_replicas_away_and_the_service_comes_back_as_it_was(serving: World) -> None:
    before = serving.get(DEPLOYMENTS, deployment_name(serving))
    serving.make("EfficiencyPolicy", "hours", {"windows": [CLOSED]})
    assert serving.run().errors == {}
    closed = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert closed["spec"]["replicas"] == 0
    assert closed["spec"]["template"] == before["spec"]["template"]
    status = serving.status("ServingWorkload", "digits")
    ready = serving.condition("ServingWorkload", "digits", "Ready")
    assert (ready["status"], status["state"]) == ("False", "ScaledToZero")
    assert "requests fail" in ready["message"]
    versions = serving.versions()
    assert serving.run().errors == {}
    assert serving.versions() == versions
    serving.make("EfficiencyPolicy", "hours", {"windows": [{**CLOSED, "when": "Outside"}]})
    assert serving.run().errors == {}
    again = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert again["spec"]["replicas"] == 2
    assert serving.status("ServingWorkload", "digits")["decision"]["variant"] == status["decision"]["variant"]


def test_replicas_set_by_hand_are_put_right_and_what_others_added_stays(serving: World) -> None:
    serving.kubectl("annotate", "deployment", deployment_name(serving), "example.com/owner=somebody")
    serving.kubectl("scale", "deployment", deployment_name(serving), "--replicas=7")
    keep = decided(serving, replicas=2)
    assert serving.run(decisions=keep).errors == {}
    deployment = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert deployment["spec"]["replicas"] == 2
    assert deployment["metadata"]["annotations"]["example.com/owner"] == "somebody"


def test_a_template_that_the_server_refuses_leaves_what_serves(serving: World) -> None:
    before = serving.get(DEPLOYMENTS, deployment_name(serving))
    hardware = dict(serving.get(OWN["HardwareClass"], serving.namespace)["spec"])
    serving.make("HardwareClass", serving.namespace, {**hardware, "tolerations": [{"key": "no key!"}]})
    report = serving.run()
    condition = serving.condition("ServingWorkload", "digits", "Progressing")
    assert list(report.errors) == [f"ServingWorkload/{serving.namespace}/digits"]
    assert (condition["status"], condition["reason"]) == ("False", "Rejected")
    assert "no key!" in condition["message"]
    after = serving.get(DEPLOYMENTS, deployment_name(serving))
    assert after["spec"]["template"] == before["spec"]["template"]


def ready(world: World, name: str, replicas: int) -> None:
    """What the Deployment controller writes when so many pods are ready."""
    status = {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
    metadata = {"name": name, "namespace": world.namespace}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": status}
    world.kube.apply_status(world.path(DEPLOYMENTS, name), body)


def test_a_change_of_class_keeps_what_serves_until_the_new_is_ready(serving: World) -> None:
    following = f"{serving.namespace}-next"
    old, new = deployment_name(serving), f"digits-{following}"
    serving.make("HardwareClass", following, serving.get(OWN["HardwareClass"], serving.namespace)["spec"])
    for pods, expected in ((0, {old, new}), (1, {old, new}), (2, {new}), (2, {new})):
        if pods:
            ready(serving, new, pods)
        assert serving.run(decisions=decided(serving, hardware_class=following, replicas=2)).errors == {}
        assert {one["metadata"]["name"] for one in serving.all(DEPLOYMENTS)} == expected
    (service,) = serving.all(SERVICES)
    labels = serving.get(DEPLOYMENTS, new)["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items(), "one Service for the pods of both classes"


def test_a_service_or_active_version_that_somebody_deletes_comes_back(serving: World) -> None:
    serving.kube.delete(serving.path(SERVICES, "digits"))
    serving.kube.delete(serving.path(CONFIG_MAPS, "digits-active"))
    assert serving.run(after=301).errors == {}
    assert [one["metadata"]["name"] for one in serving.all(SERVICES)] == ["digits"]
    assert serving.get(CONFIG_MAPS, "digits-active")["data"]["version"]


def test_all_children_end_with_their_workload(serving: World) -> None:
    uid = serving.get(OWN["ServingWorkload"], "digits")["metadata"]["uid"]
    budgets = serving.all(DISRUPTION_BUDGETS)
    assert len(budgets) == 1
    for child in (
        *serving.all(SERVICES),
        *serving.all(DEPLOYMENTS),
        *budgets,
        serving.get(CONFIG_MAPS, "digits-active"),
    ):
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (uid, True, False)


def test_a_service_of_somebody_else_is_not_taken_over(serving: World) -> None:
    serving.kubectl("create", "service", "clusterip", "shop", "--tcp=80:8080")
    before = serving.get(SERVICES, "shop")
    serving.make("ServingWorkload", "shop", SERVING)
    for second in range(2):
        assert list(serving.run(after=second).errors) == [f"ServingWorkload/{serving.namespace}/shop"]
    assert serving.get(SERVICES, "shop") == before
    condition = serving.condition("ServingWorkload", "shop", "Progressing")
    assert (condition["status"], condition["reason"]) == ("False", "Rejected")
    assert "Service 'shop' of somebody else" in condition["message"]
    assert [one["metadata"]["name"] for one in serving.all(DEPLOYMENTS)] == [deployment_name(serving)]
    serving.kube.delete(serving.path(SERVICES, "shop"))
    assert serving.run(after=2).errors == {}
    assert serving.get(SERVICES, "shop")["spec"]["selector"]["trimtab.dev/workload"] == "shop"


def test_an_own_service_that_somebody_labelled_is_still_its_own(serving: World) -> None:
    serving.kubectl("label", "service", "digits", "--overwrite", "app.kubernetes.io/managed-by=nobody")
    serving.kube.delete(serving.path(DEPLOYMENTS, deployment_name(serving)))
    serving.restart()
    assert serving.run().errors == {}
    assert serving.get(SERVICES, "digits")["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "trimtab"
    assert serving.get(DEPLOYMENTS, deployment_name(serving))


def test_a_switch_that_fails_is_a_condition_and_one_event_and_what_serves_goes_on(serving: World) -> None:
    # Port 9 of loopback: no Triton listens there.
    actuator = Actuator(serving.kube, TritonControl(port=9), ApplySettings(images=IMAGES))
    pod = WorkloadPod(
        name="digits-0", ip="127.0.0.1", phase="Running", ready=True, loaded_version=1, created_at=serving.start,
    )  # fmt: skip

    def fails() -> bool:
        snapshot = serving.snapshot()
        (state,) = snapshot.serving
        snapshot = snapshot.model_copy(update={"serving": (state.model_copy(update={"pods": (pod,)}),)})
        chosen = decided(serving, variant="int8")
        assert actuator.apply(snapshot, chosen, {}, snapshot.taken_at).errors == {}
        conditions = serving.status("ServingWorkload", "digits")["conditions"]
        return any((c["type"], c["reason"]) == ("Progressing", "SwitchFailed") for c in conditions)

    wait_until(fails, timeout_seconds=30, failure=lambda: "no condition tells of the switch that failed")
    assert fails(), "it is still so in the next pass"
    condition = serving.condition("ServingWorkload", "digits", "Progressing")
    assert condition["status"] == "False"
    assert condition["message"].startswith("pod digits-0: ")
    assert [event for event, _ in serving.events()].count("SwitchFailed") == 1
    assert serving.status("ServingWorkload", "digits")["activeVariant"] == "fp32"
    actuator.close()
    assert serving.run().errors == {}
    assert "Progressing" not in [c["type"] for c in serving.status("ServingWorkload", "digits")["conditions"]]


def test_status_says_how_many_requests_were_late_and_how_that_is_known(serving: World) -> None:
    snapshot = serving.snapshot()
    (state,) = snapshot.serving
    late = LateShare(share=0.012345, known_share=0.5, source=LatenessSource.SUMMARY)
    metrics = ServingMetrics(requests_per_second=20, items_per_second=20, late=late, observed_at=snapshot.taken_at)
    snapshot = snapshot.model_copy(update={"serving": (state.model_copy(update={"metrics": metrics}),)})
    assert serving.actuator.apply(snapshot, plan(snapshot), {}, snapshot.taken_at).errors == {}
    observed = serving.status("ServingWorkload", "digits")["observed"]
    assert (observed["lateShare"], observed["lateShareKnown"]) == ("0.0123", "0.5")
    assert observed["lateShareSource"] == "summary"


def test_nothing_is_made_while_no_variant_is_ready(world: World) -> None:
    world.make("ServingWorkload", "digits", SERVING)
    world.settle()
    assert world.all(DEPLOYMENTS) == world.all(SERVICES) == []
    assert world.status("ServingWorkload", "digits")["state"] == "VariantNotFound"


def test_a_variant_is_made_by_one_job_and_anew_when_its_spec_changes(world: World) -> None:
    trained(world)
    world.make("ModelVariant", "int8", {"source": {"trainingWorkload": "digits"}, "steps": [{"quantize": {}}], "timeout": "5m"})  # fmt: skip # noqa: E501
    world.settle()
    (job,) = [one for one in world.all(JOBS) if one["metadata"]["name"] == "int8-build"]
    config = config_of(job)
    assert (config["source"], config["output"]) == ("/models/training/digits", "/models/variants/int8")
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (2, 300)
    before = world.versions()
    world.restart()
    world.run()
    assert world.versions() == before
    world.pod("int8-build-x", "ModelVariant", "int8")
    world.make("ModelVariant", "int8", {"source": {"trainingWorkload": "digits"}, "steps": [{"prune": {"amount": "0.25"}}]})  # fmt: skip # noqa: E501
    world.settle()
    assert world.all(JOBS) == [], "two builds would write the same artifact"
    world.kube.delete(world.path(PODS, "int8-build-x"))
    world.settle()
    (again,) = world.all(JOBS)
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    assert config_of(again)["steps"] == [{"prune": {"method": "structured", "amount": 0.25, "finetuneEpochs": 3}}]


def test_a_gate_that_is_kept_but_not_shown_keeps_a_variant_from_serving(world: World) -> None:
    trained(world)
    spec = {"source": {"trainingWorkload": "digits"}, "gate": {"maxAccuracyDrop": "0.03"}}
    world.make("ModelVariant", "int8", spec)
    step = {"name": "export", "digest": "ab", "seconds": "2.5", "relativeError": "0.0000002", "tolerance": "0.001"}
    counts = {"baselineAccuracy": "0.989444", "baselineOnlyRight": 9, "variantOnlyRight": 2, "steps": [step]}
    made(world, "int8", "0.97", **counts)
    world.settle()
    status = world.status("ModelVariant", "int8")
    assert status["state"] == "GateFailed"
    assert (status["gate"]["significance"], status["gate"]["samples"]) == ("0.05", 360)
    assert float(status["gate"]["pValue"]) > 0.05
    conditions = {one["type"]: one for one in status["conditions"]}
    assert conditions["AccuracyGatePassed"]["reason"] == "NotShown"
    assert f"about {status['gate']['samplesNeeded']} held-out samples" in conditions["AccuracyGatePassed"]["message"]
    assert conditions["NumericalParity"]["status"] == "True"
    world.make("ModelVariant", "int8", spec | {"gate": {"maxAccuracyDrop": "0.03", "significance": "0.5"}})
    world.settle()
    assert world.status("ModelVariant", "int8")["state"] == "Ready"
    assert [job for job in world.all(JOBS) if job["metadata"]["name"] == "int8-build"] == []


def test_a_variant_without_its_source_says_so(world: World) -> None:
    ask_for(world, "fp32")
    world.settle()
    assert world.status("ModelVariant", "fp32")["state"] == "SourceNotFound"
    assert world.events() == [("SourceNotFound", "fp32")]
