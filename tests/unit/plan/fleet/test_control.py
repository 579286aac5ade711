"""What holds of every decision for a fleet."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.fleet.fleets import random_fleet
from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.problem import Decision, Fleet, Limits, Load, Pool, Running, Workload

seeds = st.integers(0, 10**6)
quick = settings(deadline=None, max_examples=30)


def units_held(fleet: Fleet, decisions: tuple[Decision, ...]) -> Counter[str]:
    held: Counter[str] = Counter()
    for workload, decision in zip(fleet.workloads, decisions, strict=True):
        for placement in decision.placements:
            option = next(o for o in workload.options if (o.variant, o.pool) == (decision.variant, placement.pool))
            held[placement.pool] += placement.replicas * option.units  # type: ignore[assignment]
    return held


def shortfall(decisions: tuple[Decision, ...]) -> int:
    return sum(not d.holds for d in decisions)


@quick
@given(seed=seeds, free=st.floats(0.0, 30.0), split=st.booleans())
def test_capacity_accuracy_floor_and_bounds_are_never_broken(seed: int, free: float, split: bool) -> None:
    fleet = random_fleet(seed, free_units=free, allow_split=split)
    decisions = control(fleet)
    held = units_held(fleet, decisions)
    assert all(held[pool.name] <= pool.free_units + 1e-6 for pool in fleet.pools)
    for workload, decision in zip(fleet.workloads, decisions, strict=True):
        assert decision.reasons
        assert len(decision.placements) <= (2 if split else 1)
        assert decision.replicas <= workload.settings.max_replicas
        if decision.variant:
            assert decision.accuracy >= workload.target.min_accuracy
            assert decision.replicas >= 1


@quick
@given(seed=seeds, limit=st.floats(0.15, 2.0))
def test_a_limit_is_kept_wherever_one_replica_keeps_it(seed: int, limit: float) -> None:
    fleet = random_fleet(seed)
    workloads = (replace(w, limits=Limits(usd_per_hour=limit), running=Running()) for w in fleet.workloads)
    limited = replace(fleet, workloads=tuple(workloads))
    for workload, decision in zip(limited.workloads, control(limited), strict=True):
        if any(o.usd_per_hour <= limit for o in workload.options if o.accuracy >= workload.target.min_accuracy):
            assert decision.spending.usd_per_hour <= limit * (1.0 + 1e-9)
            assert decision.over_limit == ""


@quick
@given(seed=seeds, free=st.floats(4.0, 40.0))
def test_the_same_fleet_gets_the_same_decisions(seed: int, free: float) -> None:
    fleet = random_fleet(seed, workloads=12, free_units=free)
    assert control(fleet) == control(random_fleet(seed, workloads=12, free_units=free))


@quick
@given(seed=seeds, free=st.floats(2.0, 30.0), more=st.floats(0.0, 30.0))
def test_more_capacity_leaves_no_more_workloads_short(seed: int, free: float, more: float) -> None:
    narrow = random_fleet(seed, workloads=8, free_units=free)
    wide = random_fleet(seed, workloads=8, free_units=free + more)
    assert shortfall(control(wide)) <= shortfall(control(narrow))


def as_decided(fleet: Fleet, decisions: tuple[Decision, ...], load_factor: float = 1.0) -> Fleet:
    """The fleet after the decisions were carried out, under another load."""
    return replace(
        fleet,
        workloads=tuple(
            replace(
                w,
                running=Running(d.variant, d.placements[0].pool, d.replicas, ready=d.replicas, loaded=(d.variant,)),
                load=Load(tuple(rate * load_factor for rate in w.load.requests_per_second)),
            )
            for w, d in zip(fleet.workloads, decisions, strict=True)
        ),
    )


@quick
@given(seed=seeds, change=st.floats(-0.01, 0.01))
def test_a_small_change_of_load_changes_little(seed: int, change: float) -> None:
    """No change, no change of decision. A hundredth more load: few workloads stand where one more replica is needed."""
    fleet = random_fleet(seed, workloads=10)
    fleet = as_decided(fleet, control(fleet))
    fleet = as_decided(fleet, control(fleet))
    before, same = control(fleet), control(as_decided(fleet, control(fleet)))
    after = control(as_decided(fleet, before, 1.0 + change))

    def chosen(decisions: tuple[Decision, ...]) -> list[tuple[str, object]]:
        return [(d.variant, d.placements) for d in decisions]

    assert chosen(same) == chosen(before)
    assert sum(a != b for a, b in zip(chosen(before), chosen(after), strict=True)) <= 3


def test_where_a_pool_is_full_it_says_who_gives_way_and_what_binds() -> None:
    alone = control(random_fleet(5, workloads=8))
    wanted = units_held(random_fleet(5, workloads=8), alone)
    fleet = random_fleet(5, workloads=8, free_units=0.6 * max(wanted.values()))
    decisions = control(fleet)
    bound = [d for d in decisions if d.bound_by == "Capacity"]
    assert bound
    assert {r.code for d in bound for r in d.reasons} & {"CapacityShared", "CapacityShort"}
    shared = [r for d in bound for r in d.reasons if r.code == "CapacityShared"]
    assert all("has no room for" in r.message and (r.alternative or "").startswith("next: ") for r in shared)


def test_a_target_that_nothing_holds_gets_what_is_nearest_and_says_so() -> None:
    fleet = random_fleet(1, workloads=1)
    tight = replace(fleet.workloads[0], target=replace(fleet.workloads[0].target, bound_seconds=1e-4, min_accuracy=0.0))
    (decision,) = control(replace(fleet, workloads=(tight,)))
    assert decision.replicas >= 1
    assert not decision.holds
    assert decision.bound_by == "Target"
    assert decision.reasons[0].code == "TargetOutOfReach"
    assert "nearest: " in decision.reasons[0].message
    assert math.isfinite(decision.latency_seconds)


def test_a_floor_that_no_variant_reaches_is_said() -> None:
    fleet = random_fleet(1, workloads=1)
    high = replace(fleet.workloads[0], target=replace(fleet.workloads[0].target, min_accuracy=0.999))
    (decision,) = control(replace(fleet, workloads=(high,)))
    assert (decision.variant, decision.replicas, decision.bound_by) == ("", 0, "Accuracy")


def heavy(rate: float = 900.0) -> Workload:
    workload = random_fleet(2, workloads=1, variants=1).workloads[0]
    options = tuple(replace(o, units=1.0) for o in workload.options)
    return replace(
        workload, options=options, load=Load((rate,)), running=Running(), limits=Limits(),
        target=replace(workload.target, min_accuracy=0.0, bound_seconds=0.1),
    )  # fmt: skip


@pytest.mark.parametrize("pooled", [False, True])
def test_where_no_pool_has_room_for_all_replicas_they_are_spread_if_that_is_allowed(pooled: bool) -> None:
    workload = heavy()
    workload = replace(workload, settings=replace(workload.settings, pooled=pooled))
    alone = control(Fleet(0.0, (Pool("pool-0"),), (replace(workload, options=workload.options[:1]),)))[0]
    assert alone.replicas >= 3
    pools = (Pool("pool-0", alone.replicas - 1.0), Pool("pool-1", 1.0))
    short = control(Fleet(0.0, pools, (workload,)))[0]
    assert short.replicas < alone.replicas
    assert short.reasons[-1].code == "CapacityShort"
    spread = control(Fleet(0.0, pools, (workload,), allow_split=True))[0]
    assert spread.holds
    assert sorted(p.pool for p in spread.placements) == ["pool-0", "pool-1"]
    assert spread.reasons[-1].code == "SpreadOverPools"


def test_budget_left_over_lets_replicas_go_sooner_and_budget_overspent_keeps_them() -> None:
    history = np.random.default_rng(0).poisson(500.0, 300) / 10.0
    workload = replace(heavy(), load=Load(tuple(history.tolist())))
    loads = {}
    for late in (0.0, None, 0.5):
        (decision,) = control(
            Fleet(
                0.0,
                (Pool("pool-0"), Pool("pool-1")),
                (replace(workload, load=replace(workload.load, late_share=late)),),
            )
        )
        loads[late] = decision.load_requests_per_second
    assert loads[0.0] < loads[None] < loads[0.5]


def test_an_option_on_a_pool_that_is_not_there_is_refused() -> None:
    fleet = random_fleet(1, workloads=1)
    with pytest.raises(ValueError, match="names the pool 'pool-1'"):
        control(replace(fleet, pools=fleet.pools[:1]))


def test_an_empty_fleet_needs_nothing() -> None:
    assert control(Fleet(0.0, (), ())) == ()
