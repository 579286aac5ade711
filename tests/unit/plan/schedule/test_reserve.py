"""Slack that is kept for jobs to come: never more than there is, and less as it is used up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.schedule.problem import Job, Pool, RunMode, SchedulingProblem
from trimtab.plan.schedule.reserve import planned_deadline, solve_with_reserve
from trimtab.plan.schedule.solve import solve

HOURS = st.floats(0.0, 1000.0)


@given(earliest=HOURS, least=HOURS, slack=HOURS, share=st.floats(0.0, 1.0))
def test_a_planned_deadline_is_feasible_and_not_after_the_true_one(
    earliest: float, least: float, slack: float, share: float
) -> None:
    deadline = earliest + least + slack
    planned = planned_deadline(deadline, earliest, least, share)
    assert earliest + least - 1e-6 <= planned <= deadline


@pytest.mark.parametrize(("deadline", "planned"), [(20.0, 16.75), (7.0, 7.0), (5.0, 5.0), (math.inf, math.inf)])
def test_a_quarter_of_the_slack_is_kept_and_none_where_there_is_none(deadline: float, planned: float) -> None:
    assert planned_deadline(deadline, 3.0, 4.0) == planned


def test_who_cannot_keep_slack_is_planned_by_its_own_deadline_and_misses_are_told_against_it() -> None:
    """Three jobs of two hours on one unit: the last can only just be done in time, with no slack kept."""
    pool = Pool("pool", np.full(6, 1.0), np.zeros(6), np.full(6, 100.0))
    jobs = tuple(Job(f"job-{i}", 2.0, (RunMode(0, 1, 1.0, 1.0, 1.0),), deadline_hours=6.0) for i in range(3))
    schedule = solve_with_reserve(SchedulingProblem(np.arange(7.0), (pool,), jobs, usd_per_gram=1e-3))
    assert [plan.missed_by_hours for plan in schedule.jobs] == [0.0, 0.0, 0.0]
    assert max(plan.finish_hours for plan in schedule.jobs) == pytest.approx(6.0)


def test_slack_is_kept_where_it_can_be() -> None:
    pool = Pool("pool", np.full(10, 1.0), np.zeros(10), np.array([100.0] * 9 + [1.0]))
    job = Job("job", 1.0, (RunMode(0, 1, 1.0, 1.0, 1.0),), deadline_hours=10.0)
    problem = SchedulingProblem(np.arange(11.0), (pool,), (job,), usd_per_gram=1e-3)
    assert solve(problem).jobs[0].finish_hours == pytest.approx(10.0)
    assert solve_with_reserve(problem).jobs[0].finish_hours <= 7.75 + 1e-6
