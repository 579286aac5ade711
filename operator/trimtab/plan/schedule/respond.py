"""What each job would run by itself, given the prices of capacity and what is left of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Want
from trimtab.plan.schedule.fill import Filled, fill, rush
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.switching import NOTHING, Switching, fill_switching, rush_switching
from trimtab.plan.schedule.tables import BoolArray, IntArray, Tables, ceiling_penalty

_FINISHES = 8
"""Finishes that are tried at a time, where delay costs."""


@dataclass(frozen=True)
class Asked:
    """What the plan asks of some jobs: rows of equal length."""

    rows: IntArray
    """Indices of the jobs."""
    work: FloatArray
    """Work to do."""
    deadline: FloatArray
    """Hours; at most the horizon."""
    busy: BoolArray | None = None
    """(n, T) Slots in which a job has what it will have; None where no job has any."""
    most: FloatArray | None = None
    """(n, T) Hours of each slot in which a job may run at most; None where nothing but its window bounds them."""

    def window(self, tables: Tables) -> FloatArray:
        """Hours of each slot in which each job may run, (n, T)."""
        window = tables.window(self.rows, self.deadline)
        if self.busy is not None:
            window[self.busy] = 0.0
        return window if self.most is None else np.minimum(window, self.most)

    def pick(self, which: IntArray | BoolArray) -> "Asked":
        """Some of them."""
        busy = None if self.busy is None else self.busy[which]
        most = None if self.most is None else self.most[which]
        return Asked(self.rows[which], self.work[which], self.deadline[which], busy, most)

    def by(self, deadline: FloatArray) -> "Asked":
        """The same work by other deadlines."""
        return Asked(self.rows, self.work, deadline, self.busy, self.most)

    def then(self, other: "Asked") -> "Asked":
        """These, and others after them."""
        busy = self.busy
        if busy is not None and other.busy is not None:
            busy = np.concatenate([busy, other.busy])
        return Asked(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.work, other.work]),
            np.concatenate([self.deadline, other.deadline]),
            busy,
        )

    def chunks(self, size: int) -> list["Asked"]:
        """All of them, so many at a time; one empty part where there are none."""
        count = len(self.rows)
        return [self.pick(np.arange(at, min(at + size, count))) for at in range(0, max(count, 1), size)]


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


def objective(tables: Tables, rows: IntArray, unit_price: FloatArray | None) -> FloatArray:
    """What decides between hours, (rows, M, T): the priced cost, and what an hour above the ceiling costs on top."""
    cost = tables.priced(rows, unit_price)
    if np.isfinite(tables.ceiling[rows]).any():
        cost = cost + np.where(tables.above_ceiling(rows), ceiling_penalty(cost), 0.0)
    return cost


def rooms(tables: Tables, capacity: Capacity, rows: IntArray, window: FloatArray) -> FloatArray:
    """Hours in which each job may run in each mode and slot, (rows, M, T), hard ceilings kept."""
    return below_ceiling(tables, rows, capacity.available(rows, window))


def below_ceiling(tables: Tables, rows: IntArray, hours: FloatArray) -> FloatArray:
    """Of these hours those that no hard ceiling forbids."""
    hard = tables.hard_ceiling[rows] & np.isfinite(tables.ceiling[rows])
    if hard.any():
        hours[hard] = np.where(tables.above_ceiling(rows[hard]), 0.0, hours[hard])
    return hours


def respond(
    tables: Tables,
    capacity: Capacity,
    asked: Asked,
    unit_price: FloatArray | None = None,
    one_mode: bool = False,
) -> Responses:
    """The best plan of each job in what is left; where its deadline leaves none, the earliest finish.

    Args:
        tables: The problem.
        capacity: What is left.
        asked: The jobs.
        unit_price: (P, T) Shadow prices of capacity.
        one_mode: No slot is shared by two modes: what is then wanted fits for certain.
    """
    answer = cheapest(tables, capacity, asked, unit_price, one_mode)
    missed = answer.short > 0.0
    if missed.any():
        late = np.flatnonzero(missed)
        answer.replace(late, earliest(tables, capacity, asked.pick(late)))
    hurried = np.flatnonzero((tables.delay[asked.rows] > 0.0) & (tables.switch[asked.rows] <= 0.0) & ~missed)
    if len(hurried):
        part = asked.pick(hurried)
        part = part.by(best_deadlines(tables, capacity, part, unit_price))
        answer.replace(hurried, cheapest(tables, capacity, part, unit_price, one_mode))
    return Responses(tuple(answer.wants), answer.windows, answer.short, missed)


@dataclass
class Answer:
    """What jobs would run, one entry a job."""

    wants: list[Want]
    windows: FloatArray
    short: FloatArray

    def replace(self, which: IntArray, other: "Answer") -> None:
        """Put the answers of some jobs in the place of those there are."""
        for index, want in zip(which.tolist(), other.wants, strict=True):
            self.wants[index] = want
        self.windows[which] = other.windows
        self.short[which] = other.short


def cheapest(
    tables: Tables, capacity: Capacity, asked: Asked, unit_price: FloatArray | None, one_mode: bool = False
) -> Answer:
    """The least-cost hours by the deadline, and what of the work finds no room."""
    rows = asked.rows
    window = asked.window(tables)
    cost = objective(tables, rows, unit_price)
    switches = tables.switch[rows] > 0.0
    if not switches.any():
        hours = rooms(tables, capacity, rows, window)
        if one_mode:
            hours = _one_mode(cost, hours, tables.rate[rows])
        filled = fill(cost, hours, tables.rate[rows], asked.work)
        return Answer(_wants(filled), window, filled.short)
    answer = Answer([NOTHING] * len(rows), window, np.zeros(len(rows)))
    plain, costly = np.flatnonzero(~switches), np.flatnonzero(switches)
    if len(plain):
        hours = rooms(tables, capacity, rows[plain], window[plain])
        if one_mode:
            hours = _one_mode(cost[plain], hours, tables.rate[rows[plain]])
        filled = fill(cost[plain], hours, tables.rate[rows[plain]], asked.work[plain])
        answer.replace(plain, Answer(_wants(filled), window[plain], filled.short))
    done = fill_switching(switching(tables, capacity, asked.pick(costly), cost[costly], window[costly]))
    answer.replace(costly, Answer(done.wants, window[costly], done.short))
    return answer


def _one_mode(cost: FloatArray, hours: FloatArray, rate: FloatArray) -> FloatArray:
    """Only the hours of the mode in which a slot does most work, the cheaper of equals."""
    work = hours * rate[:, :, None]
    best = (work - 1e-9 * cost / np.maximum(cost.max(), 1e-300) * work).argmax(axis=1)
    return np.asarray(np.where(np.arange(hours.shape[1])[None, :, None] == best[:, None, :], hours, 0.0))


def earliest(tables: Tables, capacity: Capacity, asked: Asked) -> Answer:
    """The hours that finish first, whatever they cost, within the horizon."""
    rows = asked.rows
    window = asked.by(np.full(len(rows), tables.edges[-1])).window(tables)
    answer = Answer([NOTHING] * len(rows), window, np.zeros(len(rows)))
    switches = tables.switch[rows] > 0.0
    plain, costly = np.flatnonzero(~switches), np.flatnonzero(switches)
    if len(plain):
        hours = rooms(tables, capacity, rows[plain], window[plain])
        rushed = rush(hours, tables.rate[rows[plain]], asked.work[plain])
        answer.replace(plain, Answer(_wants(rushed), window[plain], rushed.short))
    if len(costly):
        free = np.zeros((len(costly), tables.valid.shape[1], tables.slot_count))
        wants, short = rush_switching(switching(tables, capacity, asked.pick(costly), free, window[costly]))
        answer.replace(costly, Answer(wants, window[costly], short))
    return answer


def finishes(tables: Tables, rows: IntArray, wants: list[Want]) -> FloatArray:
    """When each job ends, if its last slot is free from its start; 0 where it has nothing to run. (n)"""
    ends = np.zeros(len(rows))
    for index, (row, want) in enumerate(zip(rows.tolist(), wants, strict=True)):
        if len(want.slots):
            last = want.slots[-1]
            begin = max(float(tables.edges[last]), float(tables.earliest[row]))
            begin = begin if want.starts is None else float(want.starts[-1])
            ends[index] = begin + float(want.hours[want.slots == last].sum())
    return ends


def best_deadlines(tables: Tables, capacity: Capacity, asked: Asked, unit_price: FloatArray | None) -> FloatArray:
    """By when each job should be done, where an hour of delay costs: later is cheaper to run and dearer to wait. (n)

    Every finish lies between the earliest and the one at which waiting alone costs all that could be saved. A grid of
    finishes over that stretch is tried, and a finer one around the best.
    """
    rows = asked.rows
    first = finishes(tables, rows, earliest(tables, capacity, asked).wants)
    delay = tables.delay[rows]
    quick = _outlay(tables, capacity, asked, unit_price, first)
    slow = _outlay(tables, capacity, asked, unit_price, asked.deadline)
    low = np.minimum(first, asked.deadline)
    high = np.clip(first + np.maximum(quick - slow, 0.0) / delay, low, asked.deadline)
    best, value = first.copy(), quick + delay * first
    open_rows = np.flatnonzero(high > low * (1.0 + 1e-9) + 1e-9)
    for _ in range(2 if len(open_rows) else 0):
        part = asked.pick(np.repeat(open_rows, _FINISHES))
        step = (high - low)[open_rows, None] / _FINISHES
        finish = low[open_rows, None] + step * np.arange(1, _FINISHES + 1)[None, :]
        outlay = _outlay(tables, capacity, part, unit_price, finish.reshape(-1)).reshape(finish.shape)
        outlay += delay[open_rows, None] * finish
        at = outlay.argmin(axis=1)
        rows_at = np.arange(len(open_rows))
        better = outlay[rows_at, at] < value[open_rows] * (1.0 - 1e-9)
        best[open_rows] = np.where(better, finish[rows_at, at], best[open_rows])
        value[open_rows] = np.where(better, outlay[rows_at, at], value[open_rows])
        centre = best[open_rows]
        low[open_rows] = np.maximum(centre - step[:, 0], low[open_rows])
        high[open_rows] = np.minimum(centre + step[:, 0], high[open_rows])
    return np.asarray(best)


def _outlay(
    tables: Tables, capacity: Capacity, asked: Asked, unit_price: FloatArray | None, deadline: FloatArray
) -> FloatArray:
    """The objective of each job's best plan by a deadline, delay aside; infinite where there is none."""
    # A hair later, so that rounding does not make the earliest finish impossible.
    part = asked.by(np.minimum(deadline * (1.0 + 1e-9), tables.edges[-1]))
    answer = cheapest(tables, capacity, part, unit_price)
    cost = objective(tables, asked.rows, unit_price)
    total = [float((cost[i, want.modes, want.slots] * want.hours).sum()) for i, want in enumerate(answer.wants)]
    return np.where(answer.short > 0.0, np.inf, np.array(total))


def switching(tables: Tables, capacity: Capacity, asked: Asked, cost: FloatArray, window: FloatArray) -> Switching:
    """Jobs that lose time at each start, and the stretches in which they may run."""
    rows = asked.rows
    starts, ends = capacity.stretches(rows, window)
    hours = below_ceiling(tables, rows, ends - starts)
    running = np.where(tables.earliest[rows] <= 0.0, tables.running[rows], -1)
    return Switching(
        cost, hours, starts, tables.rate[rows], asked.work, tables.switch[rows], running, tables.delay[rows]
    )


def _wants(filled: Filled) -> list[Want]:
    jobs = len(filled.hours)
    job, slot, step = np.nonzero(filled.hours > 0.0)
    modes, hours = filled.mode[job, slot, step], filled.hours[job, slot, step]
    bounds = np.searchsorted(job, np.arange(jobs + 1)).tolist()
    return [Want(slot[a:b], modes[a:b], hours[a:b]) for a, b in pairwise(bounds)]
