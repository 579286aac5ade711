"""How good the schedules are, against brute force, published greedies and the linear programme of HiGHS."""

import dataclasses
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.schedule.instances import check, linear_programme, one_replica, pool, problem, problems
from trimtab.plan.schedule.problem import Job, Pool, RunMode, SchedulingProblem
from trimtab.plan.schedule.solve import solve

INTENSITIES = st.lists(st.floats(10.0, 900.0), min_size=6, max_size=10)


@settings(max_examples=40)
@given(INTENSITIES, st.integers(1, 5))
def test_at_a_fixed_scale_the_cheapest_slots_are_taken(intensity: list[float], hours: int) -> None:
    plan = solve(problem(pool(intensity), Job("a", float(hours), (one_replica(),)))).jobs[0]
    cheapest = min(sum(intensity[slot] for slot in slots) for slots in combinations(range(len(intensity)), hours))
    assert plan.grams == pytest.approx(0.3 * cheapest, rel=1e-4)


@settings(max_examples=40)
@given(INTENSITIES, st.floats(0.5, 12.0), st.integers(2, 5), st.floats(0.5, 1.0))
def test_an_elastic_job_follows_the_greedy_of_carbonscaler(
    intensity: list[float], work: float, replicas: int, scaling: float
) -> None:
    """Marginal work per marginal carbon, largest first (Hanafy et al., CarbonScaler), without a price of money."""
    modes = tuple(RunMode(0, n, float(n), n**scaling, 0.3 * n) for n in range(1, replicas + 1))
    steps = sorted(
        (0.3 * grams / (n**scaling - (n - 1) ** scaling), n**scaling - (n - 1) ** scaling)
        for grams in intensity
        for n in range(1, replicas + 1)
    )
    work = min(work, 0.9 * sum(step for _, step in steps))
    left, grams = work, 0.0
    for price, step in steps:
        done = min(step, left)
        grams, left = grams + price * done, left - done
    plan = solve(problem(pool(intensity, usd=0.0), Job("a", work, modes))).jobs[0]
    assert plan.grams == pytest.approx(grams, rel=1e-4)


@settings(max_examples=25)
@given(problems(jobs=4, slots=10, bounded=False, switch=False, delay=False))
def test_without_bounds_the_schedule_is_the_linear_optimum(instance: SchedulingProblem) -> None:
    reachable = dataclasses.replace(
        instance, jobs=tuple(dataclasses.replace(job, deadline_hours=math.inf) for job in instance.jobs)
    )
    best = linear_programme(reachable)
    schedule = solve(reachable)
    if best is not None and all(math.isfinite(plan.finish_hours) for plan in schedule.jobs):
        assert schedule.objective_usd == pytest.approx(best, rel=1e-4)
        assert schedule.lower_bound_usd == pytest.approx(best, rel=1e-4)


@settings(max_examples=40)
@given(problems(jobs=12, slots=24, switch=False, delay=False))
def test_the_linear_optimum_lies_between_the_bound_and_the_schedule(instance: SchedulingProblem) -> None:
    """Gangs are whole and capacity holds at every instant, of which the linear programme knows nothing."""
    best = linear_programme(instance)
    schedule = solve(instance)
    in_time = all(plan.missed_by_hours == 0.0 and math.isfinite(plan.finish_hours) for plan in schedule.jobs)
    if best is not None and in_time:
        assert schedule.objective_usd >= best * (1.0 - 1e-4) - 1e-9
        assert schedule.lower_bound_usd <= best * (1.0 + 1e-4) + 1e-9


def test_on_the_whole_scarce_capacity_costs_hardly_more_than_in_the_linear_optimum() -> None:
    gaps = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        hour = np.arange(48)
        intensity = 300.0 + 150.0 * np.sin(2 * np.pi * hour / 24) + random.normal(0.0, 30.0, 48)
        jobs = []
        for index in range(30):
            work, earliest = float(random.uniform(0.5, 8.0)), float(random.uniform(0.0, 20.0))
            gang = float(random.integers(1, 4))
            modes = tuple(
                RunMode(0, n, gang * n, float(n**0.85), 0.3 * gang * n) for n in range(1, int(random.integers(2, 4)))
            )
            jobs.append(Job(str(index), work, modes, earliest, earliest + work + float(random.uniform(6.0, 24.0))))
        units = math.ceil(sum(j.work * j.modes[0].units for j in jobs) / 48 / 0.6) + 4
        instance = SchedulingProblem(
            np.arange(49.0), (Pool("p", np.full(48, float(units)), np.full(48, 0.05), intensity),), tuple(jobs), 1e-3
        )
        schedule = solve(instance)
        check(instance, schedule)
        best = linear_programme(instance)
        assert best is not None
        assert all(plan.missed_by_hours == 0.0 for plan in schedule.jobs)
        gaps.append(schedule.objective_usd / best - 1.0)
    assert np.mean(gaps) < 0.01
    assert max(gaps) < 0.03


