"""What is left of each pool at each instant: slots cut into equal parts, each with its free units."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.tables import IntArray, Tables

PARTS = 60
"""Parts of a slot. A run holds each part that it touches, so that capacity holds at every instant."""
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

    def available(self, rows: IntArray, window: FloatArray, whole: npt.NDArray[np.bool_]) -> FloatArray:
        """Hours in which each job may run in each mode and slot, (rows, M, T).

        Args:
            rows: Indices of the jobs.
            window: (rows, T) Hours of each slot between a job's earliest start and its deadline.
            whole: (rows) The job takes all of its window in a slot, or nothing.
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
        full = some >= window[job, slot] * (1.0 - 1e-12)
        hours[job, mode, slot] = np.where(full, window[job, slot], np.where(whole[job], 0.0, some))
        return hours

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
            for index in np.flatnonzero(~full).tolist():
                slot = slots[index]
                late = self._wants_late(want, index)
                found = self._part(row, want, index, float(window[slot]), late, parts.get(slot, []), taken)
                if found is None:
                    return None
                parts[slot] = sorted(parts.get(slot, []) + found, key=lambda piece: piece[2])
        if self.bounded:
            self._free[full_pools, full_slots] -= full_units[:, None]
            self.least[full_pools, full_slots] -= full_units
            self.most[full_pools, full_slots] -= full_units
            for pool, slot, mask, held in taken:
                self._free[pool, slot][mask] -= held
                self.least[pool, slot] = self._free[pool, slot].min()
                self.most[pool, slot] = self._free[pool, slot].max()
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
        room = _parts(np.array([lo]), np.array([lo + window]), np.array([width]))[0]
        if self.bounded:
            room[self._free[pool, slot] < units - _SLACK] = 0.0
        for _, _, other_start, other_end in others:
            room[int((other_start - start) / width + 1e-9) : int(np.ceil((other_end - start) / width - 1e-9))] = 0.0
        intervals, mask = _pick(room, hours, lo, lo + window, width, late)
        if intervals is None:
            return None
        if self.bounded:
            taken.append((pool, slot, mask, units))
        return [(slot, mode, start + begin, start + end) for begin, end in intervals]


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
    room: FloatArray, hours: float, lo: float, hi: float, width: float, late: bool
) -> tuple[list[tuple[float, float]] | None, npt.NDArray[np.bool_]]:
    """The first (or last) parts that make so many hours, as intervals from the start of the slot."""
    mask = np.zeros(PARTS, dtype=np.bool_)
    if room.sum() < hours * (1.0 - 1e-9):
        return None, mask
    intervals: list[tuple[float, float]] = []
    left = hours
    for part in range(PARTS - 1, -1, -1) if late else range(PARTS):
        if room[part] <= 0.0:
            continue
        take = min(float(room[part]), left)
        begin = max(part * width, lo)
        end = min((part + 1) * width, hi)
        begin, end = (end - take, end) if late else (begin, begin + take)
        mask[part] = True
        if intervals and not late and abs(intervals[-1][1] - begin) < 1e-12:
            intervals[-1] = (intervals[-1][0], end)
        elif intervals and late and abs(intervals[-1][0] - end) < 1e-12:
            intervals[-1] = (begin, intervals[-1][1])
        else:
            intervals.append((begin, end))
        left -= take
        if left <= hours * 1e-12:
            break
    return sorted(intervals), mask
