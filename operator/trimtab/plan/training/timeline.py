"""The plan of one training workload over time, as it is shown in status."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trimtab.api.training import ScheduleSlot
from trimtab.plan.budget.problem import RESUME_HOURS
from trimtab.plan.schedule.problem import JobSchedule, SlotRun
from trimtab.plan.training.options import TrainingOption

MOST_SLOTS_SHOWN = 16
"""Status is for people: what comes later is planned anew many times before it comes."""
_SECOND_HOURS = 1.0 / 3600.0
_NOW_HOURS = 1e-6
"""A run that begins within this begins now."""


def runs_now(schedule: JobSchedule) -> SlotRun | None:
    """The run that covers the present instant."""
    first = schedule.runs[0] if schedule.runs else None
    return first if first is not None and first.start_hours <= _NOW_HOURS else None


def without_stub(schedule: JobSchedule) -> JobSchedule:
    """The plan of a job that does not run, without what it would begin for less than a budget begins anything for.

    A rest of a budget that pays for minutes is not worth a start; the work goes where the most of it is.
    """
    first = runs_now(schedule)
    if first is None:
        return schedule
    count, end = 1, first.end_hours
    while count < len(schedule.runs) and schedule.runs[count].start_hours <= end + _NOW_HOURS:
        end = schedule.runs[count].end_hours
        count += 1
    if end - first.start_hours >= RESUME_HOURS or count == len(schedule.runs):
        return schedule
    return replace(schedule, runs=schedule.runs[count:])


def starts_in(schedule: JobSchedule) -> timedelta | None:
    """Time until it runs next; None when the plan has no run."""
    return timedelta(hours=schedule.runs[0].start_hours) if schedule.runs else None


@dataclass(frozen=True)
class _Stretch:
    """A run or a pause, in hours from now."""

    start_hours: float
    end_hours: float
    replicas: int
    hardware_class: str


def _stretches(schedule: JobSchedule, options: tuple[TrainingOption, ...]) -> list[_Stretch]:
    """The runs and the pauses between them, merged where nothing changes."""
    merged: list[_Stretch] = []
    at = 0.0
    for run in schedule.runs:
        option = options[run.mode]
        if run.start_hours - at > _SECOND_HOURS:
            merged.append(_Stretch(at, run.start_hours, 0, option.name))
        last = merged[-1] if merged else None
        if last is not None and (last.replicas, last.hardware_class) == (option.replicas, option.name):
            merged[-1] = replace(last, end_hours=run.end_hours)
        else:
            merged.append(_Stretch(max(at, run.start_hours), run.end_hours, option.replicas, option.name))
        at = run.end_hours
    return merged


def schedule_slots(
    now: datetime, schedule: JobSchedule, options: tuple[TrainingOption, ...], horizon: timedelta
) -> tuple[ScheduleSlot, ...]:
    """The runs of a plan and the pauses before and between them, merged where nothing changes.

    Args:
        now: Start of the horizon.
        schedule: The plan; its modes are the options, in their order.
        options: The ways to run.
        horizon: How far the plan reaches: until then it pauses, when it has no run.
    """
    if not schedule.runs:
        return (ScheduleSlot(start=now, end=now + horizon, replicas=0, hardware_class=options[0].name),)
    return tuple(
        ScheduleSlot(
            start=now + timedelta(hours=stretch.start_hours),
            end=now + timedelta(hours=stretch.end_hours),
            replicas=stretch.replicas,
            hardware_class=stretch.hardware_class,
        )
        for stretch in _stretches(schedule, options)[:MOST_SLOTS_SHOWN]
    )
