"""What a source of carbon intensity gave, and why it gave nothing. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import Any

from trimtab.observe.trace import MOST_GRAMS_PER_KWH
from trimtab.plan.snapshot import IntensityPoint

_HOUR = timedelta(hours=1)


class Reason(StrEnum):
    """Why there is no (fresh) data: reasons of the condition CarbonDataFresh."""

    STALE = "Stale"
    """There is data, and it is too old."""
    UNAUTHORIZED = "Unauthorized"
    """The source refuses the key."""
    NO_KEY = "NoKey"
    """The Secret, or the key in it, cannot be read."""
    RATE_LIMITED = "RateLimited"
    """The source was asked too often."""
    UNREACHABLE = "Unreachable"
    """No answer, or a failure of the source itself (HTTP 5xx)."""
    NOT_FOUND = "NotFound"
    """The source does not know the zone."""
    BAD_ANSWER = "BadAnswer"
    """What answers does not keep to the source's published format."""
    NO_DATA = "NoData"
    """The source answers, and has no figure."""


class SignalError(Exception):
    """A source could not be used.

    Attributes:
        reason: For machines.
        retry_after: How long the source wants to be left alone, if it says so.
    """

    def __init__(self, reason: Reason, message: str, retry_after: timedelta | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True)
class Signal:
    """What a source gave at one instant; both series in order of time, each point holds until the next one starts."""

    history: tuple[IntensityPoint, ...] = ()
    """What was measured (or estimated by the source) up to the present."""
    forecast: tuple[IntensityPoint, ...] = ()
    """What the source expects; it may begin before the present."""
    forecast_made_at: datetime | None = None
    """When, by the source's own words; None where it does not say."""
    note: str = ""
    """Something worth to know, such as that the plan of the account has no forecast."""

    @cached_property
    def step(self) -> timedelta:
        """Usual length of an interval; an hour where one point says nothing."""
        longest = max((self.history, self.forecast), key=len)
        gaps = [(b.start - a.start).total_seconds() for a, b in pairwise(longest)]
        return timedelta(seconds=median(gaps)) if gaps else _HOUR


def series(points: Iterable[tuple[datetime, float]]) -> tuple[IntensityPoint, ...]:
    """Points in order of time; a time that is given twice takes its last figure."""
    kept = dict(points)
    return tuple(IntensityPoint(start=start, grams_per_kwh=kept[start]) for start in sorted(kept))


def time_of(value: Any, what: str) -> datetime:
    """A time in ISO 8601; without a zone it is UTC.

    Raises:
        SignalError: when it is none.
    """
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise SignalError(Reason.BAD_ANSWER, f"{what}: {_short(value)} is not a time") from error


def grams_of(value: Any, what: str, factor: float = 1.0) -> float:
    """An intensity in gCO2e/kWh.

    Args:
        value: As it stands in the answer.
        what: What it is, for the error.
        factor: Grams per kWh in one unit of the value.

    Raises:
        SignalError: when it is no number, or no grid can have it.
    """
    grams = float(value) * factor if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0.0 <= grams <= MOST_GRAMS_PER_KWH:
        raise SignalError(
            Reason.BAD_ANSWER,
            f"{what}: {_short(value)} is not an intensity of 0 to {MOST_GRAMS_PER_KWH:g} gCO2e/kWh",
        )
    return grams


def list_of(body: Any, key: str, what: str) -> list[Any]:
    """A list in a JSON object.

    Raises:
        SignalError: when there is none.
    """
    value = body.get(key) if isinstance(body, dict) else None
    if not isinstance(value, list):
        raise SignalError(Reason.BAD_ANSWER, f"{what} has no list {key!r}")
    return value


def entry(value: Any, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        SignalError: when it is something else.
    """
    if not isinstance(value, dict):
        raise SignalError(Reason.BAD_ANSWER, f"{what}: {_short(value)} is not an object")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
