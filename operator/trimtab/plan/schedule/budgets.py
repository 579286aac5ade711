"""Budgets of money, carbon and energy that several jobs share: what a unit of each is worth."""

from dataclasses import dataclass, replace

import numpy as np

from trimtab.plan.schedule.capacity import Capacity
from trimtab.plan.schedule.fill import fill
from trimtab.plan.schedule.prices import sample
from trimtab.plan.schedule.problem import Budget, FloatArray
from trimtab.plan.schedule.programme import RESOURCES, Bound
from trimtab.plan.schedule.purses import limits, slots_of
from trimtab.plan.schedule.respond import Asked, objective, rooms
from trimtab.plan.schedule.tables import BoolArray, IntArray, Surcharge, Tables

_HALVINGS = 12
"""Steps to find the price of a budget, once it is bracketed."""
_CHEAPEST, _STEP, _DEAREST = 1e-3, 4.0, 14
"""The first price that is tried, in the mean price that the jobs pay for what the budget counts; by how much each is
dearer than the one before; and after how many the budget counts as too small for all its work.
"""
_ROUNDS = 3
"""Times that the prices of several budgets are found, each with the others as they are."""


@dataclass(frozen=True)
class BudgetPrices:
    """What a unit of each budget is worth."""

    tables: Tables
    """The problem with these prices in the objective of the jobs."""
    constant: float
    """What the budgets themselves are worth at these prices, US dollars: the dual value less this is the bound."""


@dataclass(frozen=True)
class _Priced:
    """One resource of a budget, and the jobs that spend it."""

    part: Asked
    """Of many jobs a sample."""
    weight: FloatArray
    """How many jobs each of them stands for."""
    rows: BoolArray
    slots: BoolArray
    resource: int
    limit: float

    def surcharge(self, price: float) -> Surcharge:
        """What its jobs pay at a price."""
        return Surcharge(self.rows, self.slots, **{RESOURCES[self.resource]: price})


def price_budgets(tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...], asked: Asked) -> BudgetPrices:
    """The least price on each budget at which its jobs, each for itself, stay within it.

    Budgets are priced one after another, and where there are several again with the others priced. One that cannot
    hold all its work at any price is left to the placing, which cuts the work of those that come last.
    """
    priced = _priced(tables, budgets, keys, asked)
    prices = [0.0] * len(priced)
    for _ in range(_ROUNDS if len(priced) > 1 else 1):
        before = list(prices)
        for index, each in enumerate(priced):
            others = tuple(
                e.surcharge(p) for i, (e, p) in enumerate(zip(priced, prices, strict=True)) if p and i != index
            )
            prices[index] = _price(replace(tables, surcharges=others), each)
        if prices == before:
            break
    charged = tuple(each.surcharge(price) for each, price in zip(priced, prices, strict=True) if price)
    constant = sum(each.limit * price for each, price in zip(priced, prices, strict=True))
    return BudgetPrices(replace(tables, surcharges=charged), constant)


def bounds_of(tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...]) -> tuple[Bound, ...]:
    """The budgets as rows of the linear programme."""
    return tuple(
        Bound(np.array([key in budget.jobs for key in keys]), slots_of(tables, budget), resource, limit, budget.cuts)
        for budget in budgets
        for resource, limit in enumerate(limits(budget))
        if np.isfinite(limit)
    )


def _priced(tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...], asked: Asked) -> list[_Priced]:
    position = {row: index for index, row in enumerate(asked.rows.tolist())}
    found = []
    for budget in budgets:
        mine = np.array([key in budget.jobs for key in keys], dtype=np.bool_)
        part = asked.pick(
            np.array([position[r] for r in np.flatnonzero(mine).tolist() if r in position], dtype=np.int64)
        )
        if not len(part.rows):
            continue
        slots = slots_of(tables, budget)
        some, weight = sample(tables, part)
        found += [
            _Priced(some, weight, mine, slots, resource, limit)
            for resource, limit in enumerate(limits(budget))
            if np.isfinite(limit)
        ]
    return found


def _price(tables: Tables, each: _Priced) -> float:
    """The least price of a resource at which its jobs together use no more than the limit; 0 where none is needed."""

    def used(price: float) -> float:
        charged = replace(tables, surcharges=(*tables.surcharges, each.surcharge(price)))
        return _used(charged, each)

    now = used(0.0)
    if now <= each.limit:
        return 0.0
    high = _worth(tables, each) / max(now, 1e-12) * _CHEAPEST
    found = [(high, used(high))]
    while found[-1][1] > each.limit and len(found) < _DEAREST:
        high *= _STEP
        found.append((high, used(high)))
    if found[-1][1] > each.limit:
        return 0.0
    below = found[-2][0] if len(found) > 1 else 0.0
    for _ in range(_HALVINGS):
        middle = (below + high) / 2.0
        below, high = (below, middle) if used(middle) <= each.limit else (middle, high)
    return high


def _plan(tables: Tables, part: Asked) -> tuple[IntArray, IntArray, IntArray, FloatArray, FloatArray]:
    """The jobs' cheapest plans: position, mode, slot, hours and objective of each entry."""
    hours = rooms(tables, Capacity(tables), part.rows, tables.window(part.rows, part.deadline))
    cost = objective(tables, part.rows, None)
    filled = fill(cost, hours, tables.rate[part.rows], part.work)
    job, slot, step = np.nonzero(filled.hours > 0.0)
    mode, run = filled.mode[job, slot, step], filled.hours[job, slot, step]
    return job, mode, slot, run, cost[job, mode, slot] * run


def _worth(tables: Tables, each: _Priced) -> float:
    """The objective of the jobs' cheapest plans together, US dollars."""
    job, _, _, _, value = _plan(tables, each.part)
    return max(float((value * each.weight[job]).sum()), 1e-6)


def _used(tables: Tables, each: _Priced) -> float:
    """What the jobs' cheapest plans use of the resource together, in the slots of the budget."""
    job, mode, slot, run, _ = _plan(tables, each.part)
    counted = each.slots[slot]
    job, mode, slot, run = job[counted], mode[counted], slot[counted], run[counted]
    row = each.part.rows[job]
    pool = tables.pool[row, mode]
    held, energy = run * tables.units[row, mode], run * tables.kilowatts[row, mode]
    if each.resource == 0:
        use = held * tables.usd[pool, slot]
    elif each.resource == 1:
        use = energy * tables.grams_kwh[pool, slot] + held * tables.embodied[pool]
    else:
        use = energy
    return float((use * each.weight[job]).sum())
