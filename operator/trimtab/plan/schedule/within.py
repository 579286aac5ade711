"""Keeps jobs within budgets that do not cut work: what its rest does not pay for is put off past its end."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Want
from trimtab.plan.schedule.problem import FloatArray, Schedule, SchedulingProblem
from trimtab.plan.schedule.programme import RESOURCES
from trimtab.plan.schedule.purses import Purses, of_pieces, spending_by_entry
from trimtab.plan.schedule.respond import Asked, Responses, respond
from trimtab.plan.schedule.tables import Surcharge, Tables, build_tables

if TYPE_CHECKING:
    from trimtab.plan.schedule.place import Placing

_DEAR = 1e3
"""Price of what a budget lacks where a deadline leaves no other way, in the mean price that the job pays for it."""
_TRIES = 4
"""Attempts for each budget of a job to stay within it before all of its time is closed."""
_TOGETHER = 250


def within_budgets(placing: "Placing", one: Asked, first: Responses, one_mode: bool) -> Responses:
    """The best plan of a job that its budgets can pay; where its deadline leaves none, one that overruns them least.

    Args:
        placing: What is placed so far. It is not changed.
        one: The job.
        first: Its plan without regard to what is left, which overruns a budget.
        one_mode: No slot is shared by two modes.
    """
    row, purses, tables = int(one.rows[0]), placing.purses, placing.tables
    most: dict[int, FloatArray] = {}
    answer, tried = first, [first]
    for _ in range(_TRIES * len(purses.of(row))):
        short = purses.short(row, answer.wants[0])
        if not short:
            return answer
        for index in short:
            _close(most, index, tables, purses, row, answer.wants[0])
        hours = np.minimum.reduce([*most.values(), *([] if one.most is None else [one.most[0]])])
        asked = Asked(one.rows, one.work, one.deadline, one.busy, hours[None, :])
        answer = respond(tables, placing.capacity, asked, placing.unit_price, one_mode)
        if bool(answer.missed[0]) and not bool(first.missed[0]):
            break
        tried.append(answer)
    if not purses.short(row, tried[-1].wants[0]):
        return tried[-1]
    if row in placing.hints:
        support = np.where(placing.hints[row] > 0.0, np.inf, 0.0)
        for hours in (np.minimum(2.0 * placing.hints[row], support), support):
            asked = Asked(one.rows, one.work, one.deadline, one.busy, hours[None, :])
            tried.append(respond(tables, placing.capacity, asked, placing.unit_price, one_mode))
    dear = replace(tables, surcharges=(*tables.surcharges, *_dear(tables, purses, row, first.wants[0])))
    tried.append(respond(dear, placing.capacity, one, placing.unit_price, one_mode))
    return min(tried, key=lambda each: (bool(each.missed[0]), purses.excess(row, each.wants[0])))


def note_budgets(placing: "Placing", asked: Asked) -> None:
    """Note on the placement which jobs budgets that do not cut have put off, and which of these budgets are overrun."""
    tables, purses, placement = replace(placing.tables, surcharges=()), placing.purses, placing.placement
    placement.overruns = purses.overruns()
    which = np.flatnonzero(np.array([purses.saves(row) for row in asked.rows.tolist()], dtype=np.bool_))
    for part in asked.pick(which).chunks(_TOGETHER):
        free = respond(tables, Capacity(tables), part)
        for row, want in zip(part.rows.tolist(), free.wants, strict=True):
            if purses.spends_less(row, of_pieces(placement.pieces[row]), want):
                placement.put_off.add(row)


def any_overrun(problem: SchedulingProblem, schedule: Schedule) -> bool:
    """Whether a schedule that was made without them overruns a budget that does not cut."""
    tables, keys = build_tables(problem), tuple(job.key for job in problem.jobs)
    purses = Purses(tables, problem.budgets, keys)
    for row, plan in enumerate(schedule.jobs):
        if plan.runs and purses.of(row):
            purses.pay(row, of_pieces([(run.slot, run.mode, run.start_hours, run.end_hours) for run in plan.runs]))
    return any(not problem.budgets[each.budget].cuts for each in purses.overruns())


def _close(most: dict[int, FloatArray], index: int, tables: Tables, purses: Purses, row: int, want: Want) -> None:
    """Leave of the time of a short budget the hours that its rest pays for; where that changes nothing, none."""
    slots = purses.slots[index]
    before = most.get(index, np.full(tables.slot_count, np.inf))
    after = np.where(slots, np.minimum(before, _paid(tables, purses, row, want, index)), before)
    most[index] = after if (after < before * (1.0 - 1e-9)).any() else np.where(slots, 0.0, before)


def _paid(tables: Tables, purses: Purses, row: int, want: Want, index: int) -> FloatArray:
    """(T) Hours of a plan that the rest of a budget pays for, the cheapest first."""
    mine = np.flatnonzero(purses.slots[index][want.slots])
    slots, modes = want.slots[mine], want.modes[mine]
    cost = tables.priced(np.array([row]))[0][modes, slots] / tables.rate[row, modes]
    order = mine[np.argsort(cost, kind="stable")]
    each = spending_by_entry(tables, row, want)[:, order]
    left = np.maximum(purses.left(index), 0.0)[:, None] - (np.cumsum(each, axis=1) - each)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(each > 0.0, np.clip(left / each, 0.0, 1.0), 1.0).min(axis=0)
    paid = np.zeros(tables.slot_count)
    np.add.at(paid, want.slots[order], share * want.hours[order] * (1.0 - 1e-9))
    return paid


def _dear(tables: Tables, purses: Purses, row: int, want: Want) -> list[Surcharge]:
    """Prices at which the job spends as little of its short budgets as its deadline lets it."""
    rows = np.zeros(tables.job_count, dtype=np.bool_)
    rows[row] = True
    cost = tables.priced(np.array([row]))[0][want.modes, want.slots] * want.hours
    worth: float = max(float(cost.sum()), 1e-9)
    found = []
    for index in purses.short(row, want):
        spent: FloatArray = purses.spending(row, want, index)
        for resource, name in enumerate(RESOURCES):
            if np.isfinite(purses.left(index)[resource]) and spent[resource] > 0.0:
                price = _DEAR * worth / float(spent[resource])
                found.append(Surcharge(rows, purses.slots[index], **{name: price}))
    return found
