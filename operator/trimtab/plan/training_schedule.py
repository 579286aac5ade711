"""The plan of one training workload over time, as far as the carbon forecast reaches."""

from datetime import datetime, timedelta

from trimtab.api.training import ScheduleSlot, TrainingAction
from trimtab.plan.snapshot import IntensityPoint
from trimtab.plan.training_options import TrainingOption


def _merge(slots: list[ScheduleSlot]) -> list[ScheduleSlot]:
    merged: list[ScheduleSlot] = []
    for slot in slots:
        last = merged[-1] if merged else None
        if last and last.replicas == slot.replicas and last.hardware_class == slot.hardware_class:
            merged[-1] = last.model_copy(update={"end": slot.end})
        else:
            merged.append(slot)
    return merged


def schedule(
    now: datetime,
    action: TrainingAction,
    option: TrainingOption,
    points: tuple[IntensityPoint, ...],
    ceiling: int | None,
    need: timedelta | None,
    limit: int,
) -> tuple[ScheduleSlot, ...]:
    """Slots from now on: runs wherever the forecast is under the ceiling, until the work is done.

    Args:
        now: Start of the first slot.
        action: Decided for the present slot.
        option: Class and replicas to run with.
        points: Intensity of its zone.
        ceiling: Of the policy; None means that every slot will do.
        need: Running time that is left; None when unknown, then only the present slot is planned.
        limit: Most slots to return.
    """
    ahead = [p for p in points if p.start > now]
    if need is None:
        end = ahead[0].start if ahead else now + timedelta(hours=1)
        running = action is TrainingAction.RUN
        slot = ScheduleSlot(start=now, end=end, replicas=option.replicas if running else 0, hardware_class=option.name)
        return (slot,)
    slots: list[ScheduleSlot] = []
    left, start, runs = need, now, action is TrainingAction.RUN
    for point in [*ahead, None]:
        end = point.start if point else start + max(left, timedelta(hours=1))
        if runs:
            end = min(end, start + left)
            left -= end - start
        replicas = option.replicas if runs else 0
        slots.append(ScheduleSlot(start=start, end=end, replicas=replicas, hardware_class=option.name))
        if left <= timedelta(0) or point is None:
            break
        start, runs = point.start, ceiling is None or point.grams_per_kwh <= ceiling
    return tuple(_merge(slots)[:limit])
