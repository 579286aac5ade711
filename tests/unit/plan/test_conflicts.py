"""Who else scales, queues or writes, and what is said of it."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW, job, serving, snapshot, training
from trimtab.api.common import Condition, ConditionStatus
from trimtab.plan.conflicts import CONDITION
from trimtab.plan.decisions import ConditionValue, EventNote
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import ForeignWrite, ScalerState, ServingState, TrainingState

DEPLOYMENT, GROUP = "digits-local-cpu", "trimtab.dev"
_TEMPLATE = {"spec": {"containers": [{"name": "train", "image": "mine:1"}]}}


def scaler(kind: str = "HorizontalPodAutoscaler", **facts: Any) -> ScalerState:
    given = {
        "name": "fast", "namespace": "demo", "target_group": "apps", "target_kind": "Deployment",
        "target_name": DEPLOYMENT, "least": 1, "most": 4, **facts,
    }  # fmt: skip
    return ScalerState(kind=kind, **given)


def on_workload(kind: str = "HorizontalPodAutoscaler", **facts: Any) -> ScalerState:
    target = {"target_group": GROUP, "target_kind": "ServingWorkload", "target_name": "digits-serving"}
    return scaler(kind, **{**target, **facts})


def seen(state: ServingState | TrainingState, *scalers: ScalerState) -> tuple[ConditionValue, list[EventNote]]:
    """The condition and the events about it."""
    if isinstance(state, ServingState):
        decision: Any = plan(snapshot(serving=(state,), scalers=scalers)).serving[0]
    else:
        decision = plan(snapshot(training=(state,), scalers=scalers)).training[0]
    (value,) = [c for c in decision.conditions if c.type == CONDITION]
    return value, [e for e in decision.events if e.reason == CONDITION]


def written(*ages_minutes: float, manager: str = "other-operator", field: str = "spec.replicas") -> ForeignWrite:
    times = tuple(sorted(NOW - timedelta(minutes=age) for age in ages_minutes))
    return ForeignWrite(manager=manager, field=field, times=times)


def counted(replicas: int | None) -> ServingState:
    state = serving(1)
    return state.model_copy(update={"spec": state.spec.model_copy(update={"replicas": replicas})})


def with_writes(*writes: ForeignWrite) -> ServingState:
    state = serving(1)
    (deployment,) = state.deployments
    return state.model_copy(update={"deployments": (deployment.model_copy(update={"foreign_writes": writes}),)})


def test_alone_there_is_no_conflict() -> None:
    for state in (serving(1), training()):
        value, events = seen(state)
        assert (value.status, value.reason, events) == (ConditionStatus.FALSE, "NoConflict", [])


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_a_scaler_of_a_child_is_told_to_scale_the_workload(kind: str) -> None:
    value, (event,) = seen(serving(1), scaler(kind))
    assert (value.status, value.reason) == (ConditionStatus.TRUE, "ScalesChild")
    assert f"{kind} 'fast' scales Deployment '{DEPLOYMENT}'" in value.message
    assert "{apiVersion: trimtab.dev/v1alpha1, kind: ServingWorkload, name: digits-serving}" in value.message
    assert (event.warning, event.message) == (True, value.message)


def test_a_scaler_of_the_workload_is_welcome_when_there_is_a_count() -> None:
    assert seen(counted(2), on_workload())[0].reason == "NoConflict"
    value, _ = seen(serving(1), on_workload())
    assert value.reason == "NoCount"
    assert "set spec.replicas once, such as 1" in value.message


def test_counts_that_the_api_server_would_refuse_are_said() -> None:
    value, _ = seen(counted(2), on_workload(most=9))
    assert value.reason == "BoundsDiffer"
    assert "scales from 1 to 9" in value.message
    assert "from minReplicas 1 to maxReplicas 4" in value.message


def test_the_autoscaler_that_keda_makes_is_not_counted_beside_its_scaled_object() -> None:
    keda = on_workload("ScaledObject", name="queue")
    made = on_workload(name="keda-hpa-queue", made_by="queue")
    assert seen(counted(2), keda, made)[0].reason == "NoConflict"
    assert "ScaledObject 'queue'" in seen(serving(1), made)[0].message
    value, _ = seen(counted(2), keda, made, on_workload(name="mine"))
    assert value.reason == "SeveralScalers"


def test_a_vertical_scaler_changes_what_is_planned_with() -> None:
    vertical = scaler("VerticalPodAutoscaler", least=None, most=None)
    value, _ = seen(serving(1), vertical)
    assert value.reason == "VerticalScaler"
    assert "updatePolicy.updateMode to Off" in value.message


def test_namesakes_elsewhere_are_no_conflict() -> None:
    value, _ = seen(serving(1), scaler(namespace="elsewhere"), scaler(target_name="other"))
    assert value.reason == "NoConflict"
    # A Deployment that has the name of a workload is not the workload.
    assert seen(serving(1), on_workload(target_group="apps"))[0].reason == "NoConflict"


def test_one_edit_is_put_right_in_silence_but_two_writers_are_a_conflict() -> None:
    assert seen(with_writes(written(1)))[0].reason == "NoConflict"
    value, _ = seen(with_writes(written(1, 2, 3)))
    assert value.reason == "OtherWriter"
    assert "'other-operator' set spec.replicas of Deployment 'digits-local-cpu' 3 times" in value.message


def test_what_is_long_over_is_no_conflict() -> None:
    assert seen(with_writes(written(1, 11, 20)))[0].reason == "NoConflict"


def test_the_writes_of_a_known_autoscaler_are_not_said_twice() -> None:
    state = with_writes(written(1, 2, manager="kube-controller-manager"))
    value, _ = seen(state, scaler())
    assert (value.reason, value.message.count(";")) == ("ScalesChild", 0)
    # But what it has nothing to do with is.
    state = with_writes(written(1, 2, manager="mutator", field="spec.template.spec.nodeSelector"))
    assert "'mutator'" in seen(state, scaler())[0].message


def test_kueue_that_suspends_a_job_is_told_apart() -> None:
    writes = (written(1, 2, manager="kueue", field="spec.suspend"),)
    value, _ = seen(training(job=job(foreign_writes=writes)))
    assert value.reason == "KueueManages"
    assert "manageJobsWithoutQueueName: false" in value.message


def test_queue_labels_of_kueue() -> None:
    state = training()
    queue = {"kueue.x-k8s.io/queue-name": "main"}
    labelled = state.model_copy(update={"meta": state.meta.model_copy(update={"labels": queue})})
    assert seen(labelled)[0].reason == "KueueQueue"
    template = {"metadata": {"labels": queue}, **_TEMPLATE}
    own = training(torch=None, template=template, work={"totalSamples": 5})
    assert seen(own)[0].reason == "KueueHoldsPods"


def test_an_event_is_written_when_a_conflict_begins_and_not_again() -> None:
    value, events = seen(serving(1), scaler())
    assert len(events) == 1
    before = Condition(type=CONDITION, status=value.status, reason=value.reason, last_transition_time=NOW)
    state = serving(1)
    status = state.status.model_copy(update={"conditions": (before,)})
    assert seen(state.model_copy(update={"status": status}), scaler())[1] == []


_scalers = st.lists(
    st.builds(
        ScalerState,
        kind=st.sampled_from(["HorizontalPodAutoscaler", "ScaledObject", "VerticalPodAutoscaler"]),
        name=st.sampled_from(["a", "b"]),
        namespace=st.sampled_from(["demo", "elsewhere"]),
        target_group=st.sampled_from(["apps", GROUP, ""]),
        target_kind=st.sampled_from(["Deployment", "ServingWorkload", "Job", ""]),
        target_name=st.sampled_from([DEPLOYMENT, "digits-serving", "digits", ""]),
        least=st.none() | st.integers(0, 9),
        most=st.none() | st.integers(0, 9),
        made_by=st.sampled_from(["", "a"]),
    ),
    max_size=6,
)


@given(scalers=_scalers, replicas=st.none() | st.integers(1, 4))
def test_whatever_others_make_the_decision_stays_and_one_condition_says_so(
    scalers: list[ScalerState], replicas: int | None
) -> None:
    state = counted(replicas)
    alone = plan(snapshot(serving=(state,))).serving[0]
    beside = plan(snapshot(serving=(state,), scalers=tuple(scalers))).serving[0]
    (value,) = [c for c in beside.conditions if c.type == CONDITION]
    assert (value.status == ConditionStatus.TRUE) == bool(value.message)
    assert (beside.replicas, beside.variant, beside.hardware_class) == (
        alone.replicas, alone.variant, alone.hardware_class,
    )  # fmt: skip
    mine = [s for s in scalers if s.namespace == "demo"]
    assert value.status == ConditionStatus.FALSE or mine
