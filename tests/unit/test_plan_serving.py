"""What a person who serves may rely on."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import worlds
from tests.unit.worlds import NOW, hardware, load, policy, serving, serving_pod, snapshot, variant
from trimtab.api.serving import VariantVersion
from trimtab.api.variant import ModelVariantStatus
from trimtab.plan.capacity import Capacity
from trimtab.plan.decisions import ServingDecision
from trimtab.plan.planner import plan
from trimtab.plan.policy import effective_policy
from trimtab.plan.serving.decide import allocate_versions, plan_serving
from trimtab.plan.snapshot import MetricsHealth, ServingState, VariantState

FP32, INT8 = variant("fp32", 0.99, 100.0), variant("int8", 0.97, 250.0)
SERVES_FP32 = {"activeVariant": "fp32", "variants": [{"name": "fp32", "version": 1}, {"name": "int8", "version": 2}]}


def decide(state: ServingState, *policies: worlds.PolicyState, **facts: Any) -> ServingDecision:
    variants = facts.pop("variants", (FP32, INT8))
    capacity_units = facts.pop("capacity_units", 8.0)
    world = snapshot(
        hardware=(hardware(capacity_units=capacity_units, units_per_node=8.0),),
        variants=variants, serving=(state,), policies=policies, **facts,
    )  # fmt: skip
    accepted = {v.meta.key: True for v in variants}
    merged = effective_policy(world.policies, state.meta)
    return plan_serving([state], world, {state.meta.key: merged}, {"ES": 100.0}, Capacity(world.hardware), accepted)[0]


ACCURATE = policy("accurate", serving={"prefer": "Accuracy"})


def test_the_cheapest_variant_serves_unless_accuracy_is_preferred() -> None:
    state = serving(1, metrics=load(180.0))
    assert decide(state).variant == "int8"
    assert decide(state, ACCURATE).variant == "fp32"


def test_of_equally_cheap_variants_the_more_accurate_serves() -> None:
    assert decide(serving(0, metrics=None)).variant == "fp32"


def test_a_variant_below_the_accuracy_floor_never_serves() -> None:
    state = serving(0, targets={"latency": {"milliseconds": 200}, "minAccuracy": "0.98"})
    assert decide(state).variant == "fp32"
    nothing = decide(serving(0, targets={"latency": {"milliseconds": 200}, "minAccuracy": "0.999"}))
    assert (nothing.variant, nothing.replicas) == ("", 0)
    assert nothing.reasons[0].code == "NoVariantAccurateEnough"


def test_load_beyond_one_replica_scales_up_at_once() -> None:
    state = serving(1, SERVES_FP32, metrics=load(180.0))
    decision = decide(state, ACCURATE)
    assert (decision.variant, decision.replicas) == ("fp32", 3)
    assert [e.reason for e in decision.events] == ["Starts"]
    assert decision.reasons[1].code == "LoadRises"


def test_a_breach_that_the_model_does_not_see_adds_a_replica() -> None:
    state = serving(1, SERVES_FP32, metrics=load(20.0, latency_ms=450.0))
    decision = decide(state, ACCURATE)
    assert decision.replicas == 2
    assert decision.reasons[1].code == "LatencyBreach"
    assert "450 ms" in decision.reasons[1].message


def test_while_new_replicas_start_a_breach_adds_no_more() -> None:
    pods = (serving_pod("a"), serving_pod("b", ready=False))
    state = serving(2, SERVES_FP32, pods=pods, metrics=load(20.0, latency_ms=450.0))
    assert decide(state, ACCURATE).replicas == 2


def test_triton_showing_an_old_breach_for_a_minute_does_not_scale_up() -> None:
    recent = load(20.0, latency_ms=450.0, mean_compute_ms=10.0, mean_queue_ms=1.0)
    assert decide(serving(2, SERVES_FP32, metrics=recent), ACCURATE).replicas <= 2


def test_scaling_down_waits_for_the_stabilization_window() -> None:
    first = decide(serving(3, SERVES_FP32, metrics=load(5.0)), ACCURATE)
    assert (first.replicas, first.low_since) == (3, NOW)
    waited = {**SERVES_FP32, "lowSince": (NOW - timedelta(minutes=6)).isoformat()}
    second = decide(serving(3, waited, metrics=load(5.0)), ACCURATE)
    assert (second.replicas, second.reasons[1].code) == (1, "LoadFell")


def test_it_goes_down_to_the_most_that_was_needed_in_the_window() -> None:
    waited = {**SERVES_FP32, "lowSince": (NOW - timedelta(minutes=6)).isoformat(), "lowMost": 2}
    decision = decide(serving(3, waited, metrics=load(5.0)), ACCURATE)
    assert (decision.replicas, decision.low_since, decision.low_most) == (2, NOW, 1)


@pytest.mark.parametrize(
    ("metrics", "health"),
    [
        (None, MetricsHealth.UNREACHABLE),
        (load(500.0, age_seconds=600.0), MetricsHealth.OK),
        (load(0.0, age_seconds=600.0), MetricsHealth.OK),
    ],
)
def test_missing_or_stale_metrics_hold_the_scale(metrics: Any, health: MetricsHealth) -> None:
    decision = decide(serving(3, SERVES_FP32, metrics=metrics), metrics_health=health)
    assert (decision.replicas, decision.variant) == (3, "fp32")
    available = next(c for c in decision.conditions if c.type == "MetricsAvailable")
    assert available.status == "False"


def test_the_fallback_holds_while_metrics_are_missing() -> None:
    state = serving(1, SERVES_FP32, metrics=None, fallback={"replicas": 3})
    assert decide(state, metrics_health=MetricsHealth.UNREACHABLE).replicas == 3


def test_a_lower_budget_switches_to_a_cheaper_variant_first_and_shrinks_then() -> None:
    """fp32 needs three replicas (0.015 USD/h); with 0.011 only two may be held, which int8 can do."""
    rules = policy("budget", limits={"costUSDPerHour": "0.011"})
    first = decide(serving(3, SERVES_FP32, metrics=load(180.0)), ACCURATE, rules)
    assert (first.variant, first.replicas) == ("int8", 3)
    assert first.reasons[0].code == "CheaperVariantFitsLimits"
    assert "0.015 USD/h is above the limit of 0.011" in first.reasons[0].message
    switched = tuple(serving_pod(f"pod-{i}", version=2) for i in range(3))
    after = decide(
        serving(3, {**SERVES_FP32, "activeVariant": "int8"}, pods=switched, metrics=load(180.0)), ACCURATE, rules
    )
    assert (after.variant, after.replicas) == ("int8", 2)


def test_with_the_budget_gone_tight_for_all_it_says_what_would_be_nearest() -> None:
    rules = policy("budget", limits={"costUSDPerHour": "0.006"})
    decision = decide(serving(1, SERVES_FP32, metrics=load(700.0)), ACCURATE, rules)
    feasible = next(c for c in decision.conditions if c.type == "TargetsFeasible")
    assert feasible.status == "False"
    assert "nearest: 1 x" in feasible.message
    assert decision.replicas == 1


def test_two_variants_nearly_as_good_are_not_swapped_back_and_forth() -> None:
    near = variant("int8", 0.97, 102.0)
    state = serving(1, SERVES_FP32, metrics=load(10.0))
    assert decide(state, variants=(FP32, near)).variant == "fp32"


def test_a_missing_variant_is_a_condition_and_the_rest_serves_on() -> None:
    state = serving(1, SERVES_FP32, variants=["fp32", "gone"], metrics=load(10.0))
    decision = decide(state, variants=(FP32,))
    assert decision.variant == "fp32"
    found = next(c for c in decision.conditions if c.type == "VariantsFound")
    assert (found.status, found.message) == ("False", "no ModelVariant named gone")


def test_a_fixed_count_is_left_alone() -> None:
    state = serving(1, SERVES_FP32, metrics=load(700.0))
    fixed = state.model_copy(update={"spec": state.spec.model_copy(update={"replicas": 2})})
    assert decide(fixed).replicas == 2


def test_serving_takes_capacity_before_training() -> None:
    state = serving(1, SERVES_FP32, metrics=load(300.0))
    world = snapshot(variants=(), serving=(state,), training=(worlds.training(job=worlds.job()),))
    assert plan(world).training[0].action == "Run"


def test_versions_are_given_once_and_never_move() -> None:
    known = (VariantVersion(name="fp32", version=1), VariantVersion(name="old", version=2))
    versions = {v.name: v.version for v in allocate_versions(known, ("int8", "fp32"))}
    assert versions == {"fp32": 1, "old": 2, "int8": 3}


@given(
    rps=worlds.requests_per_second, latency=st.none() | st.floats(0.0, 5000.0), pending=st.floats(0.0, 1e4),
    busy=st.none() | st.floats(0.0, 4.0), current=st.integers(0, 4), budget=st.floats(0.001, 0.1),
)  # fmt: skip
def test_whatever_is_measured_the_decision_stays_in_bounds(
    rps: float, latency: float | None, pending: float, busy: float | None, current: int, budget: float
) -> None:
    metrics = load(rps, latency_ms=latency, pending_requests=pending, busy_share=busy)
    rules = policy("budget", limits={"costUSDPerHour": f"{budget:.6f}"})
    decision = decide(serving(current, SERVES_FP32, metrics=metrics), rules)
    assert 1 <= decision.replicas <= 4
    assert decision.variant in ("fp32", "int8")
    assert decision.reasons
    assert decision.rate is not None
    assert math.isfinite(decision.rate.carbon_grams_per_hour)


def test_a_change_of_variant_settles_before_another() -> None:
    """Right after a switch the metrics are of two variants at once; only a limit may change it again."""
    just = {**SERVES_FP32, "activeVariant": "int8", "switchedAt": (NOW - timedelta(seconds=5)).isoformat()}
    just["decision"] = {"variant": "int8", "mode": "Enforce"}
    pods = tuple(serving_pod(f"pod-{i}", version=2) for i in range(2))
    state = serving(2, just, pods=pods, metrics=load(20.0))
    settling = decide(state, ACCURATE)
    assert (settling.variant, settling.reasons[0].code) == ("int8", "VariantSettles")
    long_ago = {**just, "switchedAt": (NOW - timedelta(minutes=10)).isoformat()}
    assert decide(serving(2, long_ago, pods=pods, metrics=load(20.0)), ACCURATE).variant == "fp32"


def test_a_backlog_adds_replicas_but_does_not_change_the_variant() -> None:
    """1,000 requests in the queue are no reason to serve less accurately for good."""
    state = serving(1, SERVES_FP32, metrics=load(60.0, latency_ms=900.0, pending_requests=2000.0))
    decision = decide(state, ACCURATE)
    assert (decision.variant, decision.replicas) == ("fp32", 4)


def test_new_replicas_get_time_to_show_before_a_breach_adds_more() -> None:
    young = serving_pod("b").model_copy(update={"started_at": NOW - timedelta(seconds=5)})
    breach = load(20.0, latency_ms=900.0)
    assert decide(serving(2, SERVES_FP32, pods=(serving_pod("a"), young), metrics=breach), ACCURATE).replicas == 2


def test_capacity_is_learned_from_the_live_server_and_only_while_nothing_changes() -> None:
    busy = load(80.0, busy_share=1.0)
    decision = decide(serving(1, SERVES_FP32, metrics=busy), ACCURATE)
    assert decision.capacity_correction == pytest.approx(0.8)
    assert decision.replicas > 1, "the profile alone says that 100 requests/s fit one replica"
    unmeasured = load(80.0, busy_share=1.0, pods=1)
    assert decide(serving(2, SERVES_FP32, metrics=unmeasured), ACCURATE).capacity_correction is None


def throttled(name: str, accuracy: float, milliseconds: float, items_per_second: float) -> VariantState:
    """A variant as 0.2 CPU measures it: most executions are short, and one in ten waits for the next period."""
    given = variant(name, accuracy, items_per_second)
    points = [
        {
            "batch": batch, "p50Milliseconds": str(milliseconds * batch), "p95Milliseconds": str(36.0 + 5.0 * batch),
            "p99Milliseconds": str(45.0 + 5.0 * batch), "itemsPerSecond": str(items_per_second),
            "cpuSecondsPerItem": "0.0009",
        }
        for batch in (1, 8, 32)
    ]  # fmt: skip
    status = {**given.status.model_dump(by_alias=True, mode="json"), "profile": points}
    return given.model_copy(update={"status": ModelVariantStatus.model_validate(status)})


def test_a_throttled_cpu_makes_a_tail_but_no_endless_queue() -> None:
    """Three replicas with 290 items/s between them carried 180 requests/s with a p95 far below 400 ms."""
    variants = (throttled("fp32", 0.99, 0.86, 224.0), throttled("int8", 0.98, 0.25, 753.0))
    learned = {**SERVES_FP32, "observed": {"capacityCorrection": "0.43"}}
    state = serving(
        3,
        learned,
        metrics=load(180.0, busy_share=0.05),
        targets={"latency": {"milliseconds": 400}, "minAccuracy": "0.9"},
    )
    decision = decide(state, ACCURATE, variants=variants)
    assert decision.variant == "fp32"
    assert decision.replicas in (3, 4)
    assert 36.0 < (decision.predicted_latency_ms or 0.0) < 320.0


def test_a_count_that_is_given_holds_without_metrics_too() -> None:
    """An autoscaler has metrics of its own: that ours are missing must not keep it from scaling."""
    world = snapshot(variants=(variant("fp32", 0.95, 100), variant("int8", 0.93, 200)))
    for count in (1, 3):
        state = serving(2, status={"activeVariant": "int8"})
        given = state.model_copy(update={"spec": state.spec.model_copy(update={"replicas": count}), "metrics": None})
        (decision,) = plan(world.model_copy(update={"serving": (given,)})).serving
        assert decision.replicas == count
        assert decision.reasons[-1].code == "MetricsMissing"
