"""What capacity is worth: a price for each pool and slot at which the jobs, each for itself, ask for what there is.

The prices are the multipliers of the capacity constraints. They steer the placing, and the dual value at any prices is
a bound that no schedule beats. Small problems get them from the linear programme itself (`programme`), large ones from
subgradient steps on a sample of the jobs, of the length of B. T. Polyak, "Minimization of unsmooth functionals" (USSR
Computational Mathematics and Mathematical Physics, 1969), towards a target that moves as in the level methods.
"""

from dataclasses import dataclass

import numpy as np

from trimtab.plan.schedule.fill import fill
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.respond import Asked, below_ceiling, objective
from trimtab.plan.schedule.tables import IntArray, Tables

_SAMPLE = 300
"""Jobs from which the prices of a large problem are found."""
_STEPS = 18
"""Subgradient steps."""
_CHUNK = 250


@dataclass(frozen=True)
class Market:
    """What the jobs ask for at some prices, each for itself, starts and their cost left out."""

    value: FloatArray
    """(n) Least objective of each job at these prices, US dollars."""
    load: FloatArray
    """(P, T) Unit-hours that are asked for."""
    short: FloatArray
    """(n) Work for which a job's window has no room."""
    marginal: FloatArray
    """(n) Cost of the last unit of work."""


def demand(tables: Tables, asked: Asked, unit_price: FloatArray | None, weight: FloatArray | None = None) -> Market:
    """What the jobs ask for at these prices, had each all the capacity for itself."""
    count = len(asked.rows)
    value, short, marginal = np.zeros(count), np.zeros(count), np.zeros(count)
    load = np.zeros_like(tables.free_units)
    # Jobs of about the same window together: the slots of none of them need not be looked at.
    first = np.searchsorted(tables.edges, tables.earliest[asked.rows], side="right") - 1
    last = np.searchsorted(tables.edges, asked.deadline, side="left")
    order = np.lexsort((last, first))
    for at in range(0, count, _CHUNK):
        which = order[at : at + _CHUNK]
        begin = min(int(first[which].min()), tables.slot_count - 1)
        end = max(int(last[which].max()), begin + 1)
        prices = None if unit_price is None else unit_price[:, begin:end]
        weights = None if weight is None else weight[which]
        part = _demand(tables.cut(begin, end), asked.pick(which), prices, weights)
        value[which], short[which], marginal[which] = part.value, part.short, part.marginal
        load[:, begin:end] += part.load
    return Market(value, load, short, marginal)


def all_rooms(tables: Tables, asked: Asked) -> FloatArray:
    """Hours in which each job may run in each mode and slot, (n, M, T), had it all the capacity for itself."""
    rows = asked.rows
    fits = tables.free_units[tables.pool[rows]] >= tables.units[rows][:, :, None] * (1.0 - 1e-9)
    hours = np.where(fits & tables.valid[rows][:, :, None], asked.window(tables)[:, None, :], 0.0)
    return below_ceiling(tables, rows, hours)


def _demand(tables: Tables, asked: Asked, unit_price: FloatArray | None, weight: FloatArray | None) -> Market:
    cost = relaxed_objective(tables, asked, unit_price)
    filled = fill(cost, all_rooms(tables, asked), tables.rate[asked.rows], asked.work)
    job, slot, step = np.nonzero(filled.hours > 0.0)
    mode, run = filled.mode[job, slot, step], filled.hours[job, slot, step]
    row = asked.rows[job]
    value = np.bincount(job, cost[job, mode, slot] * run, len(asked.rows)).astype(np.float64)
    if weight is not None:
        run = run * weight[job]
    at = tables.pool[row, mode] * tables.slot_count + slot
    load = np.bincount(at, run * tables.units[row, mode], tables.free_units.size).astype(np.float64)
    return Market(value, load.reshape(tables.free_units.shape), filled.short, filled.marginal)


def relaxed_objective(tables: Tables, asked: Asked, unit_price: FloatArray | None) -> FloatArray:
    """The objective of an hour with delay spread over the work: done at an instant, it costs its share of that delay.

    No job ends before the mean instant of its work, so that this is never more than what delay costs: the mean busy
    time relaxation of M. X. Goemans, M. Queyranne, A. S. Schulz, M. Skutella and Y. Wang, "Single machine scheduling
    with release dates" (SIAM Journal on Discrete Mathematics, 2002).
    """
    cost = objective(tables, asked.rows, unit_price)
    if tables.delay[asked.rows].any():
        share = tables.delay[asked.rows][:, None] * tables.rate[asked.rows] / asked.work[:, None]
        cost = (
            cost + share[:, :, None] * np.maximum(tables.edges[:-1], tables.earliest[asked.rows][:, None])[:, None, :]
        )
    return cost


def supply(tables: Tables) -> FloatArray:
    """(P, T) Unit-hours that there are; infinite where there is no limit."""
    return tables.free_units * tables.hours[None, :]


def overloaded(tables: Tables, load: FloatArray) -> bool:
    """Whether a pool is asked for more than it has in some slot."""
    return bool((load > supply(tables) * (1.0 + 1e-9) + 1e-9).any())


def sample(tables: Tables, asked: Asked, most: int = _SAMPLE) -> tuple[Asked, FloatArray]:
    """Every so-manieth job in order of size, and how many each of them stands for, by size."""
    count = len(asked.rows)
    if count <= most:
        return asked, np.ones(count)
    fastest = np.maximum(tables.rate[asked.rows].max(axis=1), 1e-12)
    size = asked.work / fastest * tables.units[asked.rows].max(axis=1)
    order = np.argsort(-size, kind="stable")
    step = count / most
    group = (np.arange(count) / step).astype(np.int64)
    total = np.bincount(group, size[order], most)
    first: IntArray = order[np.minimum((np.arange(most) * step + step / 2).astype(np.int64), count - 1)]
    return asked.pick(first), total / np.maximum(size[first], 1e-12)


def subgradient_prices(tables: Tables, asked: Asked) -> FloatArray:
    """(P, T) Prices of a unit-hour, US dollars, by subgradient steps."""
    part, weight = sample(tables, asked)
    room = supply(tables)
    finite = np.isfinite(room)
    room = np.where(finite, room, 0.0)
    price = np.zeros_like(room)
    best, best_value, ahead = price, -np.inf, 0.0
    for step in range(_STEPS):
        market = demand(tables, part, price, weight)
        value = float((market.value * weight).sum() - (price * room).sum())
        if step == 0:
            ahead = 0.01 * abs(value)
        elif value > best_value + 0.3 * ahead:
            ahead *= 1.2
        else:
            ahead *= 0.7
        if value > best_value:
            best, best_value = price, value
        slope = np.where(finite, market.load - room, 0.0)
        slope[(price <= 0.0) & (slope < 0.0)] = 0.0
        steepness = float((slope**2).sum())
        if steepness <= 0.0:
            break
        price = np.maximum(price + max(best_value + ahead - value, 0.0) / steepness * slope, 0.0)
    return best
