"""The planner in the loop: what it plans is carried out until it plans again."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from trimtab.plan.schedule.problem import JobSchedule, Schedule
from trimtab.plan.schedule.reserve import solve_with_reserve
from trimtab.plan.schedule.solve import solve
from trimtab.simulate.training.account import Prices
from trimtab.simulate.training.intensity import Forecasts, Intensity
from trimtab.simulate.training.planning import Problems, Waiting
from trimtab.simulate.training.runs import INSTANT_HOURS, Runs, tidy
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]

_DONE_HOURS = 1e-7
"""Less work than this is none: rounding."""
_SLACK_HOURS = 48
"""How far beyond the last deadline plans go where units are short."""

Piece = tuple[float, float, int]
"""Begin and end (hours from the start of the simulation) and replicas."""
Held = tuple[float, float, float]
"""Begin, end and units."""


class Control:
    """The state of a simulated cluster under the planner."""

    def __init__(self, jobs: Workload, forecasts: Forecasts, prices: Prices, capacity_units: float | None) -> None:
        self._jobs = jobs
        self._forecasts = forecasts
        self._capacity = capacity_units
        self._problems = Problems(jobs, prices)
        self._arrival = jobs.arrival_hours.tolist()
        self._deadline = jobs.deadline_hours.tolist()
        self._units = jobs.units.tolist()
        self._speed = jobs.scaling.speed.tolist()
        self._left = jobs.length_hours.tolist()
        self._overhead = [0.0] * len(jobs)
        self._running = [0] * len(jobs)
        self._plans: dict[int, list[Piece]] = {}
        self._ran: list[tuple[int, float, float, int]] = []
        self._next = 0
        self._seconds: list[float] = []
        self._last_end: dict[int, float] = {}

    def hours(self) -> Iterator[int]:
        """Simulates hour by hour, until all jobs are done."""
        hour = int(self._arrival[0])
        while self._next < len(self._arrival) or self._plans:
            if not self._plans:
                hour = max(hour, int(self._arrival[self._next]))
            self._hour(hour)
            yield hour
            hour += 1

    def result(self) -> tuple[Runs, list[float], tuple[str, ...]]:
        """What was run, how long each planning took (seconds), and notes.

        Raises:
            RuntimeError: The work that was run is not the work of the jobs: the plans were wrong.
        """
        ran = np.array(self._ran, dtype=np.float64).reshape(-1, 4)
        job, replicas = ran[:, 0].astype(np.int64), ran[:, 3].astype(np.int64)
        runs = tidy(job, ran[:, 1], ran[:, 2], replicas)
        if self._jobs.switch_hours == 0:
            done = np.bincount(runs.job, runs.hours * self._jobs.scaling.speed[runs.replicas - 1], len(self._jobs))
            wrong = np.flatnonzero(np.abs(done - self._jobs.length_hours) > 1e-5)
            if wrong.size:
                raise RuntimeError(f"job {wrong[0]} did {done[wrong[0]]} of {self._jobs.length_hours[wrong[0]]} hours")
        return runs, self._seconds, ()

    def _hour(self, hour: int) -> None:
        if self._capacity is None:
            # Without a limit jobs do not touch each other: those of an hour are planned together, none before it comes.
            again = self._forecasts.changes
            arriving = self._arriving(hour + 1.0)
            self._plan(float(hour), [*(self._plans if again else ()), *arriving])
            self._advance(float(hour), hour + 1.0)
            return
        self._plan(float(hour), [*self._plans, *self._arriving(hour + INSTANT_HOURS)])
        now = float(hour)
        while self._next < len(self._arrival) and self._arrival[self._next] < hour + 1.0 - INSTANT_HOURS:
            begin, now = now, self._arrival[self._next]
            self._advance(begin, now)
            self._plan(now, self._arriving(now + INSTANT_HOURS), self._standing(now))
        self._advance(now, hour + 1.0)

    def _arriving(self, before_hours: float) -> list[int]:
        first = self._next
        while self._next < len(self._arrival) and self._arrival[self._next] < before_hours:
            self._next += 1
        return list(range(first, self._next))

    def _standing(self, now: float) -> list[Held]:
        """What the plans of the others hold from now on."""
        return [
            (max(begin, now), end, replicas * self._units[place])
            for place, pieces in self._plans.items()
            for begin, end, replicas in pieces
            if end > now
        ]

    def _plan(self, now: float, places: Sequence[int], standing: Sequence[Held] = ()) -> None:
        if not places:
            return
        hour = int(now + INSTANT_HOURS)
        last = max(self._deadline[place] for place in places)
        if self._capacity is not None:
            last = max(last, now) + _SLACK_HOURS
        edges = np.arange(hour, int(np.ceil(last)) + 1, dtype=np.float64)
        edges[0] = now
        forecast = self._forecasts.issued(hour, len(edges) - 1)
        waiting = [
            Waiting(place, self._left[place] + self._overhead_work(place), self._running[place]) for place in places
        ]
        begin = time.perf_counter()
        schedule = self._solve(now, waiting, edges, self._free(edges, standing), forecast)
        self._seconds.append(time.perf_counter() - begin)
        for place, job in zip(places, schedule.jobs, strict=True):
            self._plans[place] = _pieces(job, now)

    def _solve(
        self, now: float, waiting: Sequence[Waiting], edges: FloatArray, free: FloatArray, forecast: Intensity
    ) -> Schedule:
        problem = self._problems.problem(now, waiting, edges, free, forecast)
        # Where units are not shared, jobs to come take nothing away: no slack has to be kept for them.
        return solve(problem) if self._capacity is None else solve_with_reserve(problem)

    def _overhead_work(self, place: int) -> float:
        """What is left of the overhead of a start that a new plan found under way, as work at the running scale."""
        replicas = self._running[place]
        return float(self._overhead[place] * self._speed[replicas - 1]) if replicas else 0.0

    def _free(self, edges: FloatArray, standing: Sequence[Held]) -> FloatArray:
        slots = len(edges) - 1
        if self._capacity is None:
            return np.full(slots, np.inf)
        if not standing:
            return np.full(slots, self._capacity)
        return np.maximum(self._capacity - peaks(edges, standing), 0.0)

    def _advance(self, begin: float, end: float) -> None:
        for place in list(self._plans):
            pieces = self._plans[place]
            runs_on = 0
            for start, stop, replicas in pieces:
                if start >= end - INSTANT_HOURS:
                    break
                if stop <= begin + INSTANT_HOURS:
                    continue
                self._run(place, max(start, begin), min(stop, end), replicas)
                runs_on = replicas if stop >= end - INSTANT_HOURS else 0
            self._running[place] = runs_on
            if self._left[place] <= _DONE_HOURS and self._overhead[place] <= INSTANT_HOURS:
                del self._plans[place]
            elif pieces and pieces[-1][1] <= end:
                # The plan ended before the work did (the horizon, or rounding): it has to be planned again.
                self._plans[place] = []

    def _run(self, place: int, start: float, stop: float, replicas: int) -> None:
        if stop - start <= 0.0:
            return
        if self._running[place] != replicas or self._ended(place) < start - INSTANT_HOURS:
            self._overhead[place] = self._jobs.switch_hours
        lost = min(self._overhead[place], stop - start)
        self._overhead[place] -= lost
        self._left[place] -= (stop - start - lost) * self._speed[replicas - 1]
        self._running[place] = replicas
        self._ran.append((place, start, stop, replicas))
        self._last_end[place] = stop

    def _ended(self, place: int) -> float:
        return self._last_end.get(place, -np.inf)


def _pieces(job: JobSchedule, now: float) -> list[Piece]:
    return [(now + run.start_hours, now + run.end_hours, run.mode + 1) for run in job.runs]


def peaks(edges: FloatArray, pieces: Sequence[Held]) -> FloatArray:
    """The most units that pieces hold together at any instant of each slot."""
    begin, end, units = (np.array(values, dtype=np.float64) for values in zip(*pieces, strict=True))
    times = np.concatenate([begin, end])
    # Ends before begins: what ends at an instant is free at it.
    order = np.lexsort((np.concatenate([np.ones(len(begin)), np.zeros(len(end))]), np.round(times, 9)))
    level = np.cumsum(np.concatenate([units, -units])[order])
    slot = np.clip(np.searchsorted(edges, np.round(times[order], 9), side="right") - 1, 0, len(edges) - 2)
    peak = np.zeros(len(edges) - 1)
    np.maximum.at(peak, slot, level)
    # What is held when a slot begins counts in it too.
    at = np.searchsorted(np.round(times[order], 9), edges[:-1], side="right") - 1
    return np.maximum(peak, np.where(at >= 0, level[np.maximum(at, 0)], 0.0))
