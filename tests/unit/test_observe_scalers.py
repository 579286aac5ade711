"""What is kept of other people's autoscalers, and of who writes the children."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trimtab.kube.paths import DEPLOYMENTS, SCALED_OBJECTS, SCALERS
from trimtab.observe.cache import ClusterCache
from trimtab.observe.foreign_writes import DEPLOYMENT_FIELDS, JOB_FIELDS, FieldWrite, WriteMemory, foreign_fields
from trimtab.observe.projection import project

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def raw(kind: str, spec: dict[str, Any], uid: str = "u", version: str = "5", **metadata: Any) -> dict[str, Any]:
    named = {"name": "fast", "namespace": "demo", "uid": uid, "resourceVersion": version}
    return {"kind": kind, "metadata": {**named, **metadata}, "spec": spec}


TARGET = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "ServingWorkload", "name": "digits"}


def state(plural: str, spec: dict[str, Any], **metadata: Any) -> Any:
    fact = project(plural, raw("", spec, **metadata))
    return fact.state if fact is not None else None  # type: ignore[union-attr]


def test_a_horizontal_autoscaler() -> None:
    found = state("horizontalpodautoscalers", {"scaleTargetRef": TARGET, "maxReplicas": 7})
    assert (found.target_group, found.target_kind, found.target_name) == ("trimtab.dev", "ServingWorkload", "digits")
    assert (found.least, found.most, found.made_by) == (1, 7, "")
    owners = [{"kind": "ScaledObject", "name": "queue", "uid": "k"}]
    spec = {"scaleTargetRef": {"kind": "ReplicationController", "name": "old", "apiVersion": "v1"}, "maxReplicas": 2}
    made = state("horizontalpodautoscalers", spec, ownerReferences=owners)
    assert (made.made_by, made.target_group) == ("queue", "")


def test_a_scaled_object_with_kedas_defaults() -> None:
    found = state("scaledobjects", {"scaleTargetRef": {"name": "web"}, "triggers": []})
    assert (found.target_group, found.target_kind, found.target_name) == ("apps", "Deployment", "web")
    assert (found.least, found.most) == (0, 100)
    idle = {"scaleTargetRef": TARGET, "minReplicaCount": 2, "idleReplicaCount": 0, "maxReplicaCount": 4}
    assert (state("scaledobjects", idle).least, state("scaledobjects", idle).most) == (0, 4)


@pytest.mark.parametrize(
    ("annotations", "paused"),
    [
        ({}, False),
        ({"autoscaling.keda.sh/paused": "true"}, True),
        ({"autoscaling.keda.sh/paused": "false"}, False),
        ({"autoscaling.keda.sh/paused-replicas": "0"}, True),
    ],
)
def test_a_paused_scaled_object_scales_nothing(annotations: dict[str, str], paused: bool) -> None:
    spec = {"scaleTargetRef": TARGET, "triggers": []}
    assert (state("scaledobjects", spec, annotations=annotations) is None) == paused


@pytest.mark.parametrize(
    ("policy", "acts"), [({}, True), ({"updateMode": "Initial"}, True), ({"updateMode": "Off"}, False)]
)
def test_a_vertical_autoscaler_that_only_recommends_is_none(policy: dict[str, str], acts: bool) -> None:
    found = state("verticalpodautoscalers", {"targetRef": TARGET, "updatePolicy": policy})
    assert (found is not None) == acts
    if acts:
        assert (found.least, found.most) == (None, None)


def managed(manager: str, fields: dict[str, Any], at: datetime = NOW, subresource: str = "") -> dict[str, Any]:
    return {
        "manager": manager, "operation": "Update", "time": at.isoformat(), "fieldsV1": fields,
        "subresource": subresource,
    }  # fmt: skip


REPLICAS = {"f:spec": {"f:replicas": {}}}
IMAGE = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"triton"}': {"f:image": {}, ".": {}}}}}}}


def test_fields_that_others_hold_are_found_by_their_path() -> None:
    metadata = {
        "managedFields": [
            managed("trimtab", {"f:spec": {"f:replicas": {}, "f:suspend": {}}}),
            managed("kube-controller-manager", REPLICAS, subresource="scale"),
            managed("mutator", IMAGE),
            managed("kube-controller-manager", {"f:status": {"f:replicas": {}}}, subresource="status"),
            managed("kubectl", {"f:metadata": {"f:annotations": {"f:note": {}}}}),
        ]
    }
    assert foreign_fields(metadata, DEPLOYMENT_FIELDS) == (
        FieldWrite("kube-controller-manager", "spec.replicas", NOW),
        FieldWrite("mutator", "spec.template.spec.containers.image", NOW),
    )
    kueue = {"managedFields": [managed("kueue", {"f:spec": {"f:suspend": {}}})]}
    assert foreign_fields(kueue, JOB_FIELDS) == (FieldWrite("kueue", "spec.suspend", NOW),)
    assert foreign_fields(kueue, DEPLOYMENT_FIELDS) == ()
    assert foreign_fields({}, JOB_FIELDS) == ()


def test_what_was_seen_is_remembered_once_each_and_within_bounds() -> None:
    memory = WriteMemory()
    for i in range(20):
        write = FieldWrite("other", "spec.replicas", NOW + timedelta(minutes=i // 2))
        memory.note("u", [write])
    ((write,),) = memory.all().values()
    assert len(write.times) == 8
    assert write.times[-1] == NOW + timedelta(minutes=9)
    assert list(write.times) == sorted(set(write.times))
    memory.forget("u")
    assert memory.all() == {}


def test_the_cache_remembers_what_an_apply_of_trimtab_has_wiped_out() -> None:
    cache = ClusterCache()
    labels = {"trimtab.dev/workload": "digits", "trimtab.dev/workload-kind": "ServingWorkload"}

    def put(version: int, *entries: dict[str, Any]) -> None:
        cache.put(DEPLOYMENTS, raw("Deployment", {}, version=str(version), labels=labels, managedFields=list(entries)))

    put(1, managed("other", REPLICAS))
    put(2, managed("trimtab", REPLICAS))
    put(3, managed("other", REPLICAS, NOW + timedelta(minutes=1)))
    (write,) = cache.view().writes["u"]
    assert (write.manager, len(write.times)) == ("other", 2)
    cache.remove(DEPLOYMENTS, "u")
    assert cache.view().writes == {}


def test_a_resource_that_is_not_served_any_more_leaves_nothing_and_may_come_back() -> None:
    cache = ClusterCache()
    spec = {"scaleTargetRef": TARGET, "triggers": []}
    cache.replace(SCALED_OBJECTS, [raw("ScaledObject", spec, version="90")], "100")
    assert len(cache.all(SCALED_OBJECTS)) == 1
    assert cache.clear(SCALED_OBJECTS)
    assert not cache.clear(SCALED_OBJECTS)
    assert cache.all(SCALED_OBJECTS) == ()
    # Installed anew, its objects are others; a store that was restored even counts its versions from lower.
    cache.replace(SCALED_OBJECTS, [raw("ScaledObject", spec, uid="new", version="40")], "50")
    assert len(cache.all(SCALED_OBJECTS)) == 1


def test_an_autoscaler_whose_figures_change_every_quarter_minute_wakes_nobody() -> None:
    cache = ClusterCache()
    spec = {"scaleTargetRef": TARGET, "maxReplicas": 7}
    assert cache.put(SCALERS, raw("HorizontalPodAutoscaler", spec, version="1"))
    busy = {**raw("HorizontalPodAutoscaler", spec, version="2"), "status": {"currentReplicas": 3}}
    assert not cache.put(SCALERS, busy)
