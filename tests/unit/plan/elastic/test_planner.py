"""A round of planning: capacity, hysteresis, prices, reasons."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.elastic.goodput import GoodputModel, GradientNoise
from trimtab.plan.elastic.limits import BatchLimits
from trimtab.plan.elastic.placement import ClusterShape, free_gpus, replicas_of
from trimtab.plan.elastic.planner import ElasticDecision, ElasticDemand, GpuPrice, plan_elastic
from trimtab.plan.elastic.throughput import StepModel

SHAPE = ClusterShape(nodes=4, gpus_per_node=4)
LIMITS = BatchLimits(initial=128, maximum=4096, local_minimum=32, local_maximum=1024)


def model(compute: float = 0.03, between: float = 0.1, noise: float = 20.0) -> GoodputModel:
    steps = StepModel(compute, compute / 60, between, 0.001, between / 5, 0.001, 1.5)
    return GoodputModel(steps, GradientNoise(1.0, noise), LIMITS)


def demand(key: str, work: float = 1e5, **changes: object) -> ElasticDemand:
    return replace(ElasticDemand(key, (), work, model(), most_replicas=64), **changes)  # type: ignore[arg-type]


def counts(decisions: tuple[ElasticDecision, ...]) -> dict[str, int]:
    return {decision.key: replicas_of(decision.placement) for decision in decisions}


demands_strategy = st.lists(
    st.builds(
        lambda work, known, most, compute, noise: (work, model(compute, noise=noise) if known else None, most),
        st.floats(1.0, 1e7),
        st.booleans(),
        st.integers(1, 64),
        st.floats(0.01, 1.0),
        st.floats(0.01, 1000.0),
    ),
    min_size=1,
    max_size=20,
).map(lambda rows: [ElasticDemand(f"job-{i:02}", (), work, m, most) for i, (work, m, most) in enumerate(rows)])


@given(demands_strategy, st.floats(0.0, 1.0))
def test_capacity_and_limits_hold_round_after_round(demands: list[ElasticDemand], price: float) -> None:
    for _ in range(3):
        decisions = plan_elastic(demands, SHAPE, price=GpuPrice(price, price))
        assert [decision.key for decision in decisions] == [demand.key for demand in demands]
        free_gpus(SHAPE, (decision.placement for decision in decisions))
        for job, decision in zip(demands, decisions, strict=True):
            assert replicas_of(decision.placement) <= job.most_replicas
        demands = [replace(job, placement=decision.placement) for job, decision in zip(demands, decisions, strict=True)]


@given(demands_strategy)
def test_the_same_input_gives_the_same_plan(demands: list[ElasticDemand]) -> None:
    again = plan_elastic(demands, SHAPE)
    assert plan_elastic([replace(job) for job in demands], SHAPE) == again


@given(demands_strategy)
def test_a_plan_stays_while_nothing_changes(demands: list[ElasticDemand]) -> None:
    """Once placed, jobs of which all is known are not moved again for nothing."""
    known = [job for job in demands if job.model is not None]
    first = plan_elastic(known, SHAPE)
    placed = [replace(job, placement=decision.placement) for job, decision in zip(known, first, strict=True)]
    second = plan_elastic(placed, SHAPE)
    assert [decision.placement for decision in second] == [decision.placement for decision in first]


def test_the_short_job_gets_more_than_the_long_one() -> None:
    plan = counts(plan_elastic([demand("long", 1e6), demand("short", 1e4)], SHAPE))
    assert plan["short"] > plan["long"] > 0


def test_an_unknown_job_is_started_before_all_else() -> None:
    running = [demand(f"known-{i}", placement=((i, 4),)) for i in range(4)]
    plan = counts(plan_elastic([*running, demand("new", model=None, most_replicas=4)], SHAPE))
    assert plan["new"] == 2, "what comes free when one other job goes down a scale: no second one is restarted for it"
    assert sorted(plan[job.key] for job in running) == [2, 4, 4, 4]


def test_an_unknown_job_takes_idle_gpus() -> None:
    assert counts(plan_elastic([demand("new", model=None, most_replicas=4)], SHAPE)) == {"new": 4}


def test_a_job_about_to_end_is_not_restarted() -> None:
    ending = demand("ending", work=1.0, placement=((0, 1),))
    (decision,) = plan_elastic([ending], SHAPE)
    assert decision.placement == ending.placement
    assert decision.bound_by == "Restart"


def test_a_price_takes_gpus_from_those_who_gain_least_of_them() -> None:
    free, dear = (
        sum(counts(plan_elastic([demand("a")], SHAPE, price=GpuPrice(price, price))).values()) for price in (0.0, 0.2)
    )
    assert free > dear > 0


def test_a_price_that_will_fall_makes_work_wait() -> None:
    low, high = GpuPrice(0.2, 0.2), GpuPrice(3.0, 0.2)
    assert sum(counts(plan_elastic([demand("a")], SHAPE, price=low)).values()) > 0
    assert sum(counts(plan_elastic([demand("a")], SHAPE, price=high)).values()) == 0


def test_weight_decides_who_comes_first() -> None:
    jobs = [demand("a"), demand("b", delay_weight=10.0)]
    plan = counts(plan_elastic(jobs, SHAPE))
    assert plan["b"] > plan["a"]


@pytest.mark.parametrize(
    ("jobs", "price", "reason"),
    [
        ([demand("a", most_replicas=2)], 0.0, "Measured"),
        ([demand("a", model=model(between=50.0))], 0.0, "Scaling"),
        ([demand("a")], 0.5, "Price"),
        ([demand("a"), demand("b", 2e5), demand("c", 3e5)], 0.0, "Capacity"),
    ],
)
def test_a_decision_says_what_bound_it(jobs: list[ElasticDemand], price: float, reason: str) -> None:
    decision = plan_elastic(jobs, SHAPE, price=GpuPrice(price, price))[0]
    assert decision.bound_by == reason
    assert decision.next_replicas is None or decision.next_replicas > replicas_of(decision.placement)
    if reason == "Capacity" and decision.next_replicas:
        assert decision.next_gain > 0
    assert math.isfinite(decision.next_gain)
