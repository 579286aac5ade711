"""What budgets, working hours and eco mode come to on real workloads: through the whole plan, from a Snapshot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.worlds import NOW, carbon, hardware, job, load, policy, serving, snapshot, training, variant
from trimtab.api.budget import BudgetStatus
from trimtab.api.common import Usage
from trimtab.api.policy import EfficiencyPolicyStatus
from trimtab.api.training import TrainingAction
from trimtab.apply.other_status import policy_status, quiet_policy_status
from trimtab.plan.decisions import ConditionValue, Plan
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import PolicyState, ServingState, Snapshot, TrainingMetrics, TrainingState, WorkloadPod

FP32, INT8 = variant("fp32", 0.99, 100.0), variant("int8", 0.97, 250.0)
GATED = {"conditions": [{"type": "AccuracyGatePassed", "status": "True"}]}
SERVES = {
    "activeVariant": "int8",
    "variants": [{"name": "fp32", "version": 1}, {"name": "int8", "version": 2}],
    "decision": {"variant": "int8", "hardwareClass": "local-cpu", "replicas": 1, "rate": {"costUSDPerHour": "0.02"}},
}
MONTH_END = datetime(2026, 12, 1, tzinfo=UTC)


def spent(state: PolicyState, usd: float, ago: timedelta = timedelta(seconds=25), **facts: Any) -> PolicyState:
    """The policy with its first budget's account at so much."""
    status = BudgetStatus(
        name=state.spec.budgets[0].name,
        period_start=datetime(2026, 11, 1, tzinfo=UTC),
        period_end=MONTH_END,
        usage=Usage(cost_usd=usd, accounted_until=NOW - ago),
        **facts,
    )
    return state.model_copy(update={"status": EfficiencyPolicyStatus(budgets=(status,))})


def capped(usd: str = "100", **spec: Any) -> PolicyState:
    return policy("cap", budgets=[{"name": "month", "costUSD": usd, **spec.pop("budget", {})}], **spec)


def pods(count: int = 2) -> tuple[WorkloadPod, ...]:
    made = NOW - timedelta(minutes=4)
    return tuple(
        WorkloadPod(name=f"p{i}", hardware_class="local-cpu", phase="Running", ready=True, created_at=made)
        for i in range(count)
    )


def trains(**spec: Any) -> TrainingState:
    metrics = TrainingMetrics(completed_samples=100.0, total_samples=1e6, samples_per_second=10.0, observed_at=NOW)
    return training(**{"job": job(), "pods": pods(), "metrics": metrics, **spec})


def world(*policies: PolicyState, **facts: Any) -> Snapshot:
    variants = (FP32, INT8)
    roomy = hardware(capacity_units=8.0, units_per_node=8.0)
    return snapshot(policies=policies, variants=variants, **{"hardware": (roomy,), **facts})


def shown(found: Plan, kind: str, key: str = "demo/cap") -> ConditionValue:
    (decision,) = (p for p in found.policies if p.key == key)
    return next(c for c in decision.conditions if c.type == kind)


def test_an_exhausted_budget_suspends_a_training_and_says_why_and_what_it_would_cost() -> None:
    found = plan(world(spent(capped(), 100.0), training=(trains(),)))
    (decision,) = found.training
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.SUSPEND, "BudgetExhausted")
    assert "budget month of policy demo/cap: 100 of 100 USD (100%) spent" in decision.reasons[0].message
    assert "2026-12-01 00:00 UTC" in decision.reasons[0].message
    assert "USD an hour" in (decision.reasons[0].alternative or "")
    within = next(c for c in decision.conditions if c.type == "WithinBudget")
    assert (within.status, within.reason) == ("False", "BudgetExhausted")
    assert shown(found, "WithinBudget").reason in ("ForecastExhaustion", "Exhausted")


