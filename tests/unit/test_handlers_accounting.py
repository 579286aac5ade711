"""Accounts are settled from what stands in status, and shown as counters that never go back."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.worlds import NOW, carbon, hardware, serving, snapshot, training
from trimtab.api.budget import BudgetStatus, DeletedWorkload
from trimtab.api.common import Usage, UsageGap
from trimtab.api.policy import EfficiencyPolicySpec, EfficiencyPolicyStatus
from trimtab.apply.other_status import quiet_policy_status
from trimtab.handlers.account_metrics import OTHER, AccountMetrics
from trimtab.handlers.accounting import book_all, settle_all, settle_budgets
from trimtab.handlers.exporter import Exporter
from trimtab.observe.meter import read_window
from trimtab.observe.meter_queries import Results
from trimtab.observe.meter_windows import windows
from trimtab.observe.series import Series
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import ObjectMeta, PolicyState, Snapshot, WorkloadPod

KEY = "TrainingWorkload/demo/digits"
SETTINGS = ObserveSettings()
BEGIN = NOW - timedelta(minutes=5)


def series(name: str, rate: float, **labels: str) -> Series:
    times = [NOW.timestamp() - 600 + 5 * i for i in range(121)]
    return Series({"__name__": name, **labels}, tuple((t, rate * (t - times[0])) for t in times))


def world(usage: Usage | None = None, *policies: PolicyState, labels: dict[str, str] | None = None) -> Snapshot:
    pod = WorkloadPod(name="digits-0", hardware_class="local-cpu", node="n1", phase="Running",
                      created_at=BEGIN, started_at=NOW - timedelta(minutes=10))  # fmt: skip
    state = training(pods=(pod,))
    state = state.model_copy(
        update={
            "status": state.status.model_copy(update={"usage": usage or Usage(accounted_until=BEGIN)}),
            "meta": state.meta.model_copy(update={"labels": labels or {}}),
        }
    )
    grid = carbon("ES", 100.0)
    early = grid.points[0].model_copy(update={"start": NOW - timedelta(days=1)})
    return snapshot(
        training=(state,), hardware=(hardware().model_copy(update={"node_names": ("n1",)}),), policies=policies,
        carbon=(grid.model_copy(update={"points": (early,)}),),
    )  # fmt: skip


def settle(given: Snapshot) -> tuple[dict[str, Usage], dict[tuple[str, str], Usage]]:
    results = Results(
        cpu=[series("pod_cpu_usage_seconds_total", 0.4, namespace="demo", pod="digits-0", node="n1")],
        nodes=[series("node_cpu_usage_seconds_total", 0.7, node="n1")],
        own=[series("trimtab_training_samples_total", 50.0, namespace="demo", pod="digits-0", workload="digits",
                    workload_kind="TrainingWorkload", hardware_class="local-cpu")],
    )  # fmt: skip
    books = book_all(given, [read_window(w, results, given, SETTINGS) for w in windows(given, SETTINGS)])
    return settle_all(given, books), settle_budgets(given, books)


def test_a_pass_repeated_before_the_status_was_written_comes_to_the_same_sums() -> None:
    once, again = settle(world()), settle(world())
    assert once == again
    usage = once[0][KEY]
    assert usage.energy_watt_hours > 0
    assert usage.work_items == 50 * 270
    assert usage.carbon_grams == pytest.approx(usage.energy_watt_hours / 10)


def test_the_class_has_an_account_of_its_nodes_and_of_what_is_nobodys() -> None:
    nodes: Any = settle(world())[0]["HardwareClass/local-cpu"]
    mine = settle(world())[0][KEY]
    per_second = (10 + 40 * 0.35) / 3600
    assert nodes.energy_watt_hours == pytest.approx(per_second * nodes.replica_seconds)
    share = nodes.unattributed_watt_hours / nodes.energy_watt_hours
    assert share == pytest.approx(1 - (10 / 4 + 14 * 4 / 7) / 24)
    assert mine.energy_watt_hours / 270 == pytest.approx(per_second * (1 - share))


def budget(name: str, selector: dict[str, Any] | None = None, ends: timedelta | None = None) -> PolicyState:
    status = BudgetStatus(
        name="b", period_start=BEGIN, period_end=NOW - ends if ends else None, usage=Usage(accounted_until=BEGIN)
    )
    return PolicyState(
        meta=ObjectMeta(name=name, namespace="demo", created_at=BEGIN),
        spec=EfficiencyPolicySpec.model_validate(
            {"selector": selector or {}, "budgets": [{"name": "b", "energyKWh": "9", "period": "Total"}]}
        ),
        status=EfficiencyPolicyStatus(budgets=(status,)),
    )


def test_a_budget_has_its_own_account_over_what_its_policy_selects() -> None:
    theirs = {"matchLabels": {"team": "vision"}}
    policies = (budget("all"), budget("vision", theirs), budget("over", ends=timedelta(minutes=2)))
    workloads, budgets = settle(world(None, *policies, labels={"team": "speech"}))
    assert budgets["demo/all", "b"].energy_watt_hours == workloads[KEY].energy_watt_hours
    assert budgets["demo/vision", "b"].energy_watt_hours == 0
    over = budgets["demo/over", "b"]
    assert over.accounted_until == NOW - timedelta(minutes=2)
    assert over.energy_watt_hours == pytest.approx(workloads[KEY].energy_watt_hours * 180 / 270, rel=1e-6)


THEIRS = {"matchLabels": {"team": "vision"}}


def without_its_workload(given: Snapshot, **update: Any) -> Snapshot:
    return given.model_copy(update={"training": (), **update})


def test_a_budget_counts_the_last_seconds_of_a_workload_that_was_deleted_and_its_labels_with_it() -> None:
    both = (budget("all"), budget("vision", THEIRS))
    before = world(None, *both, labels={"team": "vision"})
    planned = {p.key: p for p in plan(before).policies}
    assert planned["demo/vision"].budgets[0].members == (KEY,)
    assert planned["demo/all"].budgets[0].members == ()
    # What stands in status is all that a new operator has: this one was killed before it settled anything.
    kept = tuple(
        state.model_copy(update={"status": EfficiencyPolicyStatus(budgets=planned[state.meta.key].budgets)})
        for state in both
    )
    after = settle(without_its_workload(before, policies=kept))[1]
    assert after["demo/vision", "b"].energy_watt_hours == after["demo/all", "b"].energy_watt_hours > 0.0
    # Without the name in status nothing tells that it was theirs.
    assert settle(without_its_workload(before))[1]["demo/vision", "b"].energy_watt_hours == 0.0


def deleted(until: timedelta, *gaps: UsageGap, **facts: Any) -> BudgetStatus:
    """The budget as it is planned a while after its member was seen to be gone, by how far the account has come."""
    state = budget("vision", THEIRS)
    status = state.status.budgets[0].model_copy(
        update={
            "usage": Usage(accounted_until=BEGIN + until, gaps=gaps),
            **(facts or {"deleted": (DeletedWorkload(name=KEY, since=BEGIN),)}),
        }
    )
    state = state.model_copy(update={"status": EfficiencyPolicyStatus(budgets=(status,))})
    given = without_its_workload(world(None, state)).model_copy(update={"taken_at": BEGIN + until})
    return plan(given).policies[0].budgets[0]


def test_who_was_deleted_is_named_until_all_is_metered_and_nothing_can_be_corrected() -> None:
    first = deleted(timedelta(seconds=30), members=(KEY,))
    assert first.members == ()
    assert first.deleted == (DeletedWorkload(name=KEY, since=BEGIN + timedelta(seconds=30)),)
    assert [one.name for one in deleted(timedelta(minutes=5)).deleted] == [KEY]
    assert deleted(timedelta(minutes=11)).deleted == ()
    hole = UsageGap(start=BEGIN + timedelta(minutes=1), end=BEGIN + timedelta(minutes=2))
    assert [one.name for one in deleted(timedelta(minutes=11), hole).deleted] == [KEY]


def test_a_change_of_whom_a_budget_counts_is_written_at_once() -> None:
    old = EfficiencyPolicyStatus(budgets=(budget("b").status.budgets[0],))
    new = old.model_copy(update={"budgets": (old.budgets[0].model_copy(update={"members": (KEY,)}),)})
    assert quiet_policy_status(new, old).budgets == new.budgets
    spent = old.model_copy(update={"budgets": (old.budgets[0].model_copy(update={"spent": 0.1}),)})
    assert quiet_policy_status(spent, old).budgets == old.budgets


def test_savings_are_against_the_stated_baseline() -> None:
    """One of two replicas runs: the same work at once on two took half the time, at the grid of that time."""
    given = world()
    savings = settle(given)[0][KEY].savings
    assert savings is not None
    assert "2 replicas" in savings.baseline
    assert savings.cost_usd == pytest.approx(0.0)
    assert savings.carbon_grams == pytest.approx(0.0, abs=1e-6)
    dirty = given.carbon[0].points[0].model_copy(update={"grams_per_kwh": 300.0})
    clean = dirty.model_copy(update={"start": BEGIN + timedelta(seconds=135), "grams_per_kwh": 100.0})
    shifted = given.model_copy(update={"carbon": (given.carbon[0].model_copy(update={"points": (dirty, clean)}),)})
    usage = settle(shifted)[0][KEY]
    assert usage.savings is not None
    assert usage.savings.carbon_grams == pytest.approx(usage.energy_watt_hours * 0.3 - usage.carbon_grams, rel=1e-3)


def value(registry: CollectorRegistry, metric: str, **labels: str) -> float | None:
    return registry.get_sample_value(metric, labels)


def with_energy(watt_hours: float, gap: float = 0.0, **meta: Any) -> Snapshot:
    hole = UsageGap(start=BEGIN, end=NOW, energy_watt_hours=gap)
    usage = Usage(energy_watt_hours=watt_hours + gap, gaps=(hole,) if gap else (), accounted_until=NOW)
    state = world(usage).training[0]
    return snapshot(training=(state.model_copy(update={"meta": state.meta.model_copy(update=meta)}),))


def test_counters_neither_go_back_nor_jump_when_an_estimate_is_corrected_or_the_operator_starts_again() -> None:
    labels = {"namespace": "demo", "workload": "digits", "kind": "TrainingWorkload"}
    name = "trimtab_workload_energy_joules_total"
    registry = CollectorRegistry()
    metrics = AccountMetrics(registry)
    metrics.publish(with_energy(1.0, gap=0.5))
    assert value(registry, name, **labels) == 3600.0
    assert value(registry, "trimtab_workload_open_estimate_joules", **labels) == 1800.0
    metrics.publish(with_energy(1.2))
    assert value(registry, name, **labels) == pytest.approx(4320.0)
    again = CollectorRegistry()
    AccountMetrics(again).publish(with_energy(1.2))
    assert value(again, name, **labels) == pytest.approx(4320.0), "the same after a restart"


def test_sums_by_team_and_model_grow_only_and_outlive_their_workloads() -> None:
    registry = CollectorRegistry()
    metrics = AccountMetrics(registry)
    name, team = "trimtab_spent_energy_joules_total", {"trimtab.dev/team": "vision"}
    metrics.publish(with_energy(5.0, labels=team))
    assert value(registry, name, by="team", name="vision") == 0.0, "what was spent before is not counted again"
    metrics.publish(with_energy(6.0, labels=team))
    metrics.publish(snapshot())
    for by, who in (("team", "vision"), ("namespace", "demo"), ("model", "digits-cnn")):
        assert value(registry, name, by=by, name=who) == pytest.approx(3600.0)


def test_the_number_of_series_is_bounded() -> None:
    registry = CollectorRegistry()
    metrics = AccountMetrics(registry)
    metrics.publish(snapshot())
    for i in range(230):
        metrics.publish(with_energy(1.0, namespace=f"n{i}", uid=f"u{i}", created_at=NOW + timedelta(seconds=1)))
    families = {f.name: f for f in metrics.collect()}
    assert len([s for s in families["trimtab_spent_energy_joules"].samples if s.labels["by"] == "namespace"]) == 201
    assert value(registry, "trimtab_spent_energy_joules_total", by="namespace", name=OTHER) == pytest.approx(30 * 3600)


def test_the_exporter_forgets_workloads_that_are_gone() -> None:
    registry = CollectorRegistry()
    exporter = Exporter(registry)
    labels = {"namespace": "demo", "workload": "digits-serving", "kind": "ServingWorkload"}
    full = snapshot(serving=(serving(2),))
    exporter.publish(full, plan(full), 5.0)
    assert registry.get_sample_value("trimtab_serving_latency_target_milliseconds", labels) == 200
    assert registry.get_sample_value("trimtab_snapshot_objects", {"kind": "serving"}) == 1
    empty = snapshot()
    exporter.publish(empty, plan(empty), 6.0)
    assert registry.get_sample_value("trimtab_serving_latency_target_milliseconds", labels) is None
    assert registry.get_sample_value("trimtab_snapshot_objects", {"kind": "serving"}) == 0
    assert registry.get_sample_value("trimtab_last_pass_timestamp_seconds") == 6.0
