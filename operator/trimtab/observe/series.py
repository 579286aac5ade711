"""Series from Prometheus, cleaned: only finite numbers that are not negative get further than here. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Series:
    """One series with its samples in order of time."""

    labels: Mapping[str, str] = field(hash=False)
    points: tuple[tuple[float, float], ...]
    """Unix time in seconds, and value."""

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.labels.get("__name__", "")

    def label(self, name: str) -> str:
        """A label's value; empty when it is not there."""
        return self.labels.get(name, "")

    @property
    def last(self) -> float | None:
        """The newest value; None without any."""
        return self.points[-1][1] if self.points else None

    @property
    def last_at(self) -> datetime | None:
        """When the newest value was scraped."""
        return at_time(self.points[-1][0]) if self.points else None

    def rate(self) -> float | None:
        """Increase of a counter for each second between its first and last sample; None with fewer than two.

        Unlike PromQL's rate() it does not divide by the whole window: a counter that has just begun is not made small.
        """
        if len(self.points) < 2 or self.points[-1][0] <= self.points[0][0]:
            return None
        values = [value for _, value in self.points]
        # A counter that fell was reset: what it shows now came since.
        increase = sum(after - before if after >= before else after for before, after in pairwise(values))
        rate = increase / (self.points[-1][0] - self.points[0][0])
        return rate if math.isfinite(rate) else None


def at_time(unix_seconds: float) -> datetime:
    """Unix time as an aware datetime."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC)


_LARGEST = 2.0**64


def clean(value: object) -> float | None:
    """A sample's value as a number; None for NaN, infinities, negative numbers and whatever is none.

    Nothing that is read here counts beyond 64 bits: a larger number is no measurement, and sums of some would overflow.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number <= _LARGEST else None


def parse_result(result: Iterable[Mapping[str, Any]]) -> list[Series]:
    """The result of an instant query (a vector, or the matrix of a range selector) as series.

    Those without a usable sample are left out.
    """
    parsed = []
    for item in result:
        raw = item.get("values") or ([item["value"]] if "value" in item else [])
        points = tuple((float(at), number) for at, value in raw if (number := clean(value)) is not None)
        if points:
            parsed.append(Series(dict(item.get("metric") or {}), points))
    return parsed


def by_workload(series: Iterable[Series]) -> Mapping[str, list[Series]]:
    """Series by `namespace/name` of the workload in their labels."""
    grouped: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        grouped[f"{one.label('namespace')}/{one.label('workload')}"].append(one)
    return grouped


def total(values: Iterable[float | None]) -> float | None:
    """Sum of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