def test_a_budget_with_room_changes_nothing() -> None:
    found = plan(world(spent(capped(), 1.0), training=(trains(),)))
    assert found.training == plan(world(training=(trains(),))).training
    assert shown(found, "WithinBudget").reason == "WithinBudgets"
    (status,) = found.policies[0].budgets
    assert (status.limit, status.action, status.forecast_exhaustion) == (100.0, "", None)
    assert 1.0 < (status.forecast_spent or 0.0) < 10.0


def test_a_new_workload_does_not_start_on_an_exhausted_budget() -> None:
    (decision,) = plan(world(spent(capped(), 100.0), training=(training(),))).training
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.WAIT, "BudgetExhausted")


def test_an_edit_of_the_policy_takes_effect_in_the_next_plan() -> None:
    tight, wide = spent(capped("100"), 100.0), spent(capped("500"), 100.0)
    stopped = trains(job=job(suspended=True), pods=())
    assert plan(world(tight, training=(stopped,))).training[0].action is TrainingAction.SUSPEND
    assert plan(world(wide, training=(stopped,))).training[0].action is TrainingAction.RUN
    off = spent(capped("100", mode="Off"), 100.0)
    assert plan(world(off, training=(stopped,))).training[0].action is TrainingAction.RUN


def test_while_nothing_is_metered_pods_count_for_as_long_as_they_are_there() -> None:
    hours = timedelta(hours=8)
    behind = spent(capped("10"), 9.0, ago=hours)
    assert plan(world(behind, training=(trains(),))).training[0].action is TrainingAction.RUN
    old = tuple(p.model_copy(update={"created_at": NOW - timedelta(days=9)}) for p in pods(16))
    state = trains(minReplicas=16, maxReplicas=16, job=job(replicas=16), pods=old)
    (decision,) = plan(world(spent(capped("10"), 9.2, ago=hours), training=(state,))).training
    # Sixteen replicas of 0.00625 USD an hour, eight hours: 0.8 USD that no meter has seen.
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.SUSPEND, "BudgetExhausted")


def test_what_is_not_metered_yet_counts_by_the_grid_of_that_time() -> None:
    """The grid has just become clean: the eight hours before were not."""
    hour, shape = carbon("ES", 100.0), {"minReplicas": 2, "job": job()}
    old = tuple(p.model_copy(update={"created_at": NOW - timedelta(days=9)}) for p in pods(2))
    limit = {"name": "month", "carbonKilograms": "1"}

    def spent_until_now(before: float) -> float:
        points = [(NOW - timedelta(days=2), before), (NOW, 100.0)]
        grid = hour.model_copy(
            update={
                "points": tuple(hour.points[0].model_copy(update={"start": at, "grams_per_kwh": g}) for at, g in points)
            }
        )
        state = policy("cap", budgets=[limit])
        state = spent(state, 0.0, ago=timedelta(hours=8))
        found = plan(world(state, training=(trains(**shape, pods=old),), carbon=(grid,)))
        text = found.policies[0].budgets[0].message
        return float(text.partition("demo/cap: ")[2].partition(" of ")[0])

    assert spent_until_now(500.0) > 3.0 * spent_until_now(100.0)


def test_a_policy_that_is_off_does_nothing_and_its_budget_is_metered_on() -> None:
    found = plan(world(spent(capped(mode="Off"), 100.0, action="Suspend"), training=(trains(),)))
    assert found.training[0].action is TrainingAction.RUN
    (status,) = found.policies[0].budgets
    assert (status.spent, status.action) == (100.0, "")
    assert [c.type for c in found.policies[0].conditions] == ["Ready"]
    assert found.policies[0].events == ()


def test_recommend_decides_the_same_and_says_that_it_would() -> None:
    watching = spent(capped(mode="Recommend"), 100.0)
    found = plan(world(watching, training=(trains(),)))
    assert (found.training[0].action, found.training[0].mode) == (TrainingAction.SUSPEND, "Recommend")
    assert "would be in force" in found.policies[0].budgets[0].message


