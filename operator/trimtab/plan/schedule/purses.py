"""What is left of each budget while jobs are placed."""

import numpy as np

from trimtab.plan.schedule.capacity import Piece, Want
from trimtab.plan.schedule.problem import Budget, FloatArray, Overrun
from trimtab.plan.schedule.tables import BoolArray, Tables

_ROUNDING = 1e-9
_EDGE_HOURS = 1e-6


def limits(budget: Budget) -> tuple[float, float, float]:
    """Money, carbon and energy that it has."""
    return budget.usd, budget.grams, budget.kilowatt_hours


def slots_of(tables: Tables, budget: Budget) -> BoolArray:
    """(T) The slots whose spending it counts.

    Raises:
        ValueError: It begins or ends within a slot.
    """
    for name, at in (("from_hours", budget.from_hours), ("until_hours", budget.until_hours)):
        if 0.0 < at < tables.edges[-1] and np.abs(tables.edges - at).min() > _EDGE_HOURS:
            raise ValueError(f"budget {budget.name}: {name} is {at}, within a slot; give an edge of the slots")
    start = tables.edges[:-1]
    return np.asarray((start >= budget.from_hours - _EDGE_HOURS) & (start < budget.until_hours - _EDGE_HOURS))


def spending_by_entry(tables: Tables, row: int, want: Want) -> FloatArray:
    """Money (USD), carbon (gCO2e) and energy (kWh) of each entry of a wish: (3, n)."""
    pool, units = tables.pool[row, want.modes], tables.units[row, want.modes]
    energy = want.hours * tables.kilowatts[row, want.modes]
    held = want.hours * units
    grams = energy * tables.grams_kwh[pool, want.slots] + held * tables.embodied[pool]
    return np.stack([held * tables.usd[pool, want.slots], grams, energy])


class Purses:
    """What is left of each budget. Local to one call of `solve`."""

    def __init__(self, tables: Tables, budgets: tuple[Budget, ...], keys: tuple[str, ...]) -> None:
        self._tables = tables
        self._left = np.array([limits(budget) for budget in budgets]).reshape(-1, 3)
        # Rounding may overrun a budget by a billionth; what is spent is rounded as well.
        self._size = np.where(np.isfinite(self._left), np.abs(self._left), 1.0)
        self._bounded = np.isfinite(self._left)
        self._room = np.where(np.isfinite(self._left), self._size * _ROUNDING, 0.0)
        self._cuts = [budget.cuts for budget in budgets]
        self.slots = [slots_of(tables, budget) for budget in budgets]
        """(T) of each budget: the slots whose spending it counts."""
        self._of: list[list[int]] = [[] for _ in keys] if budgets else []
        for index, budget in enumerate(budgets):
            for row, key in enumerate(keys):
                if key in budget.jobs:
                    self._of[row].append(index)

    def of(self, row: int) -> list[int]:
        """The budgets of a job."""
        return self._of[row] if self._of else []

    def left(self, index: int) -> FloatArray:
        """(3) Of a budget."""
        return np.asarray(self._left[index] + self._room[index])

    def share(self, row: int, want: Want) -> float:
        """The share of this spending that the budgets that cut still allow, at most 1."""
        share = 1.0
        for index in self.of(row):
            if not self._cuts[index]:
                continue
            needed = self._spending(row, want, index)
            over = needed > self._left[index] + self._room[index]
            if over.any():
                share = min(share, float((np.maximum(self._left[index][over], 0.0) / needed[over]).min()))
        return share

    def short(self, row: int, want: Want) -> list[int]:
        """The budgets that do not cut, and that this spending would overrun or overrun further."""
        return [index for index in self.of(row) if not self._cuts[index] and self._over(row, want, index)]

    def saves(self, row: int) -> bool:
        """Whether a job is under a budget that does not cut."""
        return any(not self._cuts[index] for index in self.of(row))

    def spends_less(self, row: int, planned: Want, wanted: Want) -> bool:
        """Whether a plan spends less than another in the time of a budget that does not cut."""
        return any(
            (self._spending(row, planned, i) < self._spending(row, wanted, i) * (1.0 - 1e-6))[self._bounded[i]].any()
            for i in self.of(row)
            if not self._cuts[i]
        )

    def excess(self, row: int, want: Want) -> float:
        """By how much this spending overruns budgets that do not cut, each as a share of the budget, in all."""
        total = 0.0
        for index in self.of(row):
            over = self._spending(row, want, index) - np.maximum(self._left[index], 0.0)
            if not self._cuts[index]:
                total += self._shares(np.where(over > self._room[index], over, 0.0), index)
        return total

    def _shares(self, over: FloatArray, index: int) -> float:
        return float((over / np.maximum(self._size[index], 1e-9)).sum())

    def _over(self, row: int, want: Want, index: int) -> bool:
        needed = self._spending(row, want, index)
        return bool(((needed > np.maximum(self._left[index], 0.0) + self._room[index]) & (needed > 0.0)).any())

    def _spending(self, row: int, want: Want, index: int) -> FloatArray:
        counts = self.slots[index][want.slots]
        return np.asarray((spending_by_entry(self._tables, row, want) * counts).sum(axis=1))

    def spending(self, row: int, want: Want, index: int) -> FloatArray:
        """(3) What of this a budget counts."""
        return self._spending(row, want, index)

    def pay(self, row: int, want: Want) -> None:
        """Take a job's spending out of its budgets."""
        for index in self.of(row):
            self._left[index] -= self._spending(row, want, index)

    def pay_back(self, row: int, pieces: list[Piece]) -> None:
        """Return a job's spending to its budgets."""
        if pieces:
            for index in self.of(row):
                self._left[index] += self._spending(row, of_pieces(pieces), index)

    def overruns(self) -> tuple[Overrun, ...]:
        """The budgets that are overrun, and by how much."""
        found = []
        for index, left in enumerate(self._left):
            over = np.where(left < -self._room[index] - 1e-12, -left, 0.0)
            if over.any():
                found.append(Overrun(index, *over.tolist()))
        return tuple(found)

    def overdrawn(self) -> set[int]:
        """The jobs of the budgets that are overrun."""
        over = {each.budget for each in self.overruns()}
        return {row for row, mine in enumerate(self._of) if over.intersection(mine)} if over else set()

    def overrun(self) -> float:
        """All overruns together, each as a share of its budget: to compare two placements by."""
        return sum(
            self._shares(np.where(left < -self._room[index] - 1e-12, -left, 0.0), index)
            for index, left in enumerate(self._left)
        )

    def copy(self) -> FloatArray:
        """What is left, to be put back later."""
        return self._left.copy()

    def put_back(self, left: FloatArray) -> None:
        """Return to what was left at the time of a copy."""
        self._left = left


def of_pieces(pieces: list[Piece]) -> Want:
    """Runs as a wish."""
    flat = np.array(pieces, dtype=np.float64).reshape(-1, 4)
    return Want(flat[:, 0].astype(np.int64), flat[:, 1].astype(np.int64), flat[:, 3] - flat[:, 2])
