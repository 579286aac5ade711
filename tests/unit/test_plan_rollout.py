"""A change of variant that is tried first: what serves, which pods try, and what ends it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.test_plan_serving import FP32, INT8, decide
from tests.unit.worlds import NOW, load, policy, serving, serving_pod, snapshot, variant
from trimtab.api.rollout import RolloutPhase
from trimtab.apply.serving_apply import switch_targets
from trimtab.plan.decisions import ServingDecision
from trimtab.plan.planner import plan
from trimtab.plan.serving_facts import RolloutCounts, RolloutInterval
from trimtab.plan.snapshot import PolicyState, ServingState

CANARY = {"strategy": "Canary"}
FP32_SERVES: dict[str, Any] = {
    "activeVariant": "fp32",
    "variants": [{"name": "fp32", "version": 1}, {"name": "int8", "version": 2}],
    "decision": {"variant": "fp32", "hardwareClass": "local-cpu", "replicas": 3, "mode": "Enforce"},
}


def running(started_seconds_ago: float = 60.0, **more: Any) -> dict[str, Any]:
    started = (NOW - timedelta(seconds=started_seconds_ago)).isoformat()
    rollout = {"phase": "Running", "stable": "fp32", "candidate": "int8", "startedAt": started, "reason": "Begun"}
    return {**FP32_SERVES, "rollout": {**rollout, **more}}


def evidence(failures: float = 0.0, candidate_ms: float = 20.0, count: int = 40) -> tuple[RolloutInterval, ...]:
    return tuple(
        RolloutInterval(
            ends_at=NOW - timedelta(seconds=15 * (count - i)),
            candidate=RolloutCounts(requests=25, failures=failures, latency_ms=candidate_ms),
            stable=RolloutCounts(requests=75, failures=0, latency_ms=20.0),
        )
        for i in range(count)
    )


def state(status: dict[str, Any], replicas: int = 3, rps: float = 180.0, **spec: Any) -> ServingState:
    intervals = spec.pop("intervals", ())
    made = serving(replicas, status, metrics=spec.pop("metrics", load(rps)), **{"rollout": CANARY, **spec})
    return made.model_copy(update={"rollout_intervals": intervals})


def carried(decision: ServingDecision) -> tuple[str, str]:
    assert decision.rollout is not None
    return decision.rollout.phase.value, decision.rollout.reason


def test_a_cheaper_variant_is_tried_on_some_pods_while_the_other_serves() -> None:
    decision = decide(state(FP32_SERVES))
    assert (decision.variant, carried(decision)) == ("fp32", ("Running", "Begun"))
    assert decision.rollout is not None
    assert decision.rollout.candidate == "int8"
    assert decision.canary_pods == ("pod-0",)
    assert "CanaryBegun" in [e.reason for e in decision.events]
    condition = next(c for c in decision.conditions if c.type == "RolloutSucceeded")
    assert (condition.status, condition.reason) == ("Unknown", "Begun")


def test_without_the_strategy_it_is_switched_at_once() -> None:
    decision = decide(state(FP32_SERVES, rollout={}))
    assert (decision.variant, decision.rollout) == ("int8", None)


def test_only_the_trial_pods_are_given_the_candidate() -> None:
    world = state(running())
    pods = tuple(pod.model_copy(update={"ip": f"10.0.0.{i}"}) for i, pod in enumerate(world.pods))
    world = world.model_copy(update={"pods": pods})
    assert [(t.pod, t.version) for t in switch_targets(world, decide(world), {})] == [("pod-0", 2)]


def test_pods_that_try_it_already_go_on_trying() -> None:
    pods = (serving_pod("a"), serving_pod("b", version=2), serving_pod("c"))
    assert decide(state(running(), pods=pods)).canary_pods == ("b",)


def test_one_pod_alone_gets_a_second_before_anything_is_tried() -> None:
    accurate = policy("accurate", serving={"prefer": "Accuracy"})
    int8_serves = {**FP32_SERVES, "activeVariant": "int8", "decision": {**FP32_SERVES["decision"], "variant": "int8"}}
    decision = decide(state(int8_serves, replicas=1, rps=20.0), accurate)
    assert (decision.variant, decision.replicas, decision.canary_pods) == ("int8", 2, ())
    assert carried(decision) == ("Running", "Begun")


def test_where_there_can_be_no_second_pod_it_is_switched_at_once() -> None:
    decision = decide(state(FP32_SERVES, replicas=1, rps=20.0, maxReplicas=1))
    assert decision.rollout is None


def test_a_candidate_that_does_as_well_is_promoted() -> None:
    decision = decide(state(running(600), intervals=evidence()))
    assert (decision.variant, carried(decision)) == ("int8", ("Promoted", "CandidateIsNoWorse"))
    assert decision.canary_pods == ()
    assert "CanaryPromoted" in [e.reason for e in decision.events]


def test_one_that_fails_requests_goes_back_and_is_not_tried_again_soon() -> None:
    decision = decide(state(running(60), intervals=evidence(failures=3.0, count=4)))
    assert (decision.variant, carried(decision)) == ("fp32", ("Returned", "CandidateFailsMore"))
    assert [(r.name, r.until) for r in decision.rejected] == [("int8", NOW + timedelta(hours=24))]
    assert next(c for c in decision.conditions if c.type == "RolloutSucceeded").status == "False"
    returned = decision.rollout.model_dump(mode="json", by_alias=True) if decision.rollout else {}
    rejected = [r.model_dump(mode="json", by_alias=True) for r in decision.rejected]
    later = decide(state({**FP32_SERVES, "rollout": returned, "rejected": rejected}))
    assert (later.variant, carried(later)) == ("fp32", ("Returned", "CandidateFailsMore"))
    assert later.rejected == decision.rejected


def test_one_that_was_made_anew_may_be_tried_at_once() -> None:
    rejected = [{"name": "int8", "until": (NOW + timedelta(hours=9)).isoformat(), "specHash": "the one before"}]
    assert carried(decide(state({**FP32_SERVES, "rejected": rejected}))) == ("Running", "Begun")


def test_after_the_time_it_may_be_tried_again() -> None:
    rejected = [{"name": "int8", "until": (NOW - timedelta(seconds=1)).isoformat(), "specHash": "x"}]
    assert carried(decide(state({**FP32_SERVES, "rejected": rejected}))) == ("Running", "Begun")


def test_a_broken_target_comes_before_any_trial() -> None:
    decision = decide(state(running(), metrics=load(180.0, latency_ms=450.0)))
    assert carried(decision) == ("Returned", "TargetBroken")
    assert decision.rejected == ()


def test_a_target_that_only_the_candidate_breaks_is_left_to_the_judge() -> None:
    decision = decide(
        state(running(), metrics=load(180.0, latency_ms=450.0), intervals=evidence(candidate_ms=400.0, count=3))
    )
    assert decision.rollout is not None
    assert decision.rollout.phase is RolloutPhase.RUNNING


@pytest.mark.parametrize("gone", [(INT8,), (variant("fp32", 0.99, 100.0),)])
def test_a_trial_of_which_one_side_may_no_longer_serve_ends(gone: tuple[Any, ...]) -> None:
    decision = decide(state(running()), variants=gone)
    assert carried(decision) == ("Returned", "Withdrawn")
    assert decision.variant == gone[0].meta.name


def test_a_limit_that_the_serving_variant_breaks_ends_the_trial() -> None:
    tight = policy("tight", limits={"costUSDPerHour": "0.01"})
    decision = decide(state(running()), tight)
    assert carried(decision) == ("Returned", "Superseded")


def test_only_watching_tries_nothing() -> None:
    decision = decide(state(FP32_SERVES), policy("watch", mode="Recommend"))
    assert decision.rollout is None
    assert carried(decide(state(running()), policy("watch", mode="Recommend"))) == ("Returned", "Withdrawn")


REJECTED = [{"name": "int8", "until": (NOW + timedelta(hours=9)).isoformat(), "specHash": "x"}]
NO_REPLICAS = {"name": "closed", "start": "00:00", "end": "23:59", "when": "Inside", "action": "ScaleToZero"}


def planned(world: ServingState, *policies: PolicyState) -> ServingDecision:
    (decision,) = plan(snapshot(serving=(world,), variants=(FP32, INT8), policies=policies)).serving
    return decision


def test_what_was_sent_back_is_remembered_through_a_night_without_replicas() -> None:
    night = planned(state({**FP32_SERVES, "rejected": REJECTED}), policy("hours", windows=[NO_REPLICAS]))
    assert (night.stopped, [r.name for r in night.rejected]) == (True, ["int8"])


def test_what_was_sent_back_is_remembered_while_nothing_may_serve() -> None:
    refused = decide(state({**FP32_SERVES, "rejected": REJECTED}), variants=())
    assert (refused.reasons[0].code, [r.name for r in refused.rejected]) == ("VariantNotFound", ["int8"])


def test_a_trial_that_loses_its_servers_ends_without_blame() -> None:
    night = planned(state(running(60)), policy("hours", windows=[NO_REPLICAS]))
    assert (carried(night), night.rejected) == (("Returned", "Withdrawn"), ())
    assert night.canary_pods == ()
