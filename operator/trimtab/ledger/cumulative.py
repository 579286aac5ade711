"""Meters as whole numbers that only grow: so sums are exact, and the same however time is cut.

Time is in milliseconds since 1970, amounts are in whole units (nanoseconds of CPU time, microjoules). Between two
samples a meter is taken to have grown evenly; what it grew by up to an instant is rounded down from the earlier of the
two samples, which depends on these samples alone and not on which interval is asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

LONGEST_STEP_MS = 120_000
"""Two samples further apart than this have a hole between them: what was metered over it is known as a whole, and an
estimate at each instant."""

Points = Iterable[tuple[int, int]]
"""Time (ms) and value, in order of time."""


@dataclass(frozen=True, slots=True)
class Cumulative:
    """What a meter has shown in all, at the times of its samples."""

    times: tuple[int, ...]
    totals: tuple[int, ...]

    @classmethod
    def counter(cls, points: Points) -> "Cumulative | None":
        """From a counter. One that fell was reset: what it shows now came since. None without samples."""
        times: list[int] = []
        totals: list[int] = []
        before, total = 0, 0
        for at, value in points:
            if times:
                total += value - before if value >= before else value
            times.append(at)
            totals.append(total)
            before = value
        return cls(tuple(times), tuple(totals)) if times else None

    @classmethod
    def power(cls, points: Points) -> "Cumulative | None":
        """From a gauge of power: microwatts become microjoules, by the mean of each two neighbouring samples."""
        times: list[int] = []
        totals: list[int] = []
        before, total = 0, 0
        for at, value in points:
            if times:
                total += (before + value) * (at - times[-1]) // 2000
            times.append(at)
            totals.append(total)
            before = value
        return cls(tuple(times), tuple(totals)) if times else None

    @property
    def first(self) -> int:
        """Time of the first sample."""
        return self.times[0]

    @property
    def last(self) -> int:
        """Time of the last sample."""
        return self.times[-1]

    def increases(self, edges: Sequence[int]) -> list[int]:
        """What was metered between each two neighbouring edges; nothing before its first and after its last sample."""
        times, totals = self.times, self.totals
        values, at, newest = [], 0, len(times) - 1
        for edge in edges:
            while at < newest and times[at + 1] <= edge:
                at += 1
            if edge <= times[0] or at == newest:
                values.append(totals[0] if edge <= times[0] else totals[-1])
            else:
                grown, span = totals[at + 1] - totals[at], times[at + 1] - times[at]
                values.append(totals[at] + grown * (edge - times[at]) // span)
        return [after - before for before, after in pairwise(values)]

    def present(self, edges: Sequence[int]) -> list[int]:
        """Milliseconds of each cell that lie between its first and last sample."""
        first, last = self.times[0], self.times[-1]
        return [max(0, min(end, last) - max(start, first)) for start, end in pairwise(edges)]

    def covers(self, start: int, end: int) -> bool:
        """Whether it has samples at or before the start, and at or after the end."""
        return self.times[0] <= start and end <= self.times[-1]

    def longest_step(self) -> int:
        """Longest time between two neighbouring samples that is no hole; 0 with fewer than two."""
        return max((b - a for a, b in pairwise(self.times) if b - a <= LONGEST_STEP_MS), default=0)

    def holes(self) -> list[tuple[int, int]]:
        """Stretches between two samples that are too far apart."""
        return [(a, b) for a, b in pairwise(self.times) if b - a > LONGEST_STEP_MS]


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split a whole number by weights so that the parts add up to it exactly; all zero where nothing weighs.

    Each part is the difference of two neighbouring rounded partial sums, so none is further than one unit from its
    exact share.
    """
    whole = sum(weights)
    if whole <= 0:
        return [0] * len(weights)
    parts, weight, given = [], 0, 0
    for each in weights:
        weight += each
        upto = total * weight // whole
        parts.append(upto - given)
        given = upto
    return parts


def rounded_ratio(above: int, below: int) -> int:
    """The nearest whole number to a quotient of numbers that are not negative."""
    return (2 * above + below) // (2 * below)
