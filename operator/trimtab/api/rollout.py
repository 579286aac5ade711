"""How a ServingWorkload changes from one variant to another, and how such a change is going."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.quantity import Fraction, Measured, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, ListMap, ObjectName, ShortText, StatusModel


def _between(field: str, least: str, most: str) -> Cel:
    value = f"quantity(string(self.{field}))"
    return Cel(
        f"!has(self.{field}) || !isQuantity(string(self.{field})) || "
        f"({value}.compareTo(quantity('{least}')) >= 0 && {value}.compareTo(quantity('{most}')) <= 0)",
        f"{field} must be a share between {least} and {most}",
        f".{field}",
    )


class RolloutStrategy(StrEnum):
    """Whether a variant is tried on some replicas first."""

    SWITCH = "Switch"
    CANARY = "Canary"


class Inconclusive(StrEnum):
    """What becomes of a candidate that was shown neither good nor bad."""

    RETURN = "Return"
    PROMOTE = "Promote"


class Rollout(ApiModel):
    """How a change of variant is carried out."""

    cel_rules: ClassVar = (
        Cel(
            "![self.?minDuration, self.?maxDuration].all(x, x.hasValue() && type(x.value()) == string) || "
            "duration(self.minDuration) < duration(self.maxDuration)",
            "minDuration must be shorter than maxDuration",
            ".minDuration",
        ),
        _between("share", "0.01", "0.5"),
        _between("significance", "0.0001", "0.2"),
        _between("maxErrorIncrease", "0.0001", "0.5"),
    )
    strategy: RolloutStrategy = RolloutStrategy.SWITCH
    """Switch changes every replica at once; Canary serves the new variant from some replicas first, compares what both
    do under the same load, and goes on or back by itself. What must be changed at once, to hold a target or a limit, is
    switched under either."""
    share: Fraction = 0.2
    """Part of the ready replicas that serves the candidate, one at least. 0.5 compares both as in an A/B test."""
    significance: Fraction = 0.05
    """Chance at the most that a candidate that is no worse is sent back, however often the figures are looked at; and
    that one whose errors rise by more than maxErrorIncrease is promoted."""
    max_error_increase: Fraction = 0.01
    """By how much the share of failed requests may be above that of the variant that serves."""
    min_duration: PositiveDuration = timedelta(minutes=3)
    """Time that the candidate serves before it can be promoted."""
    max_duration: PositiveDuration = timedelta(minutes=30)
    """Time after which it is decided by what `inconclusive` says."""
    inconclusive: Inconclusive = Inconclusive.RETURN
    """What becomes of a candidate that was shown neither good nor bad, as for want of requests."""
    retry_after: PositiveDuration = timedelta(hours=24)
    """Time for which a candidate that was sent back is not tried again."""


class RolloutPhase(StrEnum):
    """How far a roll-out is."""

    RUNNING = "Running"
    PROMOTED = "Promoted"
    RETURNED = "Returned"


class RolloutArm(StatusModel):
    """What one of the two variants did since the candidate began to serve."""

    name: ObjectName
    """Name of the ModelVariant."""
    requests: Measured = 0.0
    """Requests that it answered or failed."""
    failures: Measured = 0.0
    """Requests that it failed."""
    most_failures: Measured | None = None
    """Its share of failed requests is at most this, at the significance asked for and at any time of looking."""
    late_intervals: int = 0
    """Intervals in which it broke the latency target and the other did not."""


class RolloutStatus(StatusModel):
    """The roll-out in progress, or the last one."""

    phase: RolloutPhase
    """Running, or how it ended."""
    stable: ObjectName
    """The variant that served before."""
    candidate: ObjectName
    """The variant that is tried."""
    started_at: datetime
    """When the candidate was first asked to serve."""
    ended_at: datetime | None = None
    """When it was promoted or sent back."""
    arms: Annotated[tuple[RolloutArm, ...], Field(max_length=2), ListMap(("name",))] = ()
    """What the two did."""
    reason: Annotated[str, Field(max_length=64)] = ""
    """Why it stands as it does, in CamelCase."""
    message: ShortText = ""
    """The same for a person, with the figures."""


class RejectedVariant(StatusModel):
    """A candidate that was sent back."""

    name: ObjectName
    """Name of the ModelVariant."""
    until: datetime
    """It is not tried before this."""
    spec_hash: Annotated[str, Field(max_length=64)] = ""
    """Which making of the variant it was: one that is made anew may be tried at once."""
