"""The plan of one training workload over time, as it is shown in status."""

from datetime import datetime, timedelta

from trimtab.api.training import ScheduleSlot
from trimtab.plan.schedule.problem import JobSchedule, SlotRun
from trimtab.plan.training.options import TrainingOption

_NOW_HOURS = 1e-6
"""A run that begins within this begins now."""


def runs_now(schedule: JobSchedule) -> SlotRun | None:
    """The run that covers the present instant."""
    first = schedule.runs[0] if schedule.runs else None
    return first if first is not None and first.start_hours <= _NOW_HOURS else None


def starts_in(schedule: JobSchedule) -> timedelta | None:
    """Time until it runs next; None when the plan has no run."""
    return timedelta(hours=schedule.runs[0].start_hours) if schedule.runs else None


def _merge(slots: list[ScheduleSlot]) -> list[ScheduleSlot]:
    merged: list[ScheduleSlot] = []
    for slot in slots:
        last = merged[-1] if merged else None
        same = last is not None and (last.replicas, last.hardware_class) == (slot.replicas, slot.hardware_class)
        if last is not None and same and slot.start - last.end < timedelta(seconds=1):
            merged[-1] = last.model_copy(update={"end": slot.end})
        else:
            merged.append(slot)
    return merged


def schedule_slots(
    now: datetime, schedule: JobSchedule, options: tuple[TrainingOption, ...], horizon: timedelta, limit: int = 48
) -> tuple[ScheduleSlot, ...]:
    """The runs of a plan and the pauses before and between them, merged where nothing changes.

    Args:
        now: Start of the horizon.
        schedule: The plan; its modes are the options, in their order.
        options: The ways to run.
        horizon: How far the plan reaches: until then it pauses, when it has no run.
        limit: Most slots to return.
    """
    if not schedule.runs:
        return (ScheduleSlot(start=now, end=now + horizon, replicas=0, hardware_class=options[0].name),)
    slots: list[ScheduleSlot] = []
    at = now
    for run in schedule.runs:
        option = options[run.mode]
        start, end = now + timedelta(hours=run.start_hours), now + timedelta(hours=run.end_hours)
        if start - at >= timedelta(seconds=1):
            slots.append(ScheduleSlot(start=at, end=start, replicas=0, hardware_class=option.name))
        slots.append(ScheduleSlot(start=max(at, start), end=end, replicas=option.replicas, hardware_class=option.name))
        at = end
    return tuple(_merge(slots)[:limit])
