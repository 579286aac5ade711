"""What is left of each pool at each instant: slots cut into equal parts, each with its free units."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.tables import IntArray, Tables

PARTS = 60
"""Parts of a slot. A run holds each part that it touches, so that capacity holds at every instant."""
_TOUCHES = 1e-9
"""Hours between two stretches that count as one."""
_SLACK = 1e-9
"""Units by which rounding may overrun."""

Piece = tuple[int, int, float, float]
"""(slot, mode, start_hours, end_hours) of a run."""


@dataclass(frozen=True)
class Want:
    """What a job would run: entries in order of slot, of which at most a few share a slot."""

    slots: IntArray
    modes: IntArray
    hours: FloatArray
    starts: FloatArray | None = None
    """When each entry begins, for a job that may not stop between; else it may lie anywhere in its slot."""


class Capacity:
    """Free units by pool, slot and part. The only mutable thing of the planner; it never leaves `solve`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._edges: list[float] = tables.edges.tolist()
        self.bounded = bool(np.isfinite(tables.free_units).any())
        self._free = np.repeat(tables.free_units[:, :, None], PARTS, axis=2) if self.bounded else np.zeros((0, 0, 0))
        self.least = tables.free_units.copy()
        """(P, T) Units that are free in all of the slot."""
        self.most = tables.free_units.copy()
        """(P, T) Units that are free in some part of it."""

    def available(self, rows: IntArray, window: FloatArray) -> FloatArray:
        """Hours in which each job may run in each mode and slot, together or apart, (rows, M, T).

        Args:
            rows: Indices of the jobs.
            window: (rows, T) Hours of each slot between a job's earliest start and its deadline.
        """
        tables = self._tables
        hours = np.where(tables.valid[rows][:, :, None], window[:, None, :], 0.0)
        if not self.bounded:
            return hours
        pool, units = tables.pool[rows], tables.units[rows][:, :, None] - _SLACK
        hours[self.most[pool] < units] = 0.0
        job, mode, slot = np.nonzero((self.least[pool] < units) & (hours > 0.0))
        if not len(job):
            return hours
        free = self._free[pool[job, mode], slot] >= units[job, mode]
        length = tables.hours[slot]
        some = free.mean(axis=1) * length
        edge = np.flatnonzero(window[job, slot] < length)
        if len(edge):
            some[edge] = (free[edge] * self._overlap(rows[job[edge]], slot[edge], window[job[edge], slot[edge]])).sum(
                axis=1
            )
        hours[job, mode, slot] = some
        return hours

    def stretches(self, rows: IntArray, window: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The longest stretch without a break in each mode and slot: its start and its end, (rows, M, T) hours.

        Args:
            rows: Indices of the jobs.
            window: (rows, T) Hours of each slot between a job's earliest start and its deadline.
        """
        tables = self._tables
        low = np.maximum(tables.edges[None, :-1], tables.earliest[rows][:, None])
        starts = np.repeat(low[:, None, :], tables.valid.shape[1], axis=1)
        ends = starts + np.where(tables.valid[rows][:, :, None], window[:, None, :], 0.0)
        if not self.bounded:
            return starts, ends
        pool, units = tables.pool[rows], tables.units[rows][:, :, None] - _SLACK
        ends = np.where(self.most[pool] < units, starts, ends)
        job, mode, slot = np.nonzero((self.least[pool] < units) & (ends > starts))
        if not len(job):
            return starts, ends
        width = (tables.hours[slot] / PARTS)[:, None]
        begin = starts[job, mode, slot][:, None] - tables.edges[slot][:, None]
        end = ends[job, mode, slot][:, None] - tables.edges[slot][:, None]
        part = np.arange(PARTS)[None, :]
        free = self._free[pool[job, mode], slot] >= units[job, mode]
        free &= (part * width < end - 1e-9 * width) & ((part + 1) * width > begin + 1e-9 * width)
        length = np.where(free, part - np.maximum.accumulate(np.where(free, -1, part), axis=1), 0)
        last = length.argmax(axis=1)
        longest = length[np.arange(len(job)), last]
        first = np.maximum(begin[:, 0], (last + 1 - longest) * width[:, 0])
        after = np.where(longest > 0, np.minimum(end[:, 0], (last + 1) * width[:, 0]), first)
        starts[job, mode, slot] = tables.edges[slot] + first
        ends[job, mode, slot] = tables.edges[slot] + after
        return starts, ends

    def _overlap(self, rows: IntArray, slots: IntArray, window: FloatArray) -> FloatArray:
        """Hours of each part of a slot within the window of a job, (n, PARTS)."""
        start = self._tables.edges[slots]
        lo = np.maximum(start, self._tables.earliest[rows]) - start
        part = self._tables.hours[slots] / PARTS
        return _parts(lo, lo + window, part)

    def claim(self, row: int, want: Want, window: FloatArray) -> list[Piece] | None:
        """Take what a job wants, all of it or nothing.

        Args:
            row: Index of the job.
            want: Its entries.
            window: (T) Hours of each slot in which it may run.

        Returns:
            The runs in order of time, or None where it does not fit.
        """
        tables = self._tables
        if want.starts is not None:
            return self._claim_fixed(row, want, want.starts)
        length = tables.hours[want.slots]
        full = want.hours >= length * (1.0 - 1e-12)
        pools, units = tables.pool[row, want.modes], tables.units[row, want.modes]
        full_pools, full_slots, full_units = pools[full], want.slots[full], units[full]
        if self.bounded and not (self.least[full_pools, full_slots] >= full_units - _SLACK).all():
            return None
        parts: dict[int, list[Piece]] = {}
        taken: list[tuple[int, int, npt.NDArray[np.bool_], float]] = []
        if not full.all():
            slots = want.slots.tolist()
            # The mode with fewest places chooses first where two share a slot.
            partial = np.flatnonzero(~full)
            for index in partial[np.argsort(-units[partial], kind="stable")].tolist():
                slot = slots[index]
                late = self._wants_late(want, index)
                found = self._part(row, want, index, float(window[slot]), late, parts.get(slot, []), taken)
                if found is None:
                    return None
                parts[slot] = sorted(parts.get(slot, []) + found, key=lambda piece: piece[2])
        self._hold(full_pools, full_slots, full_units, taken)
        edges = self._edges
        runs = [
            (slot, mode, edges[slot], edges[slot + 1])
            for slot, mode in zip(full_slots.tolist(), want.modes[full].tolist(), strict=True)
        ]
        if parts:
            runs = sorted(
                [*runs, *(piece for pieces in parts.values() for piece in pieces)], key=lambda piece: piece[2]
            )
        return runs

    def release(self, row: int, pieces: list[Piece]) -> None:
        """Give back what a job took."""
        if not self.bounded or not pieces:
            return
        taken = []
        for slot, mode, begin, end in pieces:
            start = self._edges[slot]
            mask = _touched(begin - start, end - start, float(self._tables.hours[slot]) / PARTS)
            taken.append((int(self._tables.pool[row, mode]), slot, mask, -float(self._tables.units[row, mode])))
        # Two pieces of a job may share a part of a slot; it was taken once for each mode.
        nothing = np.zeros(0, dtype=np.int64)
        self._hold(nothing, nothing, np.zeros(0), taken)

    def copy(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What is left, to be put back later."""
        return self._free.copy(), self.least.copy(), self.most.copy()

    def put_back(self, left: tuple[FloatArray, FloatArray, FloatArray]) -> None:
        """Return to what was left at the time of a copy."""
        self._free, self.least, self.most = left

    def fitting(self, row: int, want: Want) -> Want:
        """The entries of a wish that take whole slots in which the mode is free."""
        pools, units = self._tables.pool[row, want.modes], self._tables.units[row, want.modes]
        whole = want.hours >= self._tables.hours[want.slots] * (1.0 - 1e-12)
        fits = whole & (self.least[pools, want.slots] >= units - _SLACK)
        return Want(want.slots[fits], want.modes[fits], want.hours[fits])

    def _claim_fixed(self, row: int, want: Want, starts: FloatArray) -> list[Piece] | None:
        """Take runs whose times are fixed, all of them or nothing."""
        tables = self._tables
        slots, modes, begins, hours = want.slots.tolist(), want.modes.tolist(), starts.tolist(), want.hours.tolist()
        pieces = [(s, m, b, b + h) for s, m, b, h in zip(slots, modes, begins, hours, strict=True)]
        if not self.bounded:
            return pieces
        taken = []
        for slot, mode, begin, end in pieces:
            pool, units = int(tables.pool[row, mode]), float(tables.units[row, mode])
            start = self._edges[slot]
            mask = _touched(begin - start, end - start, float(tables.hours[slot]) / PARTS)
            if self.least[pool, slot] < units - _SLACK and self._free[pool, slot][mask].min() < units - _SLACK:
                return None
            taken.append((pool, slot, mask, units))
        nothing = np.zeros(0, dtype=np.int64)
        self._hold(nothing, nothing, np.zeros(0), taken)
        return pieces

    def _hold(
        self,
        pools: IntArray,
        slots: IntArray,
        units: FloatArray,
        taken: list[tuple[int, int, npt.NDArray[np.bool_], float]],
    ) -> None:
        """Take units of whole slots, and of parts of slots."""
        if not self.bounded:
            return
        self._free[pools, slots] -= units[:, None]
        self.least[pools, slots] -= units
        self.most[pools, slots] -= units
        for pool, slot, mask, held in taken:
            free = self._free[pool, slot]
            free[mask] -= held
            self.least[pool, slot] = free.min()
            self.most[pool, slot] = free.max()

    def _wants_late(self, want: Want, index: int) -> bool:
        """Whether a part of a slot joins the run of the next slot, and none of the slot before."""
        slot = want.slots[index]
        after = index + 1 < len(want.slots) and want.slots[index + 1] == slot + 1
        before = index > 0 and want.slots[index - 1] >= slot - 1
        return bool(after and not before)

    def _part(
        self,
        row: int,
        want: Want,
        index: int,
        window: float,
        late: bool,
        others: list[Piece],
        taken: list[tuple[int, int, npt.NDArray[np.bool_], float]],
    ) -> list[Piece] | None:
        """Intervals for a part of a slot; adds to `taken` what they hold."""
        tables = self._tables
        slot, mode, hours = int(want.slots[index]), int(want.modes[index]), float(want.hours[index])
        start, length = self._edges[slot], float(tables.hours[slot])
        lo = max(start, float(tables.earliest[row])) - start
        pool, units = int(tables.pool[row, mode]), float(tables.units[row, mode])
        if not others and (not self.bounded or self.least[pool, slot] >= units - _SLACK):
            begin = lo + window - hours if late else lo
            end = begin + hours
            if self.bounded:
                taken.append((pool, slot, _touched(begin, end, length / PARTS), units))
            return [(slot, mode, start + begin, start + end)]
        width = length / PARTS
        begins = np.maximum(np.arange(PARTS) * width, lo)
        ends = np.minimum(np.arange(1, PARTS + 1) * width, lo + window)
        if self.bounded:
            ends = np.where(self._free[pool, slot] < units - _SLACK, begins, ends)
        for _, _, other_start, other_end in others:
            begins, ends = _without(begins, ends, other_start - start, other_end - start)
        intervals, mask = _pick(begins, ends, hours, late)
        if intervals is None:
            return None
        if self.bounded:
            taken.append((pool, slot, mask, units))
        return [(slot, mode, start + begin, start + end) for begin, end in intervals]


def _without(begins: FloatArray, ends: FloatArray, start: float, end: float) -> tuple[FloatArray, FloatArray]:
    """What an interval leaves of each of some others; of two sides the longer."""
    before, after = np.minimum(ends, start), np.maximum(begins, end)
    left, right = np.maximum(before - begins, 0.0), np.maximum(ends - after, 0.0)
    return np.where(left >= right, begins, after), np.where(left >= right, begins + left, after + right)


def _touched(begin: float, end: float, width: float) -> npt.NDArray[np.bool_]:
    """The parts of a slot that an interval from its start touches."""
    first = int(begin / width + 1e-9)
    mask = np.zeros(PARTS, dtype=np.bool_)
    mask[first : max(int(np.ceil(end / width - 1e-9)), first + 1)] = True
    return mask


def _parts(lo: FloatArray, hi: FloatArray, width: FloatArray) -> FloatArray:
    """Overlap of [lo, hi] with each of the parts of a slot, (n, PARTS)."""
    left = np.arange(PARTS)[None, :] * width[:, None]
    return np.asarray(np.maximum(np.minimum(left + width[:, None], hi[:, None]) - np.maximum(left, lo[:, None]), 0.0))


def _pick(
    begins: FloatArray, ends: FloatArray, hours: float, late: bool
) -> tuple[list[tuple[float, float]] | None, npt.NDArray[np.bool_]]:
    """The first (or last) of these stretches that make so many hours, joined where they touch."""
    mask = np.zeros(PARTS, dtype=np.bool_)
    room = np.maximum(ends - begins, 0.0)
    if room.sum() < hours * (1.0 - 1e-9):
        return None, mask
    intervals: list[tuple[float, float]] = []
    left = hours
    order = np.flatnonzero(room > 0.0)
    for part in (order[::-1] if late else order).tolist():
        take = min(float(room[part]), left)
        begin, end = float(begins[part]), float(ends[part])
        begin, end = (end - take, end) if late else (begin, begin + take)
        mask[part] = True
        if intervals and not late and abs(intervals[-1][1] - begin) < _TOUCHES:
            intervals[-1] = (intervals[-1][0], end)
        elif intervals and late and abs(intervals[-1][0] - end) < _TOUCHES:
            intervals[-1] = (begin, intervals[-1][1])
        else:
            intervals.append((begin, end))
        left -= take
        if left <= hours * 1e-12:
            break
    return sorted(intervals), mask
