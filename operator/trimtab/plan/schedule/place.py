"""Places the jobs one after another into what is left of the pools: whatever the prices were, capacity holds."""

from dataclasses import dataclass, field

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Piece, Want
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.respond import Asked, respond
from trimtab.plan.schedule.tables import IntArray, Tables

_TOGETHER = 400
"""Jobs that choose at the same time. The later of them may find the place taken, and choose again."""
_ROUNDS = 6
"""Choices of a group before the rest choose one by one."""


@dataclass
class Placement:
    """Runs by job, as they are found."""

    pieces: list[list[Piece]]
    short: FloatArray
    """(J) Work that found no place in the horizon."""
    missed: FloatArray
    """(J) 1 where a deadline left no way."""
    displaced: set[int] = field(default_factory=set)
    """Jobs that found the place of their first choice taken."""


def urgency(tables: Tables, priority: IntArray, deadline: FloatArray, keys: list[str]) -> IntArray:
    """The order in which jobs choose: by priority, then least slack for its size, then by key."""
    fastest = tables.rate.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        need = np.where(fastest > 0.0, tables.work / fastest, 0.0) + tables.switch
        slack = (deadline - tables.earliest - need) / np.maximum(need, 1e-9)
    slack = np.where(tables.hard_ceiling, np.inf, slack)
    rank = np.argsort(np.argsort(np.array(keys), kind="stable"), kind="stable") if keys else np.zeros(0, dtype=np.int64)
    return np.lexsort((rank, -need * tables.units.max(axis=1, initial=0.0), slack, -priority))


def place(
    tables: Tables,
    capacity: Capacity,
    order: Asked,
    priority: IntArray,
    unit_price: FloatArray | None,
    first: dict[int, Want] | None = None,
) -> Placement:
    """Place all jobs, in their order.

    Args:
        tables: The problem.
        capacity: What is free; what the jobs take is taken from it.
        order: The jobs, first come first.
        priority: (J) By job.
        unit_price: (P, T) Shadow prices of capacity that steer the choice.
        first: What some jobs try first, found by the linear programme: it fits all but gangs and parts of slots.
    """
    jobs = tables.job_count
    placement = Placement([[] for _ in range(jobs)], np.zeros(jobs), np.zeros(jobs))
    if first:
        order = _take(tables, capacity, order, first, placement)
    at, count = 0, len(order.rows)
    size = _TOGETHER if capacity.bounded else 1000
    while at < count:
        group = order.pick(np.arange(at, min(at + size, count)))
        at += len(group.rows)
        rounds = 0
        while len(group.rows):
            one = rounds >= _ROUNDS
            head = group.pick(np.arange(1)) if one else group
            left = _choose(tables, capacity, head, priority, unit_price, placement)
            group = group.pick(np.arange(1, len(group.rows))) if one else group.pick(left)
            rounds += 1
    return placement


def _choose(
    tables: Tables,
    capacity: Capacity,
    group: Asked,
    priority: IntArray,
    unit_price: FloatArray | None,
    placement: Placement,
) -> IntArray:
    """Let a group choose; returns the positions of those who have to choose again."""
    answers = respond(tables, capacity, group, unit_price)
    left: list[int] = []
    level: int | None = None
    for position, row in enumerate(group.rows.tolist()):
        # Once a job found its place taken, none of a lower priority may go before it.
        pieces = None
        if level is None or priority[row] >= level:
            pieces = capacity.claim(row, answers.wants[position], answers.windows[position])
        if pieces is None:
            left.append(position)
            if level is None or priority[row] > level:
                level = int(priority[row])
            placement.displaced.add(row)
            continue
        placement.pieces[row] = pieces
        placement.short[row] = answers.short[position]
        placement.missed[row] = float(answers.missed[position])
    return np.array(left, dtype=np.int64)


def _take(tables: Tables, capacity: Capacity, order: Asked, first: dict[int, Want], placement: Placement) -> Asked:
    """Let the jobs take what the linear programme gave them; returns those for whom it does not fit."""
    windows = tables.window(order.rows, order.deadline)
    left = []
    for position, row in enumerate(order.rows.tolist()):
        pieces = capacity.claim(row, first[row], windows[position]) if row in first else None
        if pieces is None:
            left.append(position)
            placement.displaced.add(row)
        else:
            placement.pieces[row] = pieces
    return order.pick(np.array(left, dtype=np.int64))
