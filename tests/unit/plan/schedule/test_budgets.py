"""Budgets that put work off: never overrun where a schedule within them is known, and what deadlines force is said."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.schedule.instances import check, one_replica, pool, problem, problems
from trimtab.plan.schedule.problem import Budget, Job, JobSchedule, Pool, RunMode, Schedule, SchedulingProblem
from trimtab.plan.schedule.solve import solve

PERIODS = ((0.0, 8.0), (8.0, 16.0), (16.0, 24.0))
RESOURCES = ("usd", "grams", "kilowatt_hours")


def spent(instance: SchedulingProblem, schedule: Schedule, budget: Budget, resource: str) -> float:
    """What the jobs of a budget spend in its time."""
    total = 0.0
    for job, plan in zip(instance.jobs, schedule.jobs, strict=True):
        for run in plan.runs if job.key in budget.jobs else ():
            if budget.from_hours <= instance.edges_hours[run.slot] < budget.until_hours:
                mode, hours = job.modes[run.mode], run.end_hours - run.start_hours
                where = instance.pools[mode.pool]
                grams = mode.kilowatts * where.grams_per_kwh[run.slot] + mode.units * where.embodied_grams_per_unit_hour
                usd = mode.units * where.usd_per_unit_hour[run.slot]
                total += hours * {"usd": usd, "grams": grams, "kilowatt_hours": mode.kilowatts}[resource]
    return total


def elastic(random: np.random.Generator, slots: int = 24) -> SchedulingProblem:
    """Elastic jobs whose deadlines all can be kept, in pools without bounds."""
    pools = tuple(
        Pool(f"pool-{i}", np.full(slots, np.inf), random.uniform(0.1, 1.0, slots), random.uniform(20.0, 600.0, slots))
        for i in range(int(random.integers(1, 3)))
    )
    jobs = []
    for index in range(int(random.integers(2, 9))):
        units = float(random.choice([0.5, 1.0, 2.0]))
        modes = tuple(
            RunMode(int(random.integers(0, len(pools))), n, units * n, n**0.8, 0.2 * units * n)
            for n in range(1, int(random.integers(1, 4)) + 1)
        )
        earliest, work = float(random.choice([0.0, random.uniform(0.0, 10.0)])), float(random.uniform(0.3, 5.0))
        deadline = min(earliest + work * random.uniform(1.05, 5.0) + 0.5, float(slots))
        jobs.append(Job(f"job-{index}", work, modes, earliest, deadline, priority=int(random.integers(0, 2))))
    return SchedulingProblem(np.arange(slots + 1.0), pools, tuple(jobs), 1e-3)


def within_a_known_schedule(seed: int, resource: str, margin: float) -> SchedulingProblem:
    """A problem whose budgets are what another schedule of the same jobs spends in each period, and a little more."""
    random = np.random.default_rng(seed)
    base = elastic(random)
    shuffled = tuple(
        dataclasses.replace(
            p,
            usd_per_unit_hour=random.permutation(p.usd_per_unit_hour),
            grams_per_kwh=random.permutation(p.grams_per_kwh),
        )
        for p in base.pools
    )
    known = solve(dataclasses.replace(base, pools=shuffled))
    keys = frozenset(job.key for job in base.jobs if random.random() < 0.7)
    empty = [Budget(keys, from_hours=a, until_hours=z, cuts=False, name=f"{a:g}") for a, z in PERIODS]
    budgets = tuple(
        dataclasses.replace(b, **{resource: spent(base, known, b, resource) * margin + 1e-9}) for b in empty
    )
    return dataclasses.replace(base, budgets=budgets)


@pytest.mark.parametrize("resource", RESOURCES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_budget_is_overrun_where_a_schedule_within_all_is_known(resource: str, seed: int) -> None:
    instance = within_a_known_schedule(seed, resource, 1.001)
    schedule = solve(instance)
    check(instance, schedule)
    assert schedule.overruns == ()
    for budget in instance.budgets:
        limit = getattr(budget, resource)
        assert spent(instance, schedule, budget, resource) <= limit * (1.0 + 1e-6) + 1e-9
    assert all(plan.missed_by_hours == 0.0 for plan in schedule.jobs)


@settings(max_examples=25)
@given(problems(jobs=6, delay=False), st.floats(0.05, 0.9))
def test_capacity_and_work_hold_under_budgets_and_what_is_said_to_be_overrun_is(
    instance: SchedulingProblem, share: float
) -> None:
    free = solve(instance)
    keys = frozenset(job.key for job in instance.jobs)
    budgets = tuple(
        Budget(keys, grams=share * free.grams / 2.0, from_hours=a, until_hours=z, cuts=False)
        for a, z in ((0.0, 12.0), (12.0, 24.0))
    )
    bounded = dataclasses.replace(instance, budgets=budgets)
    schedule = solve(bounded)
    check(bounded, schedule)
    assert solve(bounded) == schedule
    over = {each.budget: each.grams for each in schedule.overruns}
    for index, budget in enumerate(budgets):
        more = spent(bounded, schedule, budget, "grams") - budget.grams
        assert over.get(index, 0.0) == pytest.approx(max(more, 0.0), rel=1e-6, abs=1e-6 * free.grams + 1e-9)
    for plan, other in zip(schedule.jobs, free.jobs, strict=True):
        assert math.isfinite(plan.finish_hours) or not math.isfinite(other.finish_hours) or plan.missed_by_hours > 0.0


@settings(max_examples=25)
@given(problems(jobs=6), st.sampled_from(RESOURCES))
def test_budgets_with_room_change_nothing(instance: SchedulingProblem, resource: str) -> None:
    free = solve(instance)
    keys = frozenset(job.key for job in instance.jobs)
    roomy = Budget(keys, **{resource: 1e-6 + 1.001 * sum(getattr(plan, resource) for plan in free.jobs)}, cuts=False)
    assert solve(dataclasses.replace(instance, budgets=(roomy,))) == free


def day(limit: float, *jobs: Job) -> tuple[JobSchedule, ...]:
    keys = frozenset(job.key for job in jobs)
    budget = Budget(keys, usd=limit, until_hours=12.0, cuts=False, name="day")
    return solve(dataclasses.replace(problem(pool([100.0] * 36), *jobs), budgets=(budget,))).jobs


def test_who_comes_first_has_the_budget_and_the_others_begin_when_its_period_is_over() -> None:
    jobs = [Job(f"job-{i}", 4.0, (one_replica(),), deadline_hours=30.0, switch_hours=0.004) for i in range(6)]
    plans = day(0.85, *jobs)
    assert [plan.runs[0].start_hours for plan in plans] == [0.0, 0.0, 12.0, 12.0, 12.0, 12.0]
    assert [plan.bound_by for plan in plans] == ["", "", "Budget", "Budget", "Budget", "Budget"]
    assert "without the budget" in plans[2].alternative


def test_what_the_rest_of_a_budget_pays_for_runs_before_its_end() -> None:
    """Ten hours at 0.1 USD, of which the budget has six: four of them are for later."""
    (plan,) = day(0.6, Job("long", 10.0, (one_replica(),), deadline_hours=30.0))
    before = sum(run.end_hours - run.start_hours for run in plan.runs if run.slot < 12)
    assert before == pytest.approx(6.0, abs=1e-6)
    assert (plan.missed_by_hours, plan.finish_hours) == (0.0, pytest.approx(16.0))


def test_a_deadline_goes_before_a_budget_and_by_how_much_is_said() -> None:
    job = Job("urgent", 4.0, (one_replica(),), deadline_hours=6.0)
    budget = Budget(frozenset({"urgent"}), usd=0.3, until_hours=12.0, cuts=False, name="day")
    schedule = solve(dataclasses.replace(problem(pool([100.0] * 36), job), budgets=(budget,)))
    assert (schedule.jobs[0].missed_by_hours, schedule.jobs[0].finish_hours) == (0.0, pytest.approx(4.0))
    (over,) = schedule.overruns
    assert (over.budget, over.usd, over.grams) == (0, pytest.approx(0.1), 0.0)


def test_who_can_wait_waits_for_who_cannot() -> None:
    """The patient one is first in the queue and has the higher priority; but both fit only if it waits."""
    patient = Job("patient", 3.0, (one_replica(),), deadline_hours=30.0, priority=1)
    urgent = Job("urgent", 3.0, (one_replica(),), deadline_hours=6.0)
    budget = Budget(frozenset({"patient", "urgent"}), usd=0.4, until_hours=12.0, cuts=False)
    schedule = solve(dataclasses.replace(problem(pool([100.0] * 36), patient, urgent), budgets=(budget,)))
    assert schedule.overruns == ()
    assert schedule.jobs[1].finish_hours <= 6.0 + 1e-6
    assert all(plan.missed_by_hours == 0.0 for plan in schedule.jobs)


def test_a_budget_that_ends_within_a_slot_is_refused() -> None:
    budget = Budget(frozenset({"a"}), usd=1.0, until_hours=2.5, cuts=False, name="day")
    instance = dataclasses.replace(problem(pool([100.0] * 6), Job("a", 1.0, (one_replica(),))), budgets=(budget,))
    with pytest.raises(ValueError, match=r"budget day: until_hours is 2.5, within a slot; give an edge of the slots"):
        solve(instance)
