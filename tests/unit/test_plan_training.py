"""What a person who trains may rely on."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import worlds
from tests.unit.worlds import NOW, carbon, hardware, job, policy, snapshot, training
from trimtab.api.training import TrainingAction
from trimtab.plan.decisions import TrainingDecision
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot, TrainingMetrics


def decide(world: Snapshot, key: str = "demo/digits") -> TrainingDecision:
    return next(d for d in plan(world).training if d.key == key)


def why(decision: TrainingDecision) -> str:
    return decision.reasons[0].code


def running(completed: float, total: float = 1000.0, rate: float = 10.0) -> TrainingMetrics:
    return TrainingMetrics(
        completed_samples=completed,
        total_samples=total,
        samples_per_second=rate,
        observed_at=NOW - timedelta(seconds=1),
    )


def test_a_new_workload_starts_whole_on_the_only_class() -> None:
    decision = decide(snapshot(training=(training(),)))
    assert (decision.action, decision.replicas, decision.hardware_class) == (TrainingAction.RUN, 2, "local-cpu")


def test_a_gang_that_does_not_fit_whole_does_not_start_in_part() -> None:
    decision = decide(snapshot(training=(training(minReplicas=5, maxReplicas=5),)))
    assert decision.action is TrainingAction.WAIT
    assert why(decision) == "CapacityShort"


def test_a_dirty_grid_suspends_what_runs_and_says_until_when() -> None:
    world = snapshot(
        carbon=(carbon("ES", 300.0, 300.0, 90.0),),
        policies=(policy(carbon={"maxIntensityGramsPerKWh": 200}),),
        training=(training(job=job(), metrics=running(100)),),
    )
    decision = decide(world)
    assert (decision.action, why(decision)) == (TrainingAction.SUSPEND, "CarbonAboveCeiling")
    assert "300 gCO2e/kWh" in decision.reasons[0].message
    assert "2.0 h" in decision.reasons[0].message
    assert decision.schedule[0].replicas == 0
    assert decision.schedule[1].start == NOW + timedelta(hours=2)


def test_a_clean_grid_resumes_it() -> None:
    world = snapshot(
        policies=(policy(carbon={"maxIntensityGramsPerKWh": 200}),), training=(training(job=job(suspended=True)),)
    )
    decision = decide(world)
    assert decision.action is TrainingAction.RUN
    assert decision.events[0].reason == "Resumed"


def test_a_deadline_is_stronger_than_the_ceiling() -> None:
    held = training(
        job=job(suspended=True), metrics=running(0, total=36_000), age=timedelta(hours=1),
        targets={"completeWithin": "2h"},
    )  # fmt: skip
    world = snapshot(
        carbon=(carbon("ES", 300.0),), policies=(policy(carbon={"maxIntensityGramsPerKWh": 200}),), training=(held,)
    )
    decision = decide(world)
    assert (decision.action, why(decision)) == (TrainingAction.RUN, "DeadlineNear")


def test_the_allowed_delay_is_a_limit() -> None:
    held = training(job=job(suspended=True), age=timedelta(hours=3), status={"runningSeconds": "1800"})
    rules = policy(carbon={"maxIntensityGramsPerKWh": 200, "allowedDelay": "2h"})
    decision = decide(snapshot(carbon=(carbon("ES", 300.0),), policies=(rules,), training=(held,)))
    assert (decision.action, why(decision)) == (TrainingAction.RUN, "DelayExhausted")


@pytest.mark.parametrize("suspended", [False, True])
def test_without_carbon_data_what_runs_keeps_running_and_what_waits_keeps_waiting(suspended: bool) -> None:
    rules = policy(carbon={"maxIntensityGramsPerKWh": 200})
    world = snapshot(carbon=(), policies=(rules,), training=(training(job=job(suspended=suspended)),))
    decision = decide(world)
    assert decision.action is (TrainingAction.SUSPEND if suspended else TrainingAction.RUN)
    fresh = next(c for c in decision.conditions if c.type == "CarbonDataFresh")
    assert (fresh.status, fresh.reason) == ("False", "NoCarbonSource")


def gpu(name: str, usd: str, peak_watts: str, zone: str) -> worlds.HardwareState:
    return hardware(
        name, resourceName="nvidia.com/gpu", simulated=True, gridZone=zone, price={"usdPerHour": usd},
        power={"idleWatts": "50", "peakWatts": peak_watts}, nodes=2, capacity_units=2.0, units_per_node=1.0,
    )  # fmt: skip


def gpu_training(**spec: object) -> worlds.TrainingState:
    profiles = [
        {"hardwareClass": "v100", "samplesPerSecond": "400"},
        {"hardwareClass": "k80", "samplesPerSecond": "60"},
    ]
    return training(
        "resnet", torch=None, template={"spec": {}}, work={"totalSamples": 100_000, "model": "resnet50"},
        checkpoint=None, resources={"cpu": "1", "accelerators": 1}, profiles=profiles, **spec,
    )  # fmt: skip


def test_the_class_is_chosen_by_price_of_a_sample_and_carbon() -> None:
    classes = (hardware(), gpu("v100", "3.06", "300", "ES"), gpu("k80", "0.90", "300", "US"))
    world = snapshot(hardware=classes, carbon=(carbon("ES", 200.0), carbon("US", 400.0)), training=(gpu_training(),))
    decision = decide(world, "demo/resnet")
    assert (decision.hardware_class, decision.simulated) == ("v100", True)
    assert "k80" in (decision.reasons[0].alternative or "")


def test_a_carbon_price_can_turn_the_choice() -> None:
    classes = (gpu("v100", "3.06", "300", "DIRTY"), gpu("k80", "0.46", "300", "CLEAN"))
    grids = (carbon("DIRTY", 900.0), carbon("CLEAN", 5.0))
    plain = snapshot(hardware=classes, carbon=grids, training=(gpu_training(),))
    priced = snapshot(
        hardware=classes, carbon=grids, training=(gpu_training(),), policies=(policy(carbon={"priceUSDPerTonne": 500}),)
    )
    assert decide(plain, "demo/resnet").hardware_class == "v100"
    assert decide(priced, "demo/resnet").hardware_class == "k80"


def test_over_a_limit_it_takes_fewer_replicas_then_waits() -> None:
    elastic = training(minReplicas=1, maxReplicas=2)
    one_replica = policy(limits={"costUSDPerHour": "0.03"})
    none = policy(limits={"costUSDPerHour": "0.01"})
    assert decide(snapshot(training=(elastic,), policies=(one_replica,))).replicas == 1
    waiting = decide(snapshot(training=(elastic,), policies=(none,)))
    assert (waiting.action, why(waiting)) == (TrainingAction.WAIT, "OverLimit")
    assert "0.025 USD/h is above the limit of 0.01" in waiting.reasons[0].message


def test_a_missing_class_is_named() -> None:
    decision = decide(snapshot(training=(training(hardware={"classes": ["tpu-v9"]}),)))
    assert why(decision) == "HardwareClassNotFound"
    assert "tpu-v9" in decision.message


def test_the_older_and_the_more_important_go_first_when_capacity_is_short() -> None:
    first = training("first", age=timedelta(hours=2), resources={"cpu": "1"})
    second = training("second", age=timedelta(hours=1), resources={"cpu": "1"})
    decisions = {d.key: d.action for d in plan(snapshot(training=(second, first))).training}
    assert decisions == {"demo/first": TrainingAction.RUN, "demo/second": TrainingAction.WAIT}
    urgent = training("second", age=timedelta(hours=1), resources={"cpu": "1"}, priority=5)
    decisions = {d.key: d.action for d in plan(snapshot(training=(urgent, first))).training}
    assert decisions == {"demo/first": TrainingAction.WAIT, "demo/second": TrainingAction.RUN}


def test_a_deadline_that_cannot_be_met_is_said() -> None:
    late = training(metrics=running(0, total=360_000), targets={"completeWithin": "1h"}, job=job())
    conditions = {c.type: c for c in decide(snapshot(training=(late,))).conditions}
    assert conditions["TargetsFeasible"].status == "False"
    assert "after targets.completeWithin" in conditions["TargetsFeasible"].message


def test_recommend_says_what_it_would_do() -> None:
    rules = policy(mode="Recommend", carbon={"maxIntensityGramsPerKWh": 50})
    decision = decide(snapshot(training=(training(job=job()),), policies=(rules,)))
    assert (decision.mode, decision.action) == ("Recommend", TrainingAction.SUSPEND)


def test_what_is_done_stays_done() -> None:
    done = training(job=job(complete=True, succeeded=2), status={"completionTime": "2026-11-24T11:59:00Z"})
    rules = policy(carbon={"maxIntensityGramsPerKWh": 1})
    decision = decide(snapshot(training=(done,), policies=(rules,)))
    assert decision.action is TrainingAction.NONE
    assert decision.conditions[0].reason == "Succeeded"


@given(
    cpu=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=8),
    capacity=st.floats(min_value=0.0, max_value=8.0),
)
def test_what_is_given_out_never_exceeds_capacity(cpu: list[int], capacity: float) -> None:
    jobs = tuple(
        training(f"job-{i}", resources={"cpu": f"{c * 100}m"}, minReplicas=1, maxReplicas=3) for i, c in enumerate(cpu)
    )
    world = snapshot(hardware=(hardware(capacity_units=capacity, units_per_node=capacity),), training=jobs)
    given_out = sum(
        d.replicas * world.training[i].spec.resources.cpu
        for i in range(len(jobs))
        for d in plan(world).training
        if d.key == f"demo/job-{i}" and d.action is TrainingAction.RUN
    )
    assert given_out <= capacity + 1e-6


@given(now=worlds.intensities, ceiling=st.integers(min_value=0, max_value=1200), suspended=st.booleans())
def test_it_runs_exactly_when_the_grid_is_at_or_under_the_ceiling(now: float, ceiling: int, suspended: bool) -> None:
    world = snapshot(
        carbon=(carbon("ES", now),),
        policies=(policy(carbon={"maxIntensityGramsPerKWh": ceiling}),),
        training=(training(job=job(suspended=suspended)),),
    )
    assert (decide(world).action is TrainingAction.RUN) == (now <= ceiling)


@given(values=st.lists(worlds.intensities, min_size=1, max_size=30), done=st.integers(0, 1000))
def test_the_schedule_holds_all_the_work_and_is_in_order(values: list[float], done: int) -> None:
    world = snapshot(
        carbon=(carbon("ES", *values, slot=timedelta(seconds=20)),),
        policies=(policy(carbon={"maxIntensityGramsPerKWh": 600}),),
        training=(training(job=job(), metrics=running(done)),),
    )
    slots = decide(world).schedule
    assert slots[0].start == NOW
    assert all(a.end <= b.start for a, b in pairwise(slots))
    assert all(slot.start < slot.end or slot.replicas == 0 for slot in slots)


def test_the_same_snapshot_gives_the_same_plan_after_a_trip_through_a_file() -> None:
    world = snapshot(
        training=(training(job=job(), metrics=running(10)),), policies=(policy(carbon={"maxIntensityGramsPerKWh": 50}),)
    )
    again = Snapshot.model_validate_json(world.model_dump_json())
    assert plan(again) == plan(world)
