"""A lower bound of the programme of jobs that share units: its Lagrangian dual, for what is too large to solve.

The rows of capacity get a price for each hour; at given prices each job is on its own, and what all jobs cost at
these prices, less what the units that there are cost, is at most the optimum (weak duality). The prices are improved by
subgradient ascent with steps of Duchi, Hazan and Singer, "Adaptive Subgradient Methods", JMLR 2011.
"""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.progress import track
from trimtab.simulate.training.shared_programme import Programme

FloatArray = npt.NDArray[np.float64]

_ROUNDS = 150
_HALVINGS = 40


def dual_bound(programme: Programme, rounds: int = _ROUNDS) -> float:
    """The best bound of so many rounds. Any prices give a valid one: more rounds make it tighter, never wrong."""
    order = np.argsort(programme.cell, kind="stable")
    columns = _Columns(programme, order)
    prices = np.zeros(columns.hours)
    squares = np.full(columns.hours, 1e-12)
    spread = float(np.median(np.abs(programme.cost / programme.units)))
    best = -np.inf
    for _ in track(range(rounds), "bound of the optimum"):
        bound, usage = columns.respond(prices)
        best = max(best, bound)
        slope = usage - programme.capacity_units
        squares += slope**2
        prices = np.maximum(prices + 0.5 * spread * slope / np.sqrt(squares), 0.0)
    return best


class _Columns:
    """The columns in order of cells, so that the best of each cell is found in one sweep."""

    def __init__(self, programme: Programme, order: npt.NDArray[np.int64]) -> None:
        self._programme = programme
        self.hours = int(programme.hour.max()) + 1
        self._job, self._hour = programme.job[order], programme.hour[order]
        self._cost, self._speed, self._units = programme.cost[order], programme.speed[order], programme.units[order]
        cell = programme.cell[order]
        self._first = np.flatnonzero(np.diff(cell, prepend=-1))
        self._of_cell = np.cumsum(np.diff(cell, prepend=cell[0]) > 0)
        self._room = programme.room_hours[order][self._first]
        self._cell_job, self._cell_hour = self._job[self._first], self._hour[self._first]
        self._single = len(self._first) == len(cell)

    def respond(self, prices: FloatArray) -> tuple[float, FloatArray]:
        """The bound at these prices of unit hours, and the units that jobs would use in each hour."""
        cost = self._cost + prices[self._hour] * self._units
        work, jobs = self._programme.work, len(self._programme.work)
        low = np.zeros(jobs)
        high = np.zeros(jobs)
        np.maximum.at(high, self._job, cost / self._speed)
        high = high * 64.0 + 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            enough = self._done(cost, middle)[0] >= work
            high, low = np.where(enough, middle, high), np.where(enough, low, middle)
        done_low, units_low, _ = self._done(cost, low)
        done_high, units_high, profit = self._done(cost, high)
        bound = float((high * work).sum() - profit - self._programme.capacity_units * prices.sum())
        # The response that does the work exactly lies between the two.
        gap = done_high - done_low
        share = np.divide(work - done_low, gap, out=np.ones(jobs), where=gap > 0)[self._cell_job]
        usage = units_low + np.clip(share, 0.0, 1.0) * (units_high - units_low)
        return bound, np.bincount(self._cell_hour, usage * self._room, self.hours).astype(np.float64)

    def _done(self, cost: FloatArray, worth: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Work of each job, units of each cell and profit in all, when an hour of work is worth so much to each job."""
        value = worth[self._job] * self._speed - cost
        if self._single:
            pick: npt.NDArray[np.int64] | slice = slice(None)
            best = value
        else:
            best = np.maximum.reduceat(value, self._first)
            is_best = np.flatnonzero(value >= best[self._of_cell])
            pick = is_best[np.flatnonzero(np.diff(self._of_cell[is_best], prepend=-1))]
        runs = best > 0.0
        speed = np.where(runs, self._speed[pick], 0.0)
        done = np.bincount(self._cell_job, speed * self._room, len(self._programme.work)).astype(np.float64)
        profit = float((np.where(runs, best, 0.0) * self._room).sum())
        return done, np.asarray(np.where(runs, self._units[pick], 0.0)), profit