def test_fewer_replicas_come_before_suspension_and_the_deadline_is_kept() -> None:
    wide = {"minReplicas": 1, "maxReplicas": 4, "profiles": [{"hardwareClass": "local-cpu", "samplesPerSecond": 10}]}
    # Four replicas cost 0.025 USD an hour; as much is expected for the 156 hours that are left.
    order = {"actions": ["FewerReplicas", "Suspend"]}
    state = trains(job=job(replicas=4), pods=pods(4), **wide)
    (decision,) = plan(world(spent(capped("10", budget=order), 6.0), training=(state,))).training
    assert (decision.action, decision.replicas) == (TrainingAction.RUN, 4)
    (decision,) = plan(world(spent(capped("10", budget=order), 6.5), training=(state,))).training
    assert decision.action is TrainingAction.RUN
    assert decision.replicas < 4
    saving = next(r for r in decision.reasons if r.code == "BudgetNearlyExhausted")
    assert "in force: FewerReplicas" in saving.message
    assert "USD at the end of the period" in (saving.alternative or "")
    tight = trains(job=job(replicas=4), pods=pods(4), **wide, targets={"completeWithin": "9h"})
    (decision,) = plan(world(spent(capped("10", budget=order), 8.5), training=(tight,))).training
    assert (decision.action, decision.replicas) in ((TrainingAction.RUN, 4), (TrainingAction.RUN, 3))


def test_a_training_with_time_is_put_off_to_the_next_period() -> None:
    patient = trains(targets={"completeWithin": "400h"})
    # Four hours' worth is left: it is put off when that is spent.
    found = plan(world(spent(capped("10"), 9.95), training=(patient,)))
    assert found.training[0].action is TrainingAction.RUN
    assert "LaterSlots will be needed later" in found.policies[0].budgets[0].message
    (decision,) = plan(world(spent(capped("10"), 9.9998), training=(patient,))).training
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.SUSPEND, "BudgetLaterSlots")
    assert "put off until 2026-12-01 00:00 UTC" in decision.reasons[0].message


def test_spot_moves_a_training_to_the_class_that_is_offered_as_such() -> None:
    spot = hardware("spot-cpu", purchase="Spot", price={"usdPerHour": "0.10", "spotUSDPerHour": "0.03"})
    spot = spot.model_copy(update={"capacity_units": 8.0, "units_per_node": 8.0})
    roomy = hardware(capacity_units=8.0, units_per_node=8.0)
    order = {"actions": ["Spot", "Suspend"]}
    facts = {"hardware": (roomy, spot), "training": (trains(),)}
    (stays,) = plan(world(spent(capped("10", budget=order), 1.0), **facts)).training
    assert stays.hardware_class == "local-cpu"
    (moves,) = plan(world(spent(capped("10", budget=order), 9.7), **facts)).training
    assert (moves.action, moves.hardware_class) == (TrainingAction.RUN, "spot-cpu")


def test_a_service_is_stopped_last_and_says_that_requests_fail() -> None:
    state = serving(1, SERVES, metrics=load(100.0))
    found = plan(world(spent(capped("100"), 100.0), serving=(state,), training=(trains(),)))
    (decision,) = found.serving
    assert (decision.replicas, decision.stopped, decision.variant) == (0, True, "int8")
    assert "requests fail" in decision.message
    some_left = plan(world(spent(capped("100"), 96.0), serving=(state,), training=(trains(),)))
    assert some_left.serving[0].replicas >= 1
    critical = spent(capped("100", sloClass="latency-critical"), 100.0)
    kept = plan(world(critical, serving=(state,), training=(trains(),)))
    assert kept.serving[0].replicas >= 1
    assert "it will not hold" in kept.policies[0].budgets[0].message


NIGHT = {"name": "office", "days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "start": "08:00", "end": "20:00",
         "timeZone": "Europe/Madrid", "action": "ScaleToZero"}  # fmt: skip


