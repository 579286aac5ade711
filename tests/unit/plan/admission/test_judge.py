"""What admission refuses and what it only warns of, with the figures that people read."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit import worlds
from tests.unit.worlds import NOW, hardware, policy, serving, snapshot, training, variant
from trimtab.api.policy import EfficiencyPolicyStatus
from trimtab.plan.admission.findings import Verdict
from trimtab.plan.admission.judge import Judged, judge
from trimtab.plan.snapshot import HardwareState, NodeShape, PolicyState, Snapshot, TrainingState

STALE = timedelta(minutes=1)
GIB = 2.0**30
_TEMPLATE = {"spec": {"containers": [{"name": "train", "image": "mine:1"}]}}


def shape(nodes: int = 1, cpu: float = 8.0, memory_gib: float = 32.0, units: float | None = None) -> NodeShape:
    return NodeShape(
        nodes=nodes, cpu_cores=cpu, memory_bytes=memory_gib * GIB, units=cpu if units is None else units
    )  # fmt: skip


def a_class(name: str = "local-cpu", *shapes: NodeShape, **spec: Any) -> HardwareState:
    sizes = shapes or (shape(),)
    nodes, units = sum(s.nodes for s in sizes), sum(s.nodes * s.units for s in sizes)
    facts = {"nodes": nodes, "capacity_units": units, "units_per_node": units / nodes}
    return hardware(name, **facts, **spec).model_copy(update={"shapes": sizes})


def labelled(state: Any, **labels: str) -> Any:
    return state.model_copy(update={"meta": state.meta.model_copy(update={"labels": labels})})


def fresh(**spec: Any) -> TrainingState:
    """A training with an own template, created at this moment."""
    given = {"torch": None, "template": _TEMPLATE, "work": {"totalSamples": 3_600}, "resources": {"cpu": "1"}, **spec}
    return training(age=timedelta(0), **{"minReplicas": 1, "maxReplicas": 1, **given})


def said(new: Judged, world: Snapshot, old: Judged | None = None) -> Verdict:
    return judge(new, old, world, NOW, STALE)


def codes(verdict: Verdict) -> tuple[set[str], set[str]]:
    return {f.code for f in verdict.refused}, {f.code for f in verdict.warnings}


def test_what_fits_is_admitted_in_silence() -> None:
    assert said(fresh(), snapshot(hardware=(a_class(),))) == Verdict()


def test_a_replica_larger_than_any_node_is_refused_by_how_much() -> None:
    world = snapshot(hardware=(a_class("small", shape(cpu=4)), a_class("large", shape(cpu=8, memory_gib=16))))
    verdict = said(fresh(resources={"cpu": "10", "memory": "20Gi"}), world)
    assert codes(verdict) == ({"ReplicaTooLarge"}, set())
    assert "of class large, it asks 2 CPU too much (it has 8 CPU) and 4Gi memory too much (it has 16Gi memory)" in (
        verdict.message
    )
    assert "trimtab.dev/admission: warn" in verdict.message


def test_cpu_and_memory_must_fit_on_the_same_node() -> None:
    """One node has the CPU and the other the memory: neither has both."""
    world = snapshot(hardware=(a_class("mixed", shape(cpu=16, memory_gib=8), shape(cpu=4, memory_gib=64)),))
    assert codes(said(fresh(resources={"cpu": "8", "memory": "32Gi"}), world))[0] == {"ReplicaTooLarge"}


def test_accelerators_are_counted_by_the_class_that_has_them() -> None:
    gpus = a_class("a100", shape(2, cpu=64, memory_gib=512, units=4), resourceName="nvidia.com/gpu")
    world = snapshot(hardware=(a_class("plain"), gpus))
    fits = fresh(resources={"cpu": "4", "accelerators": 4})
    assert said(fits, world).admitted
    verdict = said(fresh(resources={"cpu": "4", "accelerators": 8}), world)
    assert "4 nvidia.com/gpu too much (it has 4 nvidia.com/gpu)" in verdict.message
    # Two nodes of four: a gang of three replicas of four is one node short.
    verdict = said(fresh(resources={"cpu": "4", "accelerators": 4}, minReplicas=3, maxReplicas=3), world)
    assert codes(verdict) == ({"TooManyReplicas"}, set())
    assert "ask for 2, allow another class, or add 1 node to a100" in verdict.message


def test_a_gang_keeps_to_one_class_but_services_may_use_several() -> None:
    world = snapshot(hardware=(a_class("a", shape(cpu=4)), a_class("b", shape(cpu=4))))
    gang = fresh(minReplicas=6, maxReplicas=6)
    assert codes(said(gang, world))[0] == {"TooManyReplicas"}
    several = serving(0, resources={"cpu": "1"}, minReplicas=6, maxReplicas=6, variants=["later"])
    assert said(several, world).admitted


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hardware": {"classes": ["local-cpu", "coming"]}}, "a class that is allowed may still come"),
        ({}, "a class of it has no node yet, and its nodes may be large"),
    ],
)
def test_what_may_fit_later_is_only_warned_of(change: dict[str, Any], why: str) -> None:
    empty = hardware("empty", nodes=0, capacity_units=0.0, units_per_node=0.0)
    world = snapshot(hardware=(a_class(),) if change else (a_class(), empty))
    verdict = said(fresh(resources={"cpu": "100"}, **change), world)
    assert verdict.admitted, why
    assert "ReplicaTooLarge" in codes(verdict)[1]


def test_a_class_whose_nodes_come_and_go_refuses_nothing() -> None:
    pool = labelled(a_class("pool", shape(cpu=4)), **{"trimtab.dev/admission": "warn"})
    assert codes(said(fresh(minReplicas=9, maxReplicas=9), snapshot(hardware=(pool,)))) == (set(), {"TooManyReplicas"})


def test_a_class_of_another_kind_of_work_is_refused_where_no_other_is_allowed() -> None:
    world = snapshot(hardware=(a_class("plain"),))
    wanted = {"resources": {"cpu": "1", "accelerators": 1}}
    verdict = said(fresh(hardware={"classes": ["plain"]}, **wanted), world)
    assert codes(verdict) == ({"NoClass"}, set())
    assert "plain (cpu); allow a class with accelerators" in verdict.message
    assert codes(said(fresh(**wanted), world)) == (set(), {"NoClass"})


def test_what_others_hold_now_is_a_warning() -> None:
    busy = a_class().model_copy(update={"foreign_units": 6.0})
    verdict = said(fresh(minReplicas=4, maxReplicas=4), snapshot(hardware=(busy,)))
    assert codes(verdict) == (set(), {"NoRoomNow"})
    assert "local-cpu has 2 of 8 cpu free, it needs 4" in str(verdict.warnings[0])


def test_what_the_workload_itself_holds_is_free_for_it() -> None:
    running = fresh(minReplicas=4, maxReplicas=8).model_copy(update={"job": worlds.job(replicas=6)})
    world = snapshot(hardware=(a_class(),), training=(running,))
    changed = running.model_copy(update={"spec": running.spec.model_copy(update={"priority": 5})})
    assert said(changed, world, running) == Verdict()
    other = fresh(minReplicas=4, maxReplicas=4)
    other = other.model_copy(update={"meta": other.meta.model_copy(update={"name": "other", "uid": "other"})})
    assert codes(said(other, world)) == (set(), {"NoRoomNow"})


@pytest.mark.parametrize(
    ("limits", "excess"),
    [
        ({"costUSDPerHour": "0.03"}, "0.02 USD/h above the limit of 0.03 USD/h of demo/rules"),
        ({"powerWatts": "20"}, "5 W above the limit of 20 W of demo/rules"),
        ({"carbonGramsPerHour": "2"}, "0.5 gCO2e/h above the limit of 2 gCO2e/h of demo/rules"),
    ],
)
def test_limits_that_the_fewest_replicas_break(limits: dict[str, str], excess: str) -> None:
    """Four of eight cores of a node of 0.10 USD/h and 50 W, on a grid of 100 g/kWh: 0.05 USD/h, 25 W, 2.5 g/h."""
    world = snapshot(hardware=(a_class(),), policies=(policy(limits=limits),))
    verdict = said(fresh(minReplicas=4, maxReplicas=8), world)
    assert codes(verdict) == ({"OverLimit"}, set())
    assert excess in verdict.message


def test_how_many_replicas_a_limit_allows_is_said() -> None:
    world = snapshot(hardware=(a_class(),), policies=(policy(limits={"costUSDPerHour": "0.03"}),))
    assert "; ask for 2, ask for less" in said(fresh(minReplicas=4, maxReplicas=8), world).message


def test_a_carbon_limit_that_holds_at_a_cleaner_hour_only_makes_it_wait() -> None:
    world = snapshot(
        hardware=(a_class(),), carbon=(worlds.carbon("ES", 100.0, 40.0),),
        policies=(policy(limits={"carbonGramsPerHour": "2"}),),
    )  # fmt: skip
    verdict = said(fresh(minReplicas=4, maxReplicas=8), world)
    assert codes(verdict) == (set(), {"OverLimit"})
    assert "it waits for a cleaner grid" in str(verdict.warnings[0])


def test_under_recommend_and_off_nothing_is_refused() -> None:
    limits = {"limits": {"costUSDPerHour": "0.001"}}
    watched = snapshot(hardware=(a_class(),), policies=(policy(mode="Recommend", **limits),))
    assert codes(said(fresh(), watched)) == (set(), {"OverLimit"})
    off = snapshot(hardware=(a_class(),), policies=(policy(mode="Off", **limits),))
    assert said(fresh(), off) == Verdict()


class TestDeadlines:
    PROFILE = {"profiles": [{"hardwareClass": "local-cpu", "replicas": 1, "samplesPerSecond": "1"}]}

    def test_shorter_than_the_work_at_the_best_speed(self) -> None:
        state = fresh(targets={"completeWithin": "30m"}, **self.PROFILE)
        verdict = said(state, snapshot(hardware=(a_class(),)))
        assert codes(verdict) == ({"DeadlineTooShort"}, set())
        assert "3,600 samples take 1h at the best known speed (1 samples/s, 1 replica on local-cpu)" in verdict.message
        assert "the shortest that can be held is 1h1m, or allow more replicas (there is room for 8)" in verdict.message

    def test_the_shortest_that_is_named_can_be_held(self) -> None:
        state = fresh(targets={"completeWithin": "1h1m"}, **self.PROFILE)
        assert said(state, snapshot(hardware=(a_class(),))) == Verdict()

    def test_replicas_that_have_no_room_do_not_count_as_speed(self) -> None:
        state = fresh(targets={"completeWithin": "5m"}, maxReplicas=100, **self.PROFILE)
        assert "8 samples/s, 8 replicas" in said(state, snapshot(hardware=(a_class(),))).message

    def test_an_unknown_speed_elsewhere_makes_it_a_warning(self) -> None:
        state = fresh(targets={"completeWithin": "30m"}, **self.PROFILE)
        verdict = said(state, snapshot(hardware=(a_class(), a_class("other"))))
        assert codes(verdict) == (set(), {"DeadlineTooShort"})

    def test_work_that_is_done_counts(self) -> None:
        state = fresh(targets={"completeWithin": "30m"}, **self.PROFILE)
        progress = {"progress": {"completedSamples": 3_000, "totalSamples": 3_600}}
        done = state.model_copy(update={"status": state.status.model_validate(progress)})
        assert said(done, snapshot(hardware=(a_class(),))) == Verdict()


class TestAccuracy:
    WORLD = snapshot(hardware=(a_class(),), variants=(variant("fp32", 0.95, 100), variant("int8", 0.93, 200)))

    def test_a_floor_above_every_variant(self) -> None:
        verdict = said(serving(0, targets={"latency": {"milliseconds": 200}, "minAccuracy": "0.97"}), self.WORLD)
        assert codes(verdict) == ({"AccuracyTooHigh"}, set())
        assert "the most accurate variant, fp32, reaches 0.9500" in verdict.message
        assert "0.0200 below the floor of 0.97" in verdict.message

    def test_a_variant_that_is_not_measured_yet_may_reach_it(self) -> None:
        unmeasured = variant("int8", 0.93, 200)
        unmeasured = unmeasured.model_copy(update={"status": type(unmeasured.status)()})
        world = self.WORLD.model_copy(update={"variants": (variant("fp32", 0.95, 100), unmeasured)})
        verdict = said(serving(0, targets={"latency": {"milliseconds": 200}, "minAccuracy": "0.97"}), world)
        assert codes(verdict) == (set(), {"AccuracyTooHigh"})

    def test_the_floor_of_a_policy_counts(self) -> None:
        world = self.WORLD.model_copy(update={"policies": (policy(serving={"minAccuracy": "0.97"}),)})
        assert "that its policies set (demo/rules)" in said(serving(0), world).message

    def test_a_latency_that_one_request_alone_breaks_is_a_warning(self) -> None:
        verdict = said(serving(0, targets={"latency": {"milliseconds": 1}}), self.WORLD)
        assert codes(verdict) == (set(), {"LatencyTooLow"})


class TestBudgets:
    """A core of local-cpu costs 0.0125 USD an hour, at 6.25 W."""

    WORK = TestDeadlines.PROFILE

    def world(self, budget: dict[str, Any], spent: float | None = None, mode: str = "Enforce") -> Snapshot:
        rules = policy(mode=mode, budgets=[{"name": "monthly", **budget}])
        if spent is not None:
            end = (NOW + timedelta(days=6)).isoformat()
            status = {
                "name": "monthly", "periodStart": NOW.isoformat(), "spent": str(spent),
                **({"periodEnd": end} if budget.get("period") != "Total" else {}),
            }  # fmt: skip
            rules = rules.model_copy(update={"status": EfficiencyPolicyStatus.model_validate({"budgets": [status]})})
        return snapshot(hardware=(a_class(),), policies=(rules,))

    def test_work_that_the_rest_of_a_total_does_not_pay(self) -> None:
        state = fresh(work={"totalSamples": 360_000}, **self.WORK)
        assert said(state, self.world({"costUSD": "2", "period": "Total"}, spent=0.5)) == Verdict()
        verdict = said(state, self.world({"costUSD": "2", "period": "Total"}, spent=1.0))
        assert codes(verdict) == ({"OverBudget"}, set())
        assert "spends 1.25 USD at least, on local-cpu: 0.25 USD more than the 1 USD" in verdict.message
        assert "budget 'monthly' of demo/rules" in verdict.message

    def test_energy_and_carbon_have_budgets_too(self) -> None:
        state = fresh(work={"totalSamples": 360_000}, **self.WORK)
        verdict = said(state, self.world({"energyKWh": "0.5", "period": "Total"}))
        assert "spends 0.625 kWh at least, on local-cpu: 0.125 kWh more" in verdict.message
        verdict = said(state, self.world({"carbonKilograms": "0.05", "period": "Total"}))
        assert "spends 0.0625 kgCO2e at least, on local-cpu: 0.0125 kgCO2e more" in verdict.message

    def test_what_takes_several_periods_is_a_warning_unless_the_deadline_is_before(self) -> None:
        state = fresh(work={"totalSamples": 360_000}, **self.WORK)
        verdict = said(state, self.world({"costUSD": "0.5", "period": "Month"}, spent=0.0))
        assert codes(verdict) == (set(), {"OverBudgetNow"})
        assert "it takes 2 more periods (Month) at least" in str(verdict.warnings[0])
        hurried = fresh(work={"totalSamples": 360_000}, targets={"completeWithin": "200h"}, **self.WORK)
        verdict = said(hurried, self.world({"costUSD": "0.5", "period": "Month"}, spent=0.0))
        assert codes(verdict) == ({"OverBudget"}, set())
        assert "0.25 USD more than the 1 USD that budget 'monthly' of demo/rules has left for it until its" in (
            verdict.message
        )

    def test_a_budget_without_suspend_and_one_that_is_watched_refuse_nothing(self) -> None:
        state = fresh(work={"totalSamples": 360_000}, **self.WORK)
        soft = {"costUSD": "1", "period": "Total", "actions": ["FewerReplicas"]}
        assert codes(said(state, self.world(soft))) == (set(), {"OverBudget"})
        hard = {"costUSD": "1", "period": "Total"}
        assert codes(said(state, self.world(hard, mode="Recommend"))) == (set(), {"OverBudget"})

    def test_a_service_that_no_day_pays(self) -> None:
        state = serving(0, resources={"cpu": "1"}, minReplicas=2, variants=["later"])
        verdict = said(state, self.world({"costUSD": "0.5", "period": "Day"}))
        assert codes(verdict)[0] == {"OverBudget"}
        assert "that is 0.6 USD a day, 0.1 USD more than budget 'monthly'" in verdict.message
        assert said(state, self.world({"costUSD": "0.6", "period": "Day"})).admitted

    def test_how_long_a_total_lasts_for_a_service_is_said(self) -> None:
        state = serving(0, resources={"cpu": "1"}, minReplicas=2, variants=["later"])
        verdict = said(state, self.world({"costUSD": "0.5", "period": "Total"}))
        assert verdict.admitted
        assert "lasts for 20h at most" in "".join(map(str, verdict.warnings))


class TestChanges:
    WORLD = snapshot(hardware=(a_class(),))

    def test_what_was_wrong_before_does_not_keep_anybody_from_mending_something_else(self) -> None:
        old = fresh(minReplicas=20, maxReplicas=20)
        new = old.model_copy(update={"spec": old.spec.model_copy(update={"suspend": True})})
        assert codes(said(new, self.WORLD, old)) == (set(), {"TooManyReplicas"})

    def test_what_becomes_wrong_is_refused(self) -> None:
        old = fresh()
        assert codes(said(fresh(resources={"cpu": "9"}), self.WORLD, old))[0] == {"ReplicaTooLarge"}

    def test_nothing_is_asked_of_an_object_that_is_not_changed_or_that_goes(self) -> None:
        wrong = fresh(minReplicas=20, maxReplicas=20)
        assert said(wrong, self.WORLD, wrong) == Verdict()
        going = wrong.model_copy(update={"meta": wrong.meta.model_copy(update={"deleting": True})})
        assert said(going, self.WORLD) == Verdict()

    def test_the_label_makes_refusals_warnings(self) -> None:
        wrong = labelled(fresh(minReplicas=20, maxReplicas=20), **{"trimtab.dev/admission": "warn"})
        assert codes(said(wrong, self.WORLD)) == (set(), {"TooManyReplicas"})

    def test_without_a_recent_snapshot_everything_is_admitted_with_a_warning(self) -> None:
        wrong = fresh(minReplicas=20, maxReplicas=20)
        assert codes(judge(wrong, None, None, NOW, STALE)) == (set(), {"NotChecked"})
        later = judge(wrong, None, self.WORLD, NOW + timedelta(seconds=61), STALE)
        assert codes(later) == (set(), {"NotChecked"})
        assert "61 s old" in str(later.warnings[0])

    def test_a_queue_of_kueue_is_said_to_have_no_effect(self) -> None:
        queued = labelled(fresh(), **{"kueue.x-k8s.io/queue-name": "main"})
        assert codes(said(queued, self.WORLD)) == (set(), {"KueueQueue"})


class TestPolicies:
    def test_whom_it_would_stop_is_warned_of(self) -> None:
        world = snapshot(hardware=(a_class(),), training=(fresh(minReplicas=4, maxReplicas=4),))
        verdict = said(policy(limits={"powerWatts": "20"}), world)
        assert codes(verdict) == (set(), {"WorkloadsHurt"})
        assert "demo/digits no longer fits: spec.minReplicas: 4 replicas draw 25 W" in str(verdict.warnings[0])

    def test_whom_another_policy_stops_already_is_not_named_again(self) -> None:
        before = policy("strict", limits={"powerWatts": "10"})
        world = snapshot(
            hardware=(a_class(),), training=(fresh(minReplicas=4, maxReplicas=4),), policies=(before,)
        )  # fmt: skip
        assert said(policy(limits={"powerWatts": "20"}), world) == Verdict()

    def test_no_more_than_a_handful_is_named(self) -> None:
        one = fresh(minReplicas=4, maxReplicas=4)
        many = tuple(
            one.model_copy(update={"meta": one.meta.model_copy(update={"name": f"w{i}", "uid": f"{i}"})})
            for i in range(9)
        )
        verdict = said(policy(limits={"powerWatts": "20"}), snapshot(hardware=(a_class(),), training=many))
        assert len(verdict.warnings) == 6
        assert "4 more workloads" in str(verdict.warnings[-1])

    def test_a_budget_below_what_was_spent_is_said_to_act_at_once(self) -> None:
        status = {"budgets": [{"name": "m", "periodStart": NOW.isoformat(), "spent": "12"}]}
        rules: PolicyState = policy(budgets=[{"name": "m", "costUSD": "10"}])
        rules = rules.model_copy(update={"status": EfficiencyPolicyStatus.model_validate(status)})
        verdict = said(rules, snapshot())
        assert "12 USD were spent in this period, 2 USD more than it now allows" in str(verdict.warnings[0])
