"""Training over time, as the operator plans it from a Snapshot."""

from datetime import timedelta

import pytest

from tests.unit import worlds
from tests.unit.worlds import NOW, carbon, hardware, job, policy, snapshot, training
from trimtab.api.training import TrainingAction
from trimtab.plan.decisions import TrainingDecision
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot, TrainingState

PRICED = {"priceUSDPerTonne": 100}


def decide(world: Snapshot, key: str = "demo/digits") -> TrainingDecision:
    return next(d for d in plan(world).training if d.key == key)


def hours_of_work(hours: float, name: str = "digits", **spec: object) -> TrainingState:
    """Two replicas that together do ten samples a second."""
    profiles = [{"hardwareClass": "local-cpu", "replicas": 2, "samplesPerSecond": "10"}]
    return training(
        name, torch=None, checkpoint=None, template={"spec": {}}, work={"totalSamples": int(hours * 36_000)},
        **{"profiles": profiles, **spec},
    )  # fmt: skip


def test_without_a_policy_it_runs_at_once_however_dirty_the_grid() -> None:
    world = snapshot(
        carbon=(carbon("ES", 500.0, 20.0),), training=(hours_of_work(1, targets={"completeWithin": "9h"}),)
    )
    assert decide(world).action is TrainingAction.RUN


def test_a_price_of_carbon_and_a_deadline_shift_it_to_the_cleanest_hours() -> None:
    grid = carbon("ES", 500.0, 400.0, 60.0, 50.0, 300.0, 500.0)
    world = snapshot(
        carbon=(grid,), policies=(policy(carbon=PRICED),),
        training=(hours_of_work(1.5, targets={"completeWithin": "6h"}, age=timedelta(0)),),
    )  # fmt: skip
    decision = decide(world)
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.WAIT, "CheaperLater")
    first = next(s for s in decision.schedule if s.replicas)
    assert NOW + timedelta(hours=2) <= first.start < NOW + timedelta(hours=3)
    assert decision.schedule[-1].end <= NOW + timedelta(hours=4, minutes=1)
    assert "500 gCO2e/kWh" in decision.reasons[0].message


def test_the_plan_wakes_the_operator_when_the_work_is_to_start() -> None:
    grid = carbon("ES", 500.0, 400.0, 60.0, 50.0, 300.0, 500.0)
    world = snapshot(
        carbon=(grid,), policies=(policy(carbon=PRICED),),
        training=(hours_of_work(0.2, targets={"completeWithin": "6h"}, age=timedelta(0)),),
    )  # fmt: skip
    result = plan(world)
    assert result.wake_at is not None
    assert result.wake_at <= next(s.start for s in result.training[0].schedule if s.replicas)


def test_an_allowed_delay_is_the_slack() -> None:
    grid = carbon("ES", 300.0, 200.0, 100.0, 10.0)
    rules = policy(carbon={**PRICED, "allowedDelay": "2h"})
    world = snapshot(carbon=(grid,), policies=(rules,), training=(hours_of_work(0.5, age=timedelta(0)),))
    first = next(s for s in decide(world).schedule if s.replicas)
    assert NOW + timedelta(hours=2) <= first.start < NOW + timedelta(hours=3)


def test_when_the_delay_is_used_up_it_runs() -> None:
    grid = carbon("ES", 300.0, 200.0, 100.0, 10.0)
    rules = policy(carbon={**PRICED, "allowedDelay": "2h"})
    world = snapshot(carbon=(grid,), policies=(rules,), training=(hours_of_work(0.5, age=timedelta(hours=2)),))
    assert decide(world).action is TrainingAction.RUN


def test_a_running_job_is_not_stopped_for_less_than_the_stop_costs() -> None:
    grid = carbon("ES", 101.0, 100.0, 101.0, 100.0)
    world = snapshot(
        carbon=(grid,), policies=(policy(carbon=PRICED),),
        training=(hours_of_work(2, targets={"completeWithin": "8h"}, job=job(), age=timedelta(0)),),
    )  # fmt: skip
    assert decide(world).action is TrainingAction.RUN


