"""Carries out what policies plan: with the overhead of starts, and first in, first out where units are short."""

import heapq
from collections import deque

import numpy as np

from trimtab.simulate.training.runs import INSTANT_HOURS, Runs, tidy
from trimtab.simulate.training.workload import Workload

_END, _READY = 0, 1


def carry_out(plan: Runs, jobs: Workload, capacity_units: float | None) -> Runs:
    """What comes of plans that were made without regard to each other, and without overhead.

    A planned run becomes ready at its planned start, or when the job's run before it has ended, if that is later. Runs
    that are ready start first in, first out, each when all its units are free; none overtakes another. Once started, a
    run goes on for its planned hours. Each start takes the workload's overhead on top, unless it follows on from a run
    of the same scale.

    Args:
        plan: Runs of the jobs.
        jobs: The workload.
        capacity_units: Units that there are; None where there is no limit.
    """
    if capacity_units is None and jobs.switch_hours == 0:
        return plan
    return _Queue(plan, jobs, np.inf if capacity_units is None else capacity_units).run()


class _Queue:
    def __init__(self, plan: Runs, jobs: Workload, capacity_units: float) -> None:
        self._plan = plan
        self._switch = jobs.switch_hours
        self._free = float(capacity_units)
        self._job = plan.job.tolist()
        self._planned = plan.start_hours.tolist()
        self._hours = plan.hours.tolist()
        self._replicas = plan.replicas.tolist()
        self._units = (jobs.units[plan.job] * plan.replicas).tolist()
        self._start = [0.0] * len(plan)
        self._end = [0.0] * len(plan)
        self._ready: deque[int] = deque()
        firsts = np.flatnonzero(np.diff(plan.job, prepend=-1))
        self._events = [(self._planned[run], _READY, run) for run in firsts.tolist()]
        heapq.heapify(self._events)

    def run(self) -> Runs:
        while self._events:
            now = self._events[0][0]
            # Ends come before starts, so that what is freed at this instant can be taken at it.
            while self._events and self._events[0][0] <= now + INSTANT_HOURS:
                _, kind, run = heapq.heappop(self._events)
                if kind == _END:
                    self._release(run, now)
                else:
                    self._ready.append(run)
            while self._ready and self._units[self._ready[0]] <= self._free + 1e-9:
                self._begin(self._ready.popleft(), now)
        start, end = np.array(self._start), np.array(self._end)
        return tidy(self._plan.job, start, end, self._plan.replicas)

    def _release(self, run: int, now: float) -> None:
        self._free += self._units[run]
        following = run + 1
        if following < len(self._job) and self._job[following] == self._job[run]:
            if self._planned[following] <= now + INSTANT_HOURS:
                self._ready.append(following)
            else:
                heapq.heappush(self._events, (self._planned[following], _READY, following))

    def _begin(self, run: int, now: float) -> None:
        goes_on = (
            run > 0
            and self._job[run - 1] == self._job[run]
            and self._replicas[run - 1] == self._replicas[run]
            and now - self._end[run - 1] <= INSTANT_HOURS
        )
        hours = self._hours[run] + (0.0 if goes_on else self._switch)
        self._free -= self._units[run]
        self._start[run], self._end[run] = now, now + hours
        heapq.heappush(self._events, (now + hours, _END, run))
