"""Mends a schedule whose jobs were placed one after another: late jobs, and idle units that a job could use."""

import math

import numpy as np

from trimtab.plan.schedule.place import Placing, Snapshot
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import IntArray, Tables

_TRIES = 120
"""Attempts to make room for late jobs, all together."""
_LOOKS = 60_000
"""Jobs that are looked at for that, all together: of many jobs few attempts are made."""
_MAKE_ROOM = (6, 36)
"""Jobs that are moved to make room for one, attempt after attempt."""
_BETTER = 1e-9


def lateness(placing: Placing, row: int) -> float:
    """Hours by which a job misses its deadline; what it leaves undone counts at its fastest."""
    tables, pieces = placing.tables, placing.placement.pieces[row]
    if tables.hard_ceiling[row]:
        return 0.0
    short = float(placing.placement.short[row])
    if short > 0.0 or not pieces:
        return float(tables.edges[-1] - tables.deadline[row]) + max(short, 0.0) / float(tables.rate[row].max()) + 1.0
    return max(pieces[-1][3] - float(tables.deadline[row]) - 1e-7, 0.0)


def make_room(placing: Placing, asked: Asked, possible: set[int]) -> None:
    """Move jobs that can wait out of the way of those that are late, as long as that makes the lateness less.

    Args:
        placing: What is placed; changed in place.
        asked: All jobs, in the order of urgency.
        possible: Jobs that could meet their deadline, had they all the capacity.
    """
    place_of = {row: index for index, row in enumerate(asked.rows.tolist())}
    late = [row for row in place_of if row in possible and lateness(placing, row) > 0.0]
    tries = _TRIES - min(_TRIES, max(_LOOKS // len(asked.rows), 4))
    for row in late:
        for most in _MAKE_ROOM:
            if tries >= _TRIES or row in placing.placement.cut or lateness(placing, row) <= 0.0:
                break
            tries += 1
            others = _in_the_way(placing, row, most)
            if not others:
                break
            affected = [row, *others]
            before = sum(lateness(placing, each) for each in affected)
            undo = placing.snapshot(affected)
            placing.release(affected)
            placing.place(asked.pick(np.array([place_of[row]])))
            rest = sorted(place_of[each] for each in others)
            placing.place(asked.pick(np.array(rest, dtype=np.int64)))
            if sum(lateness(placing, each) for each in affected) >= before - _BETTER:
                placing.restore(undo)


def _in_the_way(placing: Placing, row: int, most: int) -> list[int]:
    """Jobs that hold, within a job's window, units of a pool that it can use; those that can best wait first."""
    tables = placing.tables
    pools = set(tables.pool[row][tables.valid[row]].tolist())
    low, high = float(tables.earliest[row]), float(tables.deadline[row])
    found: list[tuple[float, int]] = []
    for other, pieces in enumerate(placing.placement.pieces):
        if other == row or not pieces or tables.priority[other] > tables.priority[row]:
            continue
        if pieces[0][2] >= high or pieces[-1][3] <= low:
            continue
        if any(p[2] < high and p[3] > low and int(tables.pool[other, p[1]]) in pools for p in pieces):
            found.append((-_laxity(tables, other), other))
    return [other for _, other in sorted(found)[:most]]


def _laxity(tables: Tables, row: int) -> float:
    """Hours that a job may still wait, at its fastest."""
    if tables.hard_ceiling[row]:
        return math.inf
    need = float(tables.work[row]) / float(tables.rate[row].max()) + float(tables.switch[row])
    return float(tables.deadline[row] - tables.earliest[row]) - need


def pull_forward(placing: Placing, asked: Asked, which: IntArray) -> None:
    """Let jobs choose once more, now that all others have their place: cheaper, or earlier at the same cost.

    Args:
        placing: What is placed; changed in place.
        asked: All jobs, in the order of urgency.
        which: Positions of those that choose again.
    """
    placing.unit_price = None
    for position in which.tolist():
        row = int(asked.rows[position])
        if row in placing.placement.cut:
            continue
        before, over = (lateness(placing, row), _value(placing, row)), placing.purses.overrun()
        undo: Snapshot = placing.snapshot([row])
        placing.release([row])
        placing.place(asked.pick(np.array([position])))
        after = (lateness(placing, row), _value(placing, row))
        later = after[0] > before[0] + _BETTER or placing.purses.overrun() > over + _BETTER
        sooner = after[0] < before[0] - _BETTER
        if later or (not sooner and after[1] >= before[1] * (1.0 - _BETTER)):
            placing.restore(undo)


def _value(placing: Placing, row: int) -> float:
    """The objective of a job, what breaks ties included, US dollars; infinite while work is undone."""
    tables, pieces = placing.tables, placing.placement.pieces[row]
    if placing.placement.short[row] > 0.0 or not pieces:
        return math.inf
    cost = tables.priced(np.array([row]))[0]
    spent = sum(float(cost[mode, slot]) * (end - start) for slot, mode, start, end in pieces)
    return spent + float(tables.delay[row]) * pieces[-1][3]