def test_a_carbon_price_slows_an_elastic_job_down_where_scaling_wastes() -> None:
    scaling = [
        {"hardwareClass": "local-cpu", "replicas": k, "samplesPerSecond": str(v)} for k, v in ((1, 10.0), (4, 16.0))
    ]
    elastic = hours_of_work(1, minReplicas=1, maxReplicas=4, profiles=scaling, targets={"completeWithin": "8h"})
    pricey = snapshot(policies=(policy(carbon=PRICED),), training=(elastic,))
    hurried = snapshot(training=(elastic,))
    assert decide(pricey).replicas == 1
    assert decide(hurried).replicas == 4


def test_of_two_that_compete_the_one_with_no_slack_runs_first() -> None:
    cpu = hardware(capacity_units=1.0, units_per_node=1.0)
    rules = policy(carbon=PRICED)
    relaxed = hours_of_work(1, "relaxed", targets={"completeWithin": "9h"}, age=timedelta(minutes=9))
    hurried = hours_of_work(1, "hurried", targets={"completeWithin": "70m"}, age=timedelta(minutes=1))
    world = snapshot(hardware=(cpu,), policies=(rules,), training=(relaxed, hurried))
    assert decide(world, "demo/hurried").action is TrainingAction.RUN
    waiting = decide(world, "demo/relaxed")
    assert (waiting.action, waiting.reasons[0].code) == (TrainingAction.WAIT, "CapacityShort")
    assert "by plan it runs in" in waiting.reasons[0].message


@pytest.mark.parametrize("capacity", [1.0, 2.0, 3.0])
def test_more_room_runs_no_fewer(capacity: float) -> None:
    jobs = tuple(hours_of_work(1, f"job-{i}") for i in range(3))
    cpu = hardware(capacity_units=capacity, units_per_node=capacity)
    running = [d for d in plan(snapshot(hardware=(cpu,), training=jobs)).training if d.action is TrainingAction.RUN]
    assert len(running) == int(capacity)


def test_the_cleaner_of_two_grids_is_taken_when_carbon_has_a_price() -> None:
    classes = (hardware("spain"), hardware("poland", gridZone="PL"))
    profiles = [{"hardwareClass": c, "replicas": 2, "samplesPerSecond": "10"} for c in ("spain", "poland")]
    grids = (carbon("ES", 300.0, 300.0, 300.0), carbon("PL", 700.0, 50.0, 50.0))
    work = hours_of_work(1, profiles=profiles, targets={"completeWithin": "4h"}, age=timedelta(0))
    decision = decide(snapshot(hardware=classes, carbon=grids, policies=(policy(carbon=PRICED),), training=(work,)))
    assert (decision.hardware_class, decision.action) == ("poland", TrainingAction.WAIT)


def test_the_snapshot_says_it_all() -> None:
    world = snapshot(training=(hours_of_work(1),), carbon=(carbon("ES", *[float(x) for x in range(100, 130)]),))
    assert plan(Snapshot.model_validate_json(world.model_dump_json())) == plan(world)
    assert world.taken_at == worlds.NOW


def elastic(name: str, hours: float, **spec: object) -> TrainingState:
    """One replica does ten samples a second; more of them scale with losses."""
    scaling = [
        {"hardwareClass": "local-cpu", "replicas": k, "samplesPerSecond": str(10 * k**0.7)} for k in (1, 2, 4, 8)
    ]
    return hours_of_work(hours, name, minReplicas=1, maxReplicas=8, profiles=scaling, resources={"cpu": "1"}, **spec)


def test_elastic_workloads_that_compete_share_the_class_and_the_short_one_gets_more() -> None:
    cpu = hardware(capacity_units=8.0, units_per_node=8.0)
    world = snapshot(hardware=(cpu,), training=(elastic("long", 10), elastic("short", 1)))
    short, long = decide(world, "demo/short"), decide(world, "demo/long")
    assert (short.action, long.action) == (TrainingAction.RUN, TrainingAction.RUN)
    assert short.replicas + long.replicas == 8
    assert short.replicas > long.replicas > 0
    assert "alone it would have 8" in long.reasons[0].message


def test_alone_it_gets_all_it_may_have() -> None:
    cpu = hardware(capacity_units=8.0, units_per_node=8.0)
    assert decide(snapshot(hardware=(cpu,), training=(elastic("digits", 1),))).replicas == 8