@pytest.mark.parametrize(
    ("at", "replicas"),
    [
        # 2026-11-24 is a Tuesday; Madrid is an hour ahead of UTC.
        (datetime(2026, 11, 24, 6, 59, tzinfo=UTC), 0),
        (datetime(2026, 11, 24, 7, 0, tzinfo=UTC), 1),
        (datetime(2026, 11, 24, 18, 59, tzinfo=UTC), 1),
        (datetime(2026, 11, 24, 19, 0, tzinfo=UTC), 0),
        (datetime(2026, 11, 28, 12, 0, tzinfo=UTC), 0),
        # In summer it is two hours ahead.
        (datetime(2026, 7, 21, 6, 0, tzinfo=UTC), 1),
        (datetime(2026, 7, 21, 5, 59, tzinfo=UTC), 0),
    ],
)
def test_outside_working_hours_a_service_has_no_replicas_and_comes_back(at: datetime, replicas: int) -> None:
    state = serving(1, SERVES, metrics=load(1.0))
    facts = world(policy(windows=[NIGHT]), serving=(state,), training=(trains(),))
    found = plan(facts.model_copy(update={"taken_at": at}))
    assert found.serving[0].replicas == replicas
    assert found.training[0].action is not TrainingAction.SUSPEND
    assert found.wake_at is not None
    if not replicas:
        ready = next(c for c in found.serving[0].conditions if c.type == "Ready")
        assert ready.reason in ("ScaledToZero", "ScalingToZero")
        assert "window office of policy demo/rules (ScaleToZero) until" in ready.message


def test_the_loop_wakes_at_the_edge_of_a_window() -> None:
    found = plan(world(policy(windows=[NIGHT]), carbon=(), serving=(serving(1, SERVES, metrics=load(1.0)),)))
    assert found.wake_at == datetime(2026, 11, 24, 19, 0, tzinfo=UTC)


def test_a_service_that_was_at_none_comes_back_with_its_variant() -> None:
    status = {**SERVES, "decision": {**SERVES["decision"], "replicas": 0, "reasons": []}}
    away = serving(0, status, metrics=None)
    (decision,) = plan(world(serving=(away,))).serving
    assert (decision.replicas, decision.stopped) == (1, False)


def test_suspend_in_a_window_stops_trainings_too_and_scale_down_bounds_both() -> None:
    inside = {**NIGHT, "when": "Inside", "action": "Suspend"}
    facts = {"serving": (serving(1, SERVES, metrics=load(1.0)),), "training": (trains(minReplicas=1, maxReplicas=4),)}
    found = plan(world(policy(windows=[inside]), **facts))
    assert found.serving[0].replicas == 0
    assert (found.training[0].action, found.training[0].reasons[0].code) == (TrainingAction.SUSPEND, "OutOfHours")
    bounded = plan(world(policy(windows=[{**inside, "action": "ScaleDownTo", "replicas": 1}]), **facts))
    assert (bounded.serving[0].replicas, bounded.training[0].replicas) == (1, 1)


def test_eco_mode_ends_by_itself() -> None:
    eco = {"enabledBy": "ana", "since": (NOW - timedelta(hours=1)).isoformat(), "maxDuration": "2h"}
    accurate = policy("cap", serving={"prefer": "Accuracy"}, ecoMode=eco)
    state: ServingState = serving(1, SERVES, metrics=load(100.0))
    found = plan(world(accurate, serving=(state,)))
    assert any(r.code == "EcoMode" and "ana" in r.message for r in found.serving[0].reasons)
    assert shown(found, "EcoMode").status == "True"
    assert found.wake_at is not None
    assert found.wake_at <= NOW + timedelta(hours=1)
    later = world(accurate, serving=(state,)).model_copy(update={"taken_at": NOW + timedelta(hours=1)})
    assert shown(plan(later), "EcoMode").reason == "Over"
    assert not any(r.code == "EcoMode" for r in plan(later).serving[0].reasons)


