"""Constraints that no schedule breaks, whatever the problem."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.schedule.instances import check, one_replica, pool, problem, problems, work_done
from trimtab.plan.schedule.capacity import Capacity
from trimtab.plan.schedule.problem import Budget, Job, Pool, RunMode, SchedulingProblem
from trimtab.plan.schedule.solve import solve
from trimtab.plan.schedule.tables import build_tables


@settings(max_examples=60)
@given(problems())
def test_capacity_times_work_and_figures_hold(instance: SchedulingProblem) -> None:
    check(instance, solve(instance))


@settings(max_examples=20)
@given(problems(jobs=4, slots=12))
def test_the_same_problem_has_the_same_schedule(instance: SchedulingProblem) -> None:
    assert solve(instance) == solve(instance)


@settings(max_examples=20)
@given(problems(bounded=False))
def test_the_order_of_the_jobs_does_not_matter_where_there_is_room(instance: SchedulingProblem) -> None:
    backwards = dataclasses.replace(instance, jobs=instance.jobs[::-1])
    for plan, other in zip(solve(instance).jobs, solve(backwards).jobs[::-1], strict=True):
        assert plan.runs == other.runs


@settings(max_examples=40)
@given(problems(bounded=False))
def test_every_deadline_is_kept_that_a_job_can_keep(instance: SchedulingProblem) -> None:
    for job, plan in zip(instance.jobs, solve(instance).jobs, strict=True):
        quickest = job.earliest_hours + min(
            job.work / mode.work_per_hour + (0.0 if index == job.running else job.switch_hours)
            for index, mode in enumerate(job.modes)
        )
        if quickest <= min(job.deadline_hours, float(instance.edges_hours[-1])) + 1e-9:
            assert plan.missed_by_hours == 0.0
            assert plan.finish_hours <= job.deadline_hours + 1e-6
        elif math.isfinite(job.deadline_hours):
            assert plan.missed_by_hours > 0.0
            assert plan.bound_by == "Deadline"


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_deadlines_are_kept_where_the_problem_was_cut_from_a_plan_that_keeps_them(seed: int, free: int) -> None:
    """Jobs of one unit cut from a full pool: their deadlines are the ends of their pieces and a little more."""
    random = np.random.default_rng(seed)
    jobs = []
    for lane in range(free):
        at = 0.0
        while at < 20.0:
            length = float(random.integers(1, 6))
            slack = float(random.integers(2, 8))
            jobs.append(
                Job(
                    f"{lane}-{at}",
                    length,
                    (one_replica(),),
                    earliest_hours=max(at - 1.0, 0.0),
                    deadline_hours=at + length + slack,
                )
            )
            at += length
    instance = problem(pool(random.uniform(50.0, 500.0, 40).tolist(), float(free)), *jobs)
    schedule = solve(instance)
    check(instance, schedule)
    assert sum(plan.missed_by_hours > 0.0 for plan in schedule.jobs) == 0


def test_a_deadline_out_of_reach_is_missed_by_as_little_as_can_be() -> None:
    job = Job("late", 6.0, (one_replica(),), deadline_hours=4.0)
    plan = solve(problem(pool([300.0, 100.0] * 6), job)).jobs[0]
    assert plan.finish_hours == pytest.approx(6.0)
    assert plan.missed_by_hours == pytest.approx(2.0)
    assert plan.bound_by == "Deadline"


def test_work_beyond_the_horizon_is_said_to_be_undone() -> None:
    plan = solve(problem(pool([100.0] * 5), Job("long", 9.0, (one_replica(),)))).jobs[0]
    assert math.isinf(plan.finish_hours)
    assert plan.bound_by == "Work"
    assert sum(run.end_hours - run.start_hours for run in plan.runs) == pytest.approx(5.0)


def test_a_job_that_no_mode_fits_does_not_run() -> None:
    plan = solve(problem(pool([100.0] * 5), Job("nowhere", 1.0, ()))).jobs[0]
    assert (plan.runs, plan.bound_by) == ((), "NoMode")


def test_a_gang_wider_than_the_pool_never_runs_in_part() -> None:
    instance = problem(pool([100.0] * 6, 3.0), Job("wide", 2.0, (one_replica(units=4.0),)))
    plan = solve(instance).jobs[0]
    assert plan.runs == ()
    assert math.isinf(plan.finish_hours)


def test_the_more_important_of_two_goes_first() -> None:
    jobs = [Job(name, 2.0, (one_replica(),), deadline_hours=2.0, priority=rank) for name, rank in (("b", 0), ("a", 5))]
    plans = {plan.key: plan for plan in solve(problem(pool([100.0] * 6, 1.0), *jobs)).jobs}
    assert plans["a"].missed_by_hours == 0.0
    assert plans["b"].finish_hours == pytest.approx(4.0)
    assert plans["b"].bound_by == "Capacity"


def test_of_equal_jobs_the_first_in_the_queue_goes_first() -> None:
    jobs = [Job(name, 2.0, (one_replica(),), deadline_hours=2.0) for name in ("z", "a", "m")]
    plans = solve(problem(pool([100.0] * 8, 1.0), *jobs)).jobs
    assert [plan.finish_hours for plan in plans] == pytest.approx([2.0, 4.0, 6.0])


@pytest.mark.parametrize("resource", ["usd", "grams", "kilowatt_hours"])
@settings(max_examples=20)
@given(instance=problems(jobs=6, delay=False), share=st.floats(0.05, 1.2))
def test_budgets_hold(resource: str, instance: SchedulingProblem, share: float) -> None:
    free = solve(instance)
    keys = frozenset(job.key for job in instance.jobs[: max(len(instance.jobs) // 2, 1)])
    limit = share * sum(getattr(plan, resource) for plan in free.jobs if plan.key in keys)
    bounded = dataclasses.replace(instance, budgets=(Budget(keys, **{resource: limit}),))
    schedule = solve(bounded)
    check(bounded, schedule)
    assert sum(getattr(plan, resource) for plan in schedule.jobs if plan.key in keys) <= limit * (1.0 + 1e-6) + 1e-9


def test_a_budget_moves_work_to_cheaper_hours_before_it_cuts_any() -> None:
    """Money is dear at night, carbon by day: a budget of carbon that the night can hold costs no work."""
    day_and_night = Pool(
        "pool", np.full(12, np.inf), np.array([0.1] * 6 + [0.4] * 6), np.array([500.0] * 6 + [50.0] * 6)
    )
    job = Job("a", 4.0, (one_replica(),))
    instance = problem(day_and_night, job)
    assert solve(instance).jobs[0].runs[-1].end_hours <= 6.0
    bounded = dataclasses.replace(instance, budgets=(Budget(frozenset({"a"}), grams=4.0 * 0.3 * 60.0),))
    plan = solve(bounded).jobs[0]
    assert math.isfinite(plan.finish_hours)
    assert plan.runs[0].start_hours >= 6.0


def test_a_budget_that_cannot_hold_all_work_is_what_binds() -> None:
    jobs = [Job(name, 4.0, (one_replica(),), priority=rank) for name, rank in (("low", 0), ("high", 1))]
    instance = problem(pool([100.0] * 12), *jobs)
    bounded = dataclasses.replace(instance, budgets=(Budget(frozenset({"low", "high"}), usd=0.6),))
    low, high = solve(bounded).jobs
    assert high.usd == pytest.approx(0.4)
    assert low.usd == pytest.approx(0.2)
    assert low.bound_by == "Budget"


def test_above_its_ceiling_a_job_without_a_deadline_waits() -> None:
    job = Job("clean", 2.0, (one_replica(),), max_grams_per_kwh=200.0, delay_usd_per_hour=10.0)
    plan = solve(problem(pool([300.0] * 4 + [150.0] * 4), job)).jobs[0]
    assert [run.slot for run in plan.runs] == [4, 5]
    assert plan.bound_by == "Ceiling"
    never = solve(problem(pool([300.0] * 8), job)).jobs[0]
    assert (never.runs, never.missed_by_hours) == ((), 0.0)
    assert math.isinf(never.finish_hours)


def test_above_its_ceiling_a_job_runs_no_longer_than_its_deadline_forces_it_to() -> None:
    job = Job("clean", 3.0, (one_replica(),), max_grams_per_kwh=200.0, deadline_hours=6.0)
    plan = solve(problem(pool([300.0, 300.0, 150.0, 190.0, 300.0, 210.0]), job)).jobs[0]
    assert [run.slot for run in plan.runs] == [2, 3, 5]
    assert plan.missed_by_hours == 0.0


@settings(max_examples=30)
@given(problems(jobs=6))
def test_what_is_taken_can_be_given_back(instance: SchedulingProblem) -> None:
    tables = build_tables(instance)
    capacity = Capacity(tables)
    before = capacity.copy()
    schedule = solve(instance)
    pieces = [[(r.slot, r.mode, r.start_hours, r.end_hours) for r in plan.runs] for plan in schedule.jobs]
    for row, runs in enumerate(pieces):
        capacity.release(row, runs)
    for row, runs in enumerate(pieces):
        for piece in runs:
            want_slot, want_mode, start, end = piece
            assert capacity.most[tables.pool[row, want_mode], want_slot] >= tables.units[row, want_mode]
            assert end > start
    capacity.put_back(before)
    assert np.array_equal(capacity.least, tables.free_units)


def test_a_pool_with_a_series_of_the_wrong_length_is_refused() -> None:
    wrong = Pool("gpu", np.ones(3), np.ones(4), np.ones(4))
    with pytest.raises(ValueError, match=r"pool gpu: free_units has shape \(3,\)"):
        solve(SchedulingProblem(np.arange(5.0), (wrong,), ()))


def test_work_is_done_exactly_across_a_start_that_is_longer_than_a_slot() -> None:
    job = Job("slow", 2.0, (RunMode(0, 2, 2.0, 1.0, 0.2),), switch_hours=1.5)
    plan = solve(problem(pool([400.0, 300.0, 100.0, 100.0, 100.0, 300.0]), job)).jobs[0]
    assert work_done(job, plan) == pytest.approx(2.0)
    assert sum(run.end_hours - run.start_hours for run in plan.runs) == pytest.approx(3.5)
