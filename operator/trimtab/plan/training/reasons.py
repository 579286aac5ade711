"""Why a training workload runs as it does, or waits: for `kubectl describe` and `trimtab explain`."""

from datetime import datetime, timedelta

from trimtab.api.common import Reason
from trimtab.plan.capacity import Capacity
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.schedule.problem import JobSchedule
from trimtab.plan.snapshot import IntensityPoint
from trimtab.plan.training.options import TrainingOption
from trimtab.plan.training.problem import Candidate
from trimtab.plan.training.slack import span
from trimtab.plan.training.timeline import starts_in

_UNIT = 1000.0
"""Prices are shown for so many samples."""


def _price(option: TrainingOption) -> str:
    text = f"{option.score_usd_per_sample * _UNIT:.3g} USD per {_UNIT:.0f} samples" if option.speed_known else ""
    return f"{option.name} ({option.hardware.spec.grid_zone}) {text}".strip()


def class_reason(candidate: Candidate, chosen: TrainingOption) -> Reason:
    """Why this class: the price of its samples, and the next best class."""
    job = candidate.state.job
    firsts = {o.name: o for o in reversed(candidate.options)}
    others = [o for o in firsts.values() if o.name != chosen.name and o.speed_known == chosen.speed_known]
    runner_up = min(others, key=lambda o: (o.score_usd_per_sample, o.name), default=None)
    held = job is not None and job.hardware_class == chosen.name
    code = "KeepsClass" if held else "CheapestClass" if runner_up else "OnlyClass"
    message = f"{chosen.replicas} replicas on {_price(chosen)}" + (", carbon priced in" if chosen.speed_known else "")
    if candidate.shared_from:
        message += (
            f"; alone it would have {candidate.shared_from}: the class is shared for the least mean completion time"
        )
    return Reason(code=code, message=message, alternative=f"next: {_price(runner_up)}" if runner_up else None)


def waiting_reason(
    candidate: Candidate,
    schedule: JobSchedule,
    planned: TrainingOption,
    points: tuple[IntensityPoint, ...],
    capacity: Capacity,
    now: datetime,
) -> Reason:
    """Why it does not run now although nothing forbids it: capacity that others hold, or a better time ahead.

    Args:
        candidate: The workload.
        schedule: Its plan.
        planned: How it will run.
        points: Carbon intensity of the grid of that class.
        capacity: What is left once those that run now have got theirs.
        now: The instant of the decision.
    """
    begins = starts_in(schedule)
    when = f"; by plan it runs in {span(begins)}" if begins is not None else ""
    free, resource = capacity.left(planned.name), planned.hardware.spec.resource_name
    if free + 1e-9 < planned.units:
        text = f"{planned.name}: {free:g} {resource} free, the gang needs {planned.units:g}{when}"
        return Reason(code="CapacityShort", message=text, alternative=schedule.alternative or None)
    present = intensity_at(points, now)
    ahead = None
    if begins is not None:
        last = now + timedelta(hours=schedule.runs[-1].end_hours)
        ahead = mean_intensity(points, now + begins, last)
    zone = planned.hardware.spec.grid_zone
    figures = f"{zone} is at {present:.0f} gCO2e/kWh, then {ahead:.0f} on average" if present and ahead else zone
    text = f"waits for a cheaper time{when}: {figures}"
    return Reason(code="CheaperLater", message=text, alternative=schedule.alternative or None)
