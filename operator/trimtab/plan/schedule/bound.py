"""How little a schedule could cost: the Lagrangian dual at the prices of capacity that steered the plan."""

from dataclasses import replace

import numpy as np

from trimtab.plan.schedule.capacity import Capacity
from trimtab.plan.schedule.prices import demand, supply
from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.respond import Asked, objective, switching
from trimtab.plan.schedule.switching import fill_switching
from trimtab.plan.schedule.tables import Tables

_MOST_PATHS = 300
"""Jobs whose starts count in the bound; of more, the bound leaves out what a start costs."""


def lower_bound(tables: Tables, asked: Asked, unit_price: FloatArray | None, usd_per_gram: FloatArray) -> float:
    """No schedule that does this work by these deadlines costs less, US dollars: money, priced carbon, priced delay.

    Args:
        tables: The problem; its tiny prices that break ties do not count, and neither do soft ceilings.
        asked: The jobs, the work that the plan does within the horizon, and the deadlines that it can meet.
        unit_price: (P, T) Prices of capacity, all at least 0; any prices give a bound, the right ones the best.
        usd_per_gram: (J) Price of carbon by job.
    """
    if not len(asked.rows):
        return 0.0
    tables = replace(
        tables,
        tie=np.zeros_like(tables.tie),
        usd_per_gram=usd_per_gram,
        ceiling=np.where(tables.hard_ceiling, tables.ceiling, np.inf),
    )
    rows = asked.rows
    delay = tables.delay[rows]
    quickest = asked.work / tables.rate[rows].max(axis=1)
    value = demand(tables, asked, unit_price).value + delay * quickest / 2.0
    late = np.flatnonzero(delay > 0.0)
    if len(late):
        free = replace(tables, delay=np.zeros_like(tables.delay))
        least = demand(free, asked.pick(late), unit_price).value
        value[late] = np.maximum(value[late], least + delay[late] * (tables.earliest[rows[late]] + quickest[late]))
    costly = np.flatnonzero(tables.switch[rows] > 0.0)
    if 0 < len(costly) <= _MOST_PATHS:
        part = asked.pick(costly)
        cost = objective(tables, part.rows, unit_price)
        window = tables.window(part.rows, part.deadline)
        paths = fill_switching(switching(tables, Capacity(tables), part, cost, window))
        value[costly] = np.maximum(value[costly], np.where(paths.short > 0.0, 0.0, paths.bound))
    total = float(value.sum())
    if unit_price is not None:
        room = supply(tables)
        total -= float((unit_price * np.where(np.isfinite(room), room, 0.0)).sum())
    return total
