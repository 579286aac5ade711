"""Budgets of money, carbon and energy that several jobs share: what is left of them, and what it is worth."""

from dataclasses import dataclass, replace

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Piece, Want
from trimtab.plan.schedule.fill import fill
from trimtab.plan.schedule.problem import Budget, FloatArray
from trimtab.plan.schedule.respond import Asked, objective, rooms
from trimtab.plan.schedule.tables import IntArray, Tables

_ROUNDING = 1e-9
_HALVINGS = 12
"""Steps to find the price of a budget, once it is bracketed."""
_DEAREST = 40
"""Doublings of the price of a budget before it counts as too small for all its work."""


class Purses:
    """What is left of each budget while jobs are placed."""

    def __init__(self, tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...]) -> None:
        self._tables = tables
        self._left = np.array([_limits(budget) for budget in budgets]).reshape(-1, 3)
        # Rounding may overrun a budget by a billionth; what is spent is rounded as well.
        self._room = np.where(np.isfinite(self._left), np.abs(self._left) * _ROUNDING, 0.0)
        self._of: list[list[int]] = [[] for _ in keys]
        for index, budget in enumerate(budgets):
            for row, key in enumerate(keys):
                if key in budget.jobs:
                    self._of[row].append(index)

    def share(self, row: int, want: Want) -> float:
        """The share of this spending that the budgets of a job still allow, at most 1."""
        share = 1.0
        if not self._of or not self._of[row]:
            return share
        needed = spending(self._tables, row, want)
        for index in self._of[row]:
            over = needed > self._left[index] + self._room[index]
            if over.any():
                share = min(share, float((np.maximum(self._left[index][over], 0.0) / needed[over]).min()))
        return share

    def pay(self, row: int, want: Want) -> None:
        """Take a job's spending out of its budgets."""
        if self._of and self._of[row]:
            self._left[self._of[row]] -= spending(self._tables, row, want)

    def pay_back(self, row: int, pieces: list[Piece]) -> None:
        """Return a job's spending to its budgets."""
        if self._of and self._of[row] and pieces:
            self._left[self._of[row]] += spending(self._tables, row, _of_pieces(pieces))

    def copy(self) -> FloatArray:
        """What is left, to be put back later."""
        return self._left.copy()

    def put_back(self, left: FloatArray) -> None:
        """Return to what was left at the time of a copy."""
        self._left = left


def _of_pieces(pieces: list[Piece]) -> Want:
    flat = np.array(pieces, dtype=np.float64).reshape(-1, 4)
    return Want(flat[:, 0].astype(np.int64), flat[:, 1].astype(np.int64), flat[:, 3] - flat[:, 2])


def spending(tables: Tables, row: int, want: Want) -> FloatArray:
    """Money (USD), carbon (gCO2e) and energy (kWh) of some hours of a job: (3)."""
    pool, units = tables.pool[row, want.modes], tables.units[row, want.modes]
    energy = want.hours * tables.kilowatts[row, want.modes]
    held = want.hours * units
    grams = energy * tables.grams_kwh[pool, want.slots] + held * tables.embodied[pool]
    return np.array([float((held * tables.usd[pool, want.slots]).sum()), float(grams.sum()), float(energy.sum())])


def _limits(budget: Budget) -> tuple[float, float, float]:
    return budget.usd, budget.grams, budget.kilowatt_hours


@dataclass(frozen=True)
class BudgetPrices:
    """What a unit of each budget is worth."""

    tables: Tables
    """The problem with these prices in the objective of the jobs."""
    constant: float
    """What the budgets themselves are worth at these prices, US dollars: the dual value less this is the bound."""
    grams: FloatArray
    """(J) What a gram costs on top of its price, US dollars."""


def price_budgets(tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...], asked: Asked) -> BudgetPrices:
    """The least price on each budget at which its jobs, each for itself, stay within it.

    Budgets are priced one after another; one that cannot hold all its work at any price is left to the placing, which
    cuts the work of those that come last.
    """
    constant, on_top = 0.0, np.zeros(tables.job_count)
    position = {row: index for index, row in enumerate(asked.rows.tolist())}
    for budget in budgets:
        rows = [position[row] for row, key in enumerate(keys) if key in budget.jobs and row in position]
        part = asked.pick(np.array(rows, dtype=np.int64))
        for resource, limit in enumerate(_limits(budget)):
            if not rows or not np.isfinite(limit):
                continue
            price = _price(tables, part, resource, limit)
            if price > 0.0:
                tables = _with(tables, part.rows, resource, price)
                constant += price * limit
                if resource == 1:
                    on_top[part.rows] += price
    return BudgetPrices(tables, constant, on_top)


def _with(tables: Tables, rows: IntArray, resource: int, price: float) -> Tables:
    name = ("usd_weight", "usd_per_gram", "usd_per_kwh")[resource]
    values = getattr(tables, name).copy()
    values[rows] += price
    return replace(tables, **{name: values})


def _price(tables: Tables, part: Asked, resource: int, limit: float) -> float:
    """The least price of a resource at which its jobs together use no more than the limit; 0 where none is needed."""

    def used(price: float) -> float:
        return float(_used(_with(tables, part.rows, resource, price), part)[resource])

    now = used(0.0)
    if now <= limit:
        return 0.0
    money = float((tables.usd_weight[part.rows] * _used(tables, part)[0]).max(initial=0.0))
    high = max(money, 1e-6) / max(now, 1e-12) * 1e-3
    for _ in range(_DEAREST):
        if used(high) <= limit:
            break
        high *= 2.0
    else:
        return 0.0
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if used(middle) <= limit else (middle, high)
    return high


def _used(tables: Tables, part: Asked) -> FloatArray:
    """Money, carbon and energy of the jobs' cheapest plans together: (3)."""
    capacity = Capacity(tables)
    hours = rooms(tables, capacity, part.rows, tables.window(part.rows, part.deadline))
    filled = fill(objective(tables, part.rows, None), hours, tables.rate[part.rows], part.work)
    job, slot, step = np.nonzero(filled.hours > 0.0)
    row, mode, run = part.rows[job], filled.mode[job, slot, step], filled.hours[job, slot, step]
    pool = tables.pool[row, mode]
    held, energy = run * tables.units[row, mode], run * tables.kilowatts[row, mode]
    grams = energy * tables.grams_kwh[pool, slot] + held * tables.embodied[pool]
    return np.array([(held * tables.usd[pool, slot]).sum(), grams.sum(), energy.sum()])