def test_eco_mode_without_an_instant_begins_when_it_is_first_seen_and_is_remembered() -> None:
    asked = policy("cap", ecoMode={"enabledBy": "ana", "maxDuration": "2h"})
    first = plan(world(asked)).policies[0]
    assert first.eco_mode is not None
    assert (first.eco_mode.since, first.eco_mode.until) == (NOW, NOW + timedelta(hours=2))
    seen = asked.model_copy(update={"status": policy_status(asked, first, 0, {}, NOW)})
    later = world(seen).model_copy(update={"taken_at": NOW + timedelta(hours=3)})
    over = plan(later).policies[0]
    assert over.eco_mode is not None
    assert (over.eco_mode.since, over.eco_mode.active) == (NOW, False)


def test_the_accuracy_floor_of_a_policy_holds_for_every_service() -> None:
    state = serving(0, metrics=None, targets={"latency": {"milliseconds": 200}})
    (decision,) = plan(world(policy(serving={"minAccuracy": "0.98"}), serving=(state,))).serving
    assert decision.variant in ("fp32", "")
    (none,) = plan(world(policy(serving={"minAccuracy": "0.999"}), serving=(state,))).serving
    assert none.variant == ""


def test_status_takes_the_newest_account_but_not_into_another_period() -> None:
    state = spent(capped(), 40.0)
    (decision,) = plan(world(state, training=(trains(),))).policies
    newest = Usage(cost_usd=41.0, accounted_until=NOW - timedelta(seconds=5))
    written = policy_status(state, decision, 1, {"month": newest}, NOW)
    assert (written.budgets[0].spent, written.budgets[0].spent_share) == (41.0, 0.41)
    assert quiet_policy_status(written, state.status.model_copy(update={"budgets": written.budgets})).budgets == (
        written.budgets
    )
    ended = spent(capped(), 40.0)
    over = ended.status.budgets[0].model_copy(
        update={"period_end": NOW, "usage": Usage(cost_usd=40.0, accounted_until=NOW), "period_start": NOW}
    )
    day = policy("cap", budgets=[{"name": "month", "costUSD": "100", "period": "Day"}]).model_copy(
        update={"status": EfficiencyPolicyStatus(budgets=(over.model_copy(update={
            "period_start": datetime(2026, 11, 23, tzinfo=UTC), "period_end": datetime(2026, 11, 24, tzinfo=UTC),
            "usage": Usage(cost_usd=40.0, accounted_until=datetime(2026, 11, 24, tzinfo=UTC))}),))}
    )  # fmt: skip
    (decision,) = plan(world(day, training=(trains(),))).policies
    stale = Usage(cost_usd=40.0, accounted_until=datetime(2026, 11, 24, tzinfo=UTC))
    assert policy_status(day, decision, 1, {"month": stale}, NOW).budgets[0].spent == 0.0


def test_events_say_what_is_news_and_only_then() -> None:
    state = spent(capped(), 100.0)
    first = plan(world(state, training=(trains(),))).policies[0]
    assert {e.reason for e in first.events} == {"BudgetExhausted", "BudgetAction"}
    told = state.model_copy(update={"status": policy_status(state, first, 1, {}, NOW)})
    assert plan(world(told, training=(trains(),))).policies[0].events == ()


def test_carbon_budgets_count_the_grid_that_the_work_will_run_on() -> None:
    dirty = carbon("ES", 500.0, 500.0)
    budget = [{"name": "month", "carbonKilograms": "1", "actions": ["LaterSlots", "Suspend"]}]
    found = plan(world(policy("cap", budgets=budget), carbon=(dirty,), training=(trains(),)))
    (status,) = found.policies[0].budgets
    assert status.limit == 1.0
    assert (status.forecast_spent or 0.0) > 0.0
