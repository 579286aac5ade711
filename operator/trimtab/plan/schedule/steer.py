"""What steers the jobs before they are placed: prices of capacity and of budgets, and for few jobs a first plan."""

from dataclasses import dataclass, replace

import numpy as np

from trimtab.plan.schedule.budgets import bounds_of, price_budgets
from trimtab.plan.schedule.capacity import Want
from trimtab.plan.schedule.prices import Market, demand, overloaded, sample, subgradient_prices
from trimtab.plan.schedule.problem import FloatArray, SchedulingProblem
from trimtab.plan.schedule.programme import MOST_COLUMNS, Bound, Solution, columns, solve_programme
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import Tables

_ROUNDING_HOURS = 1e-7
_SOLVED = 1.0 - 1e-6
"""Share of a limit that the programme is told, so that its tolerances do not overrun it."""


@dataclass(frozen=True)
class Steered:
    """The prices that steer the jobs."""

    tables: Tables
    """The problem, budgets priced in."""
    unit_price: FloatArray | None
    """(P, T) Price of capacity."""
    first: dict[int, Want]
    """What some jobs try first."""
    budgets_usd: float
    """What the budgets are worth at their prices."""
    plain: Tables
    """The problem without prices of budgets."""
    put_off: bool = False
    """Whether budgets are short, and work is to be put off for them."""
    overruns: bool = False
    """Whether deadlines force some budget to be overrun."""


def steer(
    problem: SchedulingProblem, tables: Tables, keys: tuple[str, ...], asked: Asked, share: float = 1.0
) -> tuple[Steered, Market]:
    """Find the prices; also what each job would do had it all the capacity for itself.

    Args:
        problem: The problem.
        tables: The same as arrays.
        keys: (J) Keys of the jobs, by which budgets know them.
        asked: The jobs that have work and a mode.
        share: Of each budget that does not cut, what is given out: starts and gangs need the rest.
    """
    worth, plain, soft = 0.0, tables, any(not budget.cuts for budget in problem.budgets)
    cutting = tuple(budget for budget in problem.budgets if budget.cuts)
    if cutting:
        priced = price_budgets(tables, cutting, keys, asked)
        tables, worth = priced.tables, priced.constant
    alone = demand(tables, asked, None)
    # A job that cannot even start in time is as impossible as one whose window has no room for its work.
    too_late = tables.quickest(asked.rows) > asked.deadline + _ROUNDING_HOURS
    alone = replace(alone, short=np.where(too_late, np.maximum(alone.short, 1e-6 * asked.work), alone.short))
    crowded = overloaded(tables, alone.load)
    if soft:
        bounds = tuple(replace(b, limit=b.limit * share * _SOLVED) for b in bounds_of(plain, problem.budgets, keys))
        found = _put_off(plain, bounds, asked, alone)
        return replace(found, budgets_usd=found.budgets_usd / (share * _SOLVED)), alone
    if not crowded:
        return Steered(tables, None, {}, worth, plain), alone
    guide = _guide(tables, asked, alone.short)
    return Steered(tables, guide.unit_price, guide.wants, worth, plain), alone


def _put_off(plain: Tables, bounds: tuple[Bound, ...], asked: Asked, alone: Market) -> Steered:
    """Prices of short budgets and of capacity together, from the programme of all jobs or of a sample of them."""
    work = asked.work + plain.switch[asked.rows] * (plain.running[asked.rows] < 0) * plain.rate[asked.rows].max(axis=1)
    reachable = Asked(asked.rows, work, np.where(alone.short > 0.0, plain.edges[-1], asked.deadline))
    count, most = len(asked.rows), MOST_COLUMNS
    part, weight = sample(plain, reachable, max(int(count * most / max(columns(plain, reachable), 1)), 1))
    rank = np.unique(plain.priority[part.rows], return_inverse=True)[1]
    solution = solve_programme(plain, part, rank, bounds, weight)
    if solution is None:
        return Steered(plain, None, {}, 0.0, plain, put_off=True)
    wants = solution.wants if len(part.rows) == count else {}
    first = {row: want for row, want in wants.items() if plain.switch[row] > 0.0 or _done(plain, row, want)}
    priced = replace(plain, surcharges=solution.surcharges)
    price = solution.unit_price if solution.unit_price.any() else None
    return Steered(priced, price, first, solution.budgets_usd, plain, put_off=True, overruns=solution.overruns)


def _guide(tables: Tables, asked: Asked, short: FloatArray) -> Solution:
    """Prices of capacity, and for a small problem what each job would take of it."""
    # A job whose deadline cannot be met even alone asks for all of the horizon.
    reachable = Asked(asked.rows, asked.work, np.where(short > 0.0, tables.edges[-1], asked.deadline))
    if columns(tables, reachable) <= MOST_COLUMNS:
        rank = np.unique(tables.priority[asked.rows], return_inverse=True)[1]
        solution = solve_programme(tables, reachable, rank)
        if solution is not None:
            return Solution(
                solution.unit_price,
                {
                    row: want
                    for index, (row, want) in enumerate(solution.wants.items())
                    if short[index] <= 0.0 and _done(tables, row, want)
                },
            )
    return Solution(subgradient_prices(tables, reachable), {})


def _done(tables: Tables, row: int, want: Want) -> bool:
    """Whether these hours do all of a job's work, and neither a start of theirs costs any, nor delay."""
    work = float((want.hours * tables.rate[row, want.modes]).sum())
    free = tables.switch[row] <= 0.0 and tables.delay[row] <= 0.0
    return bool(free and work >= float(tables.work[row]) * (1.0 - 1e-7))
