"""A service that may have no replicas: when it sleeps, when it wakes, and where requests go meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_plan_serving import FP32, INT8, SERVES_FP32, decide
from tests.unit.worlds import NOW, load, policy, serving, serving_pod, snapshot
from trimtab.plan.planner import plan
from trimtab.plan.serving_facts import Idleness
from trimtab.plan.snapshot import ServingState

ASLEEP = {
    **SERVES_FP32,
    "decision": {
        "variant": "fp32", "hardwareClass": "local-cpu", "replicas": 0, "mode": "Enforce", "holdsRequests": True,
        "reasons": [{"code": "Asleep", "message": "nobody asked"}],
    },
}  # fmt: skip
AWAKE = {**SERVES_FP32, "decision": {**ASLEEP["decision"], "replicas": 1, "reasons": []}}  # type: ignore[dict-item]


def state(
    status: dict[str, Any],
    replicas: int = 1,
    waiting: float | None = 0.0,
    requests: float | None = 31.0,
    up_seconds: float = 3600.0,
    **spec: Any,
) -> ServingState:
    metrics = load(0.1) if replicas else None
    made = serving(replicas, status, **{"minReplicas": 0, "metrics": metrics, **spec})
    started = NOW - timedelta(seconds=up_seconds)
    pods = tuple(pod.model_copy(update={"started_at": started}) for pod in made.pods)
    idleness = Idleness(waiting_connections=waiting, requests=requests)
    return made.model_copy(update={"idleness": idleness, "pods": pods})


def test_when_nothing_but_probes_asked_for_long_enough_it_falls_asleep() -> None:
    decision = decide(state(AWAKE))
    assert (decision.replicas, decision.stopped, decision.led_to_waker, decision.variant) == (0, True, True, "fp32")
    assert decision.reasons[0].code == "Asleep"
    assert "nobody asked for 10m" in decision.reasons[0].message
    assert [e.reason for e in decision.events] == ["FallsAsleep"]
    ready = next(c for c in decision.conditions if c.type == "Ready")
    assert (ready.status, ready.reason) == ("True", "Asleep")


@pytest.mark.parametrize(
    "busy",
    [
        {"requests": 100.0},
        {"waiting": 1.0},
        {"up_seconds": 300.0},
        {"waiting": None},
        {"requests": None},
        {"minReplicas": 1},
    ],
    ids=str,
)
def test_it_stays_awake_while_there_is_a_reason_to(busy: dict[str, Any]) -> None:
    decision = decide(state(AWAKE, **busy))
    assert decision.replicas >= 1
    assert not decision.stopped


def test_a_count_that_somebody_fixed_is_kept() -> None:
    made = state(AWAKE)
    made = made.model_copy(update={"spec": made.spec.model_copy(update={"replicas": 2})})
    assert decide(made).replicas == 2


def test_it_sleeps_on_while_nobody_waits() -> None:
    decision = decide(state(ASLEEP, replicas=0, requests=None))
    assert (decision.replicas, decision.events) == (0, ())


def test_a_connection_that_waits_wakes_it_and_goes_to_the_waker_until_a_pod_is_ready() -> None:
    decision = decide(state(ASLEEP, replicas=0, waiting=1.0))
    assert (decision.replicas, decision.variant, decision.stopped) == (1, "fp32", False)
    assert (decision.holds_requests, decision.led_to_waker) == (True, True)
    starting = state(AWAKE, pods=(serving_pod("a", ready=False),), waiting=1.0)
    assert decide(starting).led_to_waker
    assert not decide(state(AWAKE, waiting=1.0)).led_to_waker


def test_when_nobody_can_say_who_waits_it_wakes() -> None:
    assert decide(state(ASLEEP, replicas=0, waiting=None)).replicas == 1


def test_under_recommend_nothing_is_put_to_sleep() -> None:
    decision = decide(state(AWAKE), policy("watch", mode="Recommend"))
    assert (decision.replicas, decision.holds_requests) == (1, False)


def test_a_window_that_has_it_at_no_replicas_holds_no_requests() -> None:
    window = {"name": "closed", "start": "00:00", "end": "23:59", "when": "Inside", "action": "ScaleToZero"}
    world = snapshot(
        serving=(state(ASLEEP, replicas=0, waiting=5.0),), variants=(FP32, INT8),
        policies=(policy("hours", windows=[window]),),
    )  # fmt: skip
    (stopped,) = plan(world).serving
    assert (stopped.replicas, stopped.holds_requests, stopped.led_to_waker) == (0, False, False)


@pytest.mark.parametrize("replicas", [0, 1])
def test_while_nothing_can_be_chosen_anew_requests_are_held_as_before(replicas: int) -> None:
    decision = decide(state(AWAKE if replicas else ASLEEP, replicas), variants=())
    assert (decision.reasons[0].code, decision.holds_requests) == ("VariantNotFound", True)
    assert decision.led_to_waker == (replicas == 0)


@given(
    st.none() | st.floats(0, 100), st.none() | st.floats(0, 1e6), st.integers(0, 3), st.floats(0, 1e5), st.booleans()
)
def test_whoever_waits_is_never_left_without_a_server(
    waiting: float | None, requests: float | None, replicas: int, up_seconds: float, slept: bool
) -> None:
    made = state(ASLEEP if slept else AWAKE, min(replicas, 3), waiting, requests, up_seconds)
    decision = decide(made)
    if waiting is None or waiting > 0:
        assert decision.replicas >= 1
    if decision.replicas == 0:
        assert decision.led_to_waker
    if not any(pod.ready for pod in made.pods):
        assert decision.led_to_waker