@settings(max_examples=30)
@given(problems(jobs=8), st.integers(1, 6))
def test_more_capacity_never_costs_more_than_the_gap(instance: SchedulingProblem, more: int) -> None:
    roomy = dataclasses.replace(
        instance, pools=tuple(dataclasses.replace(p, free_units=p.free_units + more) for p in instance.pools)
    )
    tight, wide = solve(instance), solve(roomy)
    on_time = [plan.missed_by_hours == 0.0 and math.isfinite(plan.finish_hours) for plan in (*tight.jobs, *wide.jobs)]
    if all(on_time):
        gap = wide.objective_usd - wide.lower_bound_usd
        assert wide.objective_usd <= tight.objective_usd + gap + 1e-6 * abs(tight.objective_usd) + 1e-9


@settings(max_examples=30)
@given(problems(jobs=6, bounded=False, switch=False, delay=False), st.floats(0.5, 6.0))
def test_more_slack_never_costs_more(instance: SchedulingProblem, more: float) -> None:
    later = dataclasses.replace(
        instance,
        jobs=tuple(dataclasses.replace(job, deadline_hours=job.deadline_hours + more) for job in instance.jobs),
    )
    for plan, other in zip(solve(instance).jobs, solve(later).jobs, strict=True):
        if plan.missed_by_hours == 0.0 and math.isfinite(plan.finish_hours):
            price = plan.usd + instance.usd_per_gram * plan.grams
            assert other.usd + instance.usd_per_gram * other.grams <= price * (1.0 + 1e-4) + 1e-9


def test_of_equal_slots_the_earliest_are_taken_and_units_do_not_idle_while_jobs_wait() -> None:
    jobs = [Job(str(index), 2.5, (one_replica(),), deadline_hours=30.0) for index in range(6)]
    schedule = solve(problem(pool([200.0] * 30, 2.0), *jobs))
    check(problem(pool([200.0] * 30, 2.0), *jobs), schedule)
    # Fifteen hours of work on two units: done in the eighth slot.
    assert max(plan.finish_hours for plan in schedule.jobs) <= 8.0 + 1e-6


def test_a_start_that_costs_time_joins_the_runs() -> None:
    intensity = [100.0, 120.0, 100.0, 120.0, 100.0, 120.0, 100.0, 120.0]
    free = solve(problem(pool(intensity, usd=0.0), Job("a", 3.0, (one_replica(),)))).jobs[0]
    costly = solve(problem(pool(intensity, usd=0.0), Job("a", 3.0, (one_replica(),), switch_hours=0.5))).jobs[0]
    assert [run.slot for run in free.runs] == [0, 2, 4]
    assert len({run.end_hours for run in costly.runs} - {run.start_hours for run in costly.runs}) == 1


def test_a_job_that_runs_goes_on_where_a_stop_would_gain_less_than_a_start_costs() -> None:
    intensity = [110.0, 100.0, 100.0, 100.0, 100.0]
    job = Job("a", 2.0, (one_replica(),), switch_hours=0.3)
    waits = solve(problem(pool(intensity), job)).jobs[0]
    goes_on = solve(problem(pool(intensity), dataclasses.replace(job, running=0))).jobs[0]
    assert waits.runs[0].start_hours == pytest.approx(1.0)
    assert goes_on.runs[0].start_hours == 0.0
    assert goes_on.finish_hours == pytest.approx(2.0)


def test_what_delay_costs_decides_between_now_and_cheaper() -> None:
    intensity = [400.0] * 4 + [100.0] * 4
    job = Job("a", 2.0, (one_replica(),), delay_usd_per_hour=1.0)
    assert solve(problem(pool(intensity), job)).jobs[0].finish_hours == pytest.approx(2.0)
    patient = dataclasses.replace(job, delay_usd_per_hour=0.01)
    assert solve(problem(pool(intensity), patient)).jobs[0].finish_hours == pytest.approx(6.0)


@settings(max_examples=25)
@given(problems(jobs=5, slots=16, bounded=False, delay=False), st.floats(-1e-4, 1e-4))
def test_a_small_change_of_the_forecast_changes_little(instance: SchedulingProblem, change: float) -> None:
    """The plan for the old forecast costs at the new one hardly more than the new plan does."""
    nudged = dataclasses.replace(
        instance,
        pools=tuple(dataclasses.replace(p, grams_per_kwh=p.grams_per_kwh * (1.0 + change)) for p in instance.pools),
    )
    old, new = solve(instance), solve(nudged)
    assert new.objective_usd == pytest.approx(old.objective_usd, rel=2e-3, abs=1e-6)


def test_every_plan_says_what_bound_it_and_what_the_next_choice_would_cost() -> None:
    intensity = [400.0, 400.0, 100.0, 100.0, 400.0, 50.0]
    modes = (one_replica(), RunMode(0, 2, 2.0, 1.6, 0.6))
    waits = solve(problem(pool(intensity), Job("a", 2.0, modes, deadline_hours=5.0))).jobs[0]
    assert waits.bound_by == "Deadline"
    assert waits.alternative_usd is not None
    assert waits.alternative_usd > 0.0
    assert "USD more" in waits.alternative
    at_once = solve(problem(pool([100.0] * 6), Job("a", 2.0, (one_replica(),)))).jobs[0]
    assert at_once.bound_by == ""
    price = solve(problem(pool(intensity[:5]), Job("a", 2.0, (one_replica(),)))).jobs[0]
    assert price.bound_by == "Price"
    assert price.alternative_usd == pytest.approx(2 * 0.3 * 300.0 * 1e-3, rel=1e-3)
    assert price.alternative.startswith("run at once, done by hour 2")
