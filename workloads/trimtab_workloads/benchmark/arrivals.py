"""When requests are due: Poisson arrivals whose rate changes over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from trimtab_workloads.benchmark.config import Stage, StagesFile
from trimtab_workloads.common.config import one_line
from trimtab_workloads.common.log import log


@dataclass(frozen=True)
class Segment:
    """A constant rate until some time; times are seconds since the load began."""

    requests_per_second: float
    until_seconds: float


Schedule = Callable[[float], Segment | None]
"""The segment in which a time lies; None when the load is over."""


@dataclass(frozen=True)
class Arrival:
    """A moment to wait for: a request is due, or only the rate changes."""

    at_seconds: float
    is_request: bool
    requests_per_second: float


def arrivals(schedule: Schedule, seed: int) -> Iterator[Arrival]:
    """Yields arrivals in order, without end unless the schedule has one.

    A unit-rate Poisson process is stretched by the integral of the rate (time change), so that a change of rate
    neither loses nor repeats an arrival. At each boundary of a segment it yields a moment without request, after
    which the schedule is asked anew: one that depends on a file is read when its time has come, not before.
    """
    generator = np.random.default_rng(seed)
    now, left = 0.0, float(generator.exponential())
    while (segment := schedule(now)) is not None:
        rate, until = segment.requests_per_second, segment.until_seconds
        while rate > 0 and now + left / rate <= until:
            now += left / rate
            left = float(generator.exponential())
            yield Arrival(now, True, rate)
        left -= rate * (until - now)
        now = until
        yield Arrival(now, False, rate)


def from_stages(stages: Sequence[Stage], loop: bool) -> Schedule:
    """One stage after the other; with `loop` for ever, else to the end of the last."""
    ends = np.cumsum([stage.seconds for stage in stages])
    total = float(ends[-1])

    def schedule(now: float) -> Segment | None:
        if now >= total and not loop:
            return None
        rounds = math.floor(now / total) if loop else 0
        index = int(np.searchsorted(ends, now - rounds * total, side="right"))
        # Rounding can put a boundary's time a hair past the last end.
        if index == len(stages):
            rounds, index = rounds + 1, 0
        return Segment(stages[index].requests_per_second, rounds * total + float(ends[index]))

    return schedule


class FileSchedule:
    """The rate as a file says it, looked at each second. A bad content is said once, and the last good one holds."""

    READ_SECONDS = 1.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""
        self._content = StagesFile(requests_per_second=0)
        self._since = 0.0

    def __call__(self, now: float) -> Segment | None:
        """The rate at a time, until the file is looked at again; None once the file says stop."""
        self._read(now)
        if self._content.stop:
            return None
        return Segment(self._rate(now - self._since), now + self.READ_SECONDS)

    def _rate(self, elapsed: float) -> float:
        if not self._content.stages:
            return self._content.requests_per_second or 0.0
        for stage in self._content.stages:
            if elapsed < stage.seconds:
                return stage.requests_per_second
            elapsed -= stage.seconds
        return self._content.stages[-1].requests_per_second

    def _read(self, now: float) -> None:
        try:
            text = self._path.read_text()
        except OSError as error:
            text = f"cannot read: {error}"
        if text == self._text:
            return
        self._text = text
        try:
            self._content = StagesFile.model_validate_json(text)
        except ValidationError as error:
            log("stages_file_bad", path=str(self._path), error=one_line(error))
            return
        self._since = now
        log("stages_file_read", path=str(self._path), content=self._content.model_dump(by_alias=True))
