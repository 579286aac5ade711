"""Slack that is kept for jobs that nobody knows of yet: the schedule where pools are shared and more jobs will come."""

from dataclasses import replace

from trimtab.plan.schedule.problem import Job, JobSchedule, Schedule, SchedulingProblem
from trimtab.plan.schedule.solve import solve

RESERVED_SHARE = 0.25
"""Of the slack that a job has left, kept back where units are shared and short.

A plan that uses up all slack has none when more jobs arrive than before. With a quarter kept back, replays of the GAIA
traces at 1.2 times their mean demand miss less than half of the deadlines that they miss without, for at most 0.2 %
more carbon.
"""


def planned_deadline(
    deadline_hours: float, earliest_hours: float, least_hours: float, share: float = RESERVED_SHARE
) -> float:
    """The deadline to plan by, so that a share of the slack left is kept; it nears the true one as slack is used up.

    Args:
        deadline_hours: When the job has to be done; may be infinite.
        earliest_hours: When it may start, at the earliest now.
        least_hours: Running time that it needs at least.
        share: Of the slack, 0..1.
    """
    slack = deadline_hours - earliest_hours - least_hours
    if not 0.0 < slack < float("inf"):
        return deadline_hours
    return deadline_hours - share * slack


MOST_WITH_RESERVE = 2000
"""Of more jobs no slack is kept: solving again takes too long for a loop, and who comes then changes little."""
_NEVER_HOURS = 1e6
"""Stands for the end of a job that does not end within the horizon: later than all that do."""


def solve_with_reserve(problem: SchedulingProblem) -> Schedule:
    """Solve with a part of each job's slack kept back; jobs that cannot keep any are planned by their own deadlines.

    Only jobs that may be shifted (no worth of being done earlier) have slack to keep.

    Args:
        problem: With the jobs' own deadlines; what is missed is said against these.
    """
    kept = [_with_reserve(job) for job in problem.jobs]
    few = len(problem.jobs) <= MOST_WITH_RESERVE
    if not few or all(reserved is job for reserved, job in zip(kept, problem.jobs, strict=True)):
        return solve(problem)
    first = solve(replace(problem, jobs=tuple(kept)))
    late = [plan.missed_by_hours > 0.0 for plan in first.jobs]
    if not any(late):
        return _against(problem.jobs, first)
    urgent = (job if missed else reserved for job, reserved, missed in zip(problem.jobs, kept, late, strict=True))
    second = solve(replace(problem, jobs=tuple(urgent)))
    plans = [_against(problem.jobs, plan) for plan in (second, first)]
    if min(_lateness(problem, plan) for plan in plans) > 0.0:
        # What is kept for jobs that may come must not make those late that are there.
        plans.append(solve(problem))
    return min(plans, key=lambda plan: _lateness(problem, plan))


def _with_reserve(job: Job) -> Job:
    fastest = max((mode.work_per_hour for mode in job.modes), default=0.0)
    if job.delay_usd_per_hour > 0.0 or fastest <= 0.0:
        return job
    deadline = planned_deadline(job.deadline_hours, max(job.earliest_hours, 0.0), job.work / fastest)
    return job if deadline == job.deadline_hours else replace(job, deadline_hours=deadline)


def _against(jobs: tuple[Job, ...], schedule: Schedule) -> Schedule:
    """The schedule, with what is missed counted against the jobs' own deadlines."""
    return replace(schedule, jobs=tuple(_missed(job, plan) for job, plan in zip(jobs, schedule.jobs, strict=True)))


def _missed(job: Job, plan: JobSchedule) -> JobSchedule:
    if plan.missed_by_hours <= 0.0 or plan.finish_hours > _NEVER_HOURS:
        return plan
    late = plan.finish_hours - job.deadline_hours
    return replace(plan, missed_by_hours=late if late > 1e-9 else 0.0)


def _lateness(problem: SchedulingProblem, schedule: Schedule) -> float:
    """Hours by which a schedule misses the jobs' own deadlines, in all."""
    return sum(
        max(min(plan.finish_hours, _NEVER_HOURS) - job.deadline_hours, 0.0)
        for job, plan in zip(problem.jobs, schedule.jobs, strict=True)
    )
