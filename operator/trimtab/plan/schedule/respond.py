"""What each job would run by itself, given the prices of capacity and what is left of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Want
from trimtab.plan.schedule.fill import Filled, fill, rush
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.tables import BoolArray, IntArray, Tables, ceiling_penalty


@dataclass(frozen=True)
class Asked:
    """What the plan asks of some jobs: rows of equal length."""

    rows: IntArray
    """Indices of the jobs."""
    work: FloatArray
    """Work to do."""
    deadline: FloatArray
    """Hours; at most the horizon."""

    def pick(self, which: IntArray | BoolArray) -> "Asked":
        """Some of them."""
        return Asked(self.rows[which], self.work[which], self.deadline[which])


@dataclass(frozen=True)
class Responses:
    """What each asked job would run. Entries lie job after job, in order of slot."""

    wants: tuple[Want, ...]
    windows: FloatArray
    """(n, T) Hours of each slot in which the job may run."""
    short: FloatArray
    """(n) Work for which there is no room in the horizon."""
    missed: BoolArray
    """(n) The deadline left no way; the plan finishes as early as it can."""


def objective(tables: Tables, rows: IntArray, unit_price: FloatArray | None, extra: FloatArray | None) -> FloatArray:
    """What decides between hours, (rows, M, T): the priced cost, and what an hour above the ceiling costs on top."""
    cost = tables.priced(rows, unit_price)
    if extra is not None:
        cost = cost + extra
    if np.isfinite(tables.ceiling[rows]).any():
        cost = cost + np.where(tables.above_ceiling(rows), ceiling_penalty(cost), 0.0)
    return cost


def rooms(tables: Tables, capacity: Capacity, rows: IntArray, window: FloatArray) -> FloatArray:
    """Hours in which each job may run in each mode and slot, (rows, M, T), hard ceilings kept."""
    hours = capacity.available(rows, window, tables.switch[rows] > 0.0)
    hard = tables.hard_ceiling[rows] & np.isfinite(tables.ceiling[rows])
    if hard.any():
        hours[hard] = np.where(tables.above_ceiling(rows[hard]), 0.0, hours[hard])
    return hours


def respond(
    tables: Tables,
    capacity: Capacity,
    asked: Asked,
    unit_price: FloatArray | None = None,
    extra: FloatArray | None = None,
) -> Responses:
    """The cheapest plan of each job in what is left; where its deadline leaves none, the earliest finish."""
    rows = asked.rows
    window = tables.window(rows, asked.deadline)
    hours = rooms(tables, capacity, rows, window)
    cost = objective(tables, rows, unit_price, extra)
    filled = fill(cost, hours, tables.rate[rows], asked.work)
    short = filled.short.copy()
    missed = short > 0.0
    wants = _wants(filled)
    if missed.any():
        late = np.flatnonzero(missed)
        window[late] = tables.window(rows[late], np.full(len(late), tables.edges[-1]))
        rushed = rush(rooms(tables, capacity, rows[late], window[late]), tables.rate[rows[late]], asked.work[late])
        for index, want in zip(late.tolist(), _wants(rushed), strict=True):
            wants[index] = want
        short[late] = rushed.short
    return Responses(tuple(wants), window, short, missed)


def _wants(filled: Filled) -> list[Want]:
    jobs = len(filled.hours)
    job, slot, step = np.nonzero(filled.hours > 0.0)
    modes, hours = filled.mode[job, slot, step], filled.hours[job, slot, step]
    bounds = np.searchsorted(job, np.arange(jobs + 1)).tolist()
    return [Want(slot[a:b], modes[a:b], hours[a:b]) for a, b in pairwise(bounds)]
