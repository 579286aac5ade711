"""Rules of a policy that switch by time or by class: eco mode, working hours, SLO classes."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from trimtab.api.budget import BudgetAction
from trimtab.api.quantity import PositiveDuration
from trimtab.api.schema import ApiModel, Cel, ListSet, ObjectName, StatusModel
from trimtab.api.timezone import TimeZone


class SloClass(StrEnum):
    """How much a workload may be touched for the sake of a budget."""

    LATENCY_CRITICAL = "latency-critical"
    """Only cheaper variants and fewer replicas while its targets hold; never below them, never suspended."""
    STANDARD = "standard"
    """Every action; below its targets or suspended only when nothing else keeps the budget."""
    BEST_EFFORT = "best-effort"
    """Every action, and before all others."""


class EcoMode(ApiModel):
    """Save more than usual for a while. It ends by itself."""

    cel_rules: ClassVar = (
        Cel(
            "self.actions.all(a, a != 'Suspend')",
            "eco mode does not suspend; leave Suspend out (to stop workloads use spec.suspend or windows)",
            ".actions",
        ),
    )
    enabled_by: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Who switched it on: a person or a system, for those who wonder why."""
    since: datetime | None = None
    """When it begins; unset means when the operator first sees it. A new instant switches it on again."""
    max_duration: Annotated[
        PositiveDuration,
        Cel("duration(self) <= duration('168h')", "eco mode lasts a week (168h) at most"),
    ]
    """It is over after this time, whether it is switched off or not; a week at most."""
    actions: Annotated[
        tuple[BudgetAction, ...],
        Field(min_length=1, max_length=4),
    ] = (BudgetAction.CHEAPER_VARIANT, BudgetAction.FEWER_REPLICAS, BudgetAction.LATER_SLOTS, BudgetAction.SPOT)
    """What is done meanwhile, as for a budget that is nearly exhausted: CheaperVariant, FewerReplicas, LaterSlots,
    Spot."""


class EcoModeStatus(StatusModel):
    """Who switched eco mode on, and until when."""

    enabled_by: Annotated[str, Field(max_length=253)] = ""
    """From spec."""
    since: datetime
    """When it began."""
    until: datetime
    """When it is over by itself."""
    active: bool = False
    """Whether it is on now."""


class WindowAction(StrEnum):
    """What a window does to the workloads."""

    SCALE_TO_ZERO = "ScaleToZero"
    """Services have no replicas: requests fail meanwhile. Trainings are left alone."""
    SUSPEND = "Suspend"
    """Trainings are suspended after a checkpoint, and services have no replicas."""
    SCALE_DOWN_TO = "ScaleDownTo"
    """Services and trainings have at most so many replicas."""


class WindowSide(StrEnum):
    """Whether a window's action holds in its hours or in all others."""

    INSIDE = "Inside"
    OUTSIDE = "Outside"


class Weekday(StrEnum):
    """A day of the week."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


_TIME_PATTERN = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_TIME_MESSAGE = 'must be a time of day from "00:00" to "24:00", such as "08:30"'


def _check_time(value: str) -> str:
    if not re.fullmatch(_TIME_PATTERN, value):
        raise ValueError(f"{value!r}: {_TIME_MESSAGE}")
    return value


TimeOfDay = Annotated[
    str,
    StringConstraints(max_length=5),
    AfterValidator(_check_time),
    Cel(f"self.matches('{_TIME_PATTERN}')", _TIME_MESSAGE),
]
"""A time of day, as the clock on the wall shows it."""


class Window(ApiModel):
    """Hours of the week in which, or outside of which, workloads are scaled down."""

    cel_rules: ClassVar = (
        Cel(
            "has(self.replicas) == (self.action == 'ScaleDownTo')",
            "replicas has to be set for the action ScaleDownTo, and only for it",
            ".replicas",
        ),
        Cel("self.start != self.end", "a window needs some length: for a whole day write 00:00 to 24:00", ".end"),
        Cel("self.start != '24:00'", "a window starts at 23:59 at the latest", ".start"),
    )
    name: ObjectName
    """Names it in messages."""
    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7), ListSet()] = tuple(Weekday)
    """Days on which it starts."""
    start: TimeOfDay
    """From this time of day on, such as "08:00"."""
    end: TimeOfDay
    """Until this time of day, such as "20:00". One that is before the start is of the next day."""
    time_zone: TimeZone = "UTC"
    """Where the clock stands, such as Europe/Madrid."""
    when: WindowSide = WindowSide.OUTSIDE
    """Outside (the default): these are working hours, and the action holds in all others. Inside: the action holds in
    these hours."""
    action: WindowAction
    """ScaleToZero: services have no replicas, requests fail meanwhile. Suspend: trainings are suspended as well.
    ScaleDownTo: at most `replicas`."""
    replicas: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Most replicas of each workload, for ScaleDownTo."""