def test_what_matters_more_does_not_share() -> None:
    cpu = hardware(capacity_units=8.0, units_per_node=8.0)
    world = snapshot(hardware=(cpu,), training=(elastic("long", 10, priority=5), elastic("short", 1)))
    assert decide(world, "demo/long").replicas == 8
    assert decide(world, "demo/short").action is TrainingAction.WAIT


def test_a_width_is_not_changed_for_less_than_a_restart_costs() -> None:
    cpu = hardware(capacity_units=8.0, units_per_node=8.0)
    long, short = elastic("long", 10), elastic("short", 1)
    before = {d.key: d.replicas for d in plan(snapshot(hardware=(cpu,), training=(long, short))).training}
    running = tuple(
        t.model_copy(update={"job": job(replicas=before[t.meta.key], ready=before[t.meta.key])}) for t in (long, short)
    )
    later = elastic("short", 0.97)
    running = (running[0], later.model_copy(update={"job": running[1].job}))
    after = {d.key: d.replicas for d in plan(snapshot(hardware=(cpu,), training=running)).training}
    assert after == before


def test_as_long_as_nobody_knows_how_long_it_takes_it_is_not_shifted() -> None:
    grid = carbon("ES", 300.0, 200.0, 100.0, 10.0)
    rules = policy(carbon={**PRICED, "allowedDelay": "9h"})
    unknown = hours_of_work(0.5, profiles=[], age=timedelta(0))
    assert decide(snapshot(carbon=(grid,), policies=(rules,), training=(unknown,))).action is TrainingAction.RUN


def test_a_few_grams_are_not_waited_for() -> None:
    rules = policy(carbon={**PRICED, "allowedDelay": "9h"})
    work = hours_of_work(0.5, age=timedelta(0))
    for later, action in ((97.0, TrainingAction.RUN), (90.0, TrainingAction.WAIT)):
        grid = carbon("ES", 100.0, 100.0, later, 100.0)
        assert decide(snapshot(carbon=(grid,), policies=(rules,), training=(work,))).action is action


def test_a_suspended_job_is_planned_with_the_speed_that_it_had() -> None:
    grid = carbon("ES", 300.0, 200.0, 100.0, 10.0)
    rules = policy(carbon={**PRICED, "allowedDelay": "9h"})
    status = {
        "progress": {"completedSamples": 0, "totalSamples": 18_000, "samplesPerSecond": "10"},
        "decision": {"action": "Suspend", "replicas": 2, "hardwareClass": "local-cpu"},
    }
    held = hours_of_work(0.5, profiles=[], age=timedelta(0), status=status, job=job(suspended=True))
    decision = decide(snapshot(carbon=(grid,), policies=(rules,), training=(held,)))
    assert decision.reasons[0].code == "CheaperLater"
    assert next(s.start for s in decision.schedule if s.replicas) == NOW + timedelta(hours=3)


def test_a_job_whose_samples_are_done_is_left_to_end() -> None:
    """It still evaluates and writes its model: stopped there, it would never end."""
    grid = carbon("ES", 300.0, 10.0)
    rules = policy(carbon={**PRICED, "allowedDelay": "9h"})
    status = {"progress": {"completedSamples": 18_000, "totalSamples": 18_000, "samplesPerSecond": "10"}}
    for suspended in (False, True):
        ending = hours_of_work(0.5, age=timedelta(0), status=status, job=job(suspended=suspended))
        decision = decide(snapshot(carbon=(grid,), policies=(rules,), training=(ending,)))
        assert decision.action is TrainingAction.RUN


def test_at_or_below_its_ceiling_it_runs_although_a_pause_will_come() -> None:
    """Slots of six seconds: starting again costs more than one, and still the clean minute is used."""
    clean, dirty = [190.0] * 9, [400.0] * 20
    grid = carbon("ES", *clean, *dirty, 325.0, slot=timedelta(seconds=6))
    rules = policy(carbon={**PRICED, "allowedDelay": "12h", "maxIntensityGramsPerKWh": 368})
    held = hours_of_work(100 / 3600, age=timedelta(0), job=job(suspended=True))
    decision = decide(snapshot(carbon=(grid,), policies=(rules,), training=(held,)))
    assert decision.action is TrainingAction.RUN
