"""Solves the scheduling problem: a plan for each job, and a bound that says how far from the best it may be."""

import math

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Piece, Want
from trimtab.plan.schedule.place import Placement, place, urgency
from trimtab.plan.schedule.prices import demand, dual_value, overloaded, subgradient_prices
from trimtab.plan.schedule.problem import FloatArray, JobSchedule, Schedule, SchedulingProblem, SlotRun
from trimtab.plan.schedule.programme import MOST_COLUMNS, Solution, columns, solve_programme
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import IntArray, Tables, build_tables


def solve(problem: SchedulingProblem) -> Schedule:
    """The plan of all jobs at least money, priced carbon and priced delay.

    Raises:
        ValueError: A series of a pool does not fit the slots.
    """
    if not problem.jobs:
        return Schedule((), 0.0, 0.0, 0.0)
    tables = build_tables(problem)
    priority = np.array([job.priority for job in problem.jobs], dtype=np.int64)
    order = urgency(tables, priority, tables.deadline, [job.key for job in problem.jobs])
    order = order[(tables.work[order] > 0.0) & tables.valid[order].any(axis=1)]
    asked = Asked(order, tables.work[order], tables.deadline[order])
    capacity = Capacity(tables)
    market, filled = demand(tables, capacity, asked, None)
    guide = None
    if capacity.bounded and overloaded(tables, market.load):
        guide = _guide(tables, capacity, asked, priority, filled.short)
    placement = place(
        tables, capacity, asked, priority, guide.unit_price if guide else None, guide.wants if guide else None
    )
    return _schedule(problem, tables, placement, asked, guide.unit_price if guide else None)


def _guide(tables: Tables, capacity: Capacity, asked: Asked, priority: IntArray, short: FloatArray) -> Solution:
    """Prices of capacity, and for a small problem what each job would take of it."""
    # A job whose deadline cannot be met even alone asks for all of the horizon.
    reachable = Asked(asked.rows, asked.work, np.where(short > 0.0, tables.edges[-1], asked.deadline))
    if columns(tables, reachable) <= MOST_COLUMNS:
        rank = np.unique(priority[asked.rows], return_inverse=True)[1]
        solution = solve_programme(tables, capacity, reachable, rank)
        if solution is not None:
            return Solution(
                solution.unit_price,
                {
                    row: want
                    for index, (row, want) in enumerate(solution.wants.items())
                    if short[index] <= 0.0 and done(tables, row, want)
                },
            )
    return Solution(subgradient_prices(tables, capacity, reachable), {})


def done(tables: Tables, row: int, want: Want) -> bool:
    """Whether these hours do all of a job's work, and no start of theirs costs any."""
    return tables.switch[row] <= 0.0 and float((want.hours * tables.rate[row, want.modes]).sum()) >= float(
        tables.work[row]
    ) * (1.0 - 1e-7)


def _schedule(
    problem: SchedulingProblem, tables: Tables, placement: Placement, asked: Asked, unit_price: FloatArray | None
) -> Schedule:
    usd, grams, energy = spent(tables, placement.pieces)
    jobs = tuple(
        _job(problem, tables, placement, row, usd[row], grams[row], energy[row]) for row in range(len(problem.jobs))
    )
    bound = _bound(tables, placement, asked, jobs, unit_price)
    return Schedule(jobs, float(usd.sum()), float(grams.sum()), bound)


def _bound(
    tables: Tables,
    placement: Placement,
    asked: Asked,
    jobs: tuple[JobSchedule, ...],
    unit_price: FloatArray | None,
) -> float:
    finish = np.array([jobs[row].finish_hours for row in asked.rows.tolist()])
    late = np.array([jobs[row].missed_by_hours > 0.0 for row in asked.rows.tolist()])
    asked = Asked(
        asked.rows,
        asked.work - placement.short[asked.rows],
        np.where(late, np.minimum(finish, tables.edges[-1]), asked.deadline),
    )
    empty = Capacity(tables)
    return dual_value(tables, empty, asked, unit_price)


def spent(tables: Tables, pieces: list[list[Piece]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Money (USD), carbon (gCO2e) and energy (kWh) of each job's runs."""
    jobs = len(pieces)
    flat = np.array([piece for runs in pieces for piece in runs], dtype=np.float64).reshape(-1, 4)
    job = np.repeat(np.arange(jobs), [len(runs) for runs in pieces])
    slot, mode = flat[:, 0].astype(np.int64), flat[:, 1].astype(np.int64)
    hours = flat[:, 3] - flat[:, 2]
    pool, units = tables.pool[job, mode], tables.units[job, mode]
    energy = hours * tables.kilowatts[job, mode]
    usd = np.bincount(job, hours * units * tables.usd[pool, slot], jobs).astype(np.float64)
    carbon = energy * tables.grams_kwh[pool, slot] + hours * units * tables.embodied[pool]
    grams = np.bincount(job, carbon, jobs).astype(np.float64)
    return usd, grams, np.bincount(job, energy, jobs).astype(np.float64)


def _job(
    problem: SchedulingProblem,
    tables: Tables,
    placement: Placement,
    row: int,
    usd: float,
    grams: float,
    energy: float,
) -> JobSchedule:
    job, pieces = problem.jobs[row], placement.pieces[row]
    done = placement.short[row] <= 0.0 and (bool(pieces) or job.work <= 0.0)
    finish = (pieces[-1][3] if pieces else job.earliest_hours) if done else math.inf
    late = max(finish - job.deadline_hours, 0.0) if math.isfinite(job.deadline_hours) else 0.0
    if not done and math.isfinite(job.deadline_hours):
        fastest = float(tables.rate[row].max())
        rest = placement.short[row] / fastest if fastest > 0.0 else math.inf
        late = max(float(tables.edges[-1]) + rest - job.deadline_hours, 0.0)
    return JobSchedule(
        key=job.key,
        runs=tuple(SlotRun(*piece) for piece in pieces),
        finish_hours=finish,
        usd=float(usd),
        grams=float(grams),
        kilowatt_hours=float(energy),
        missed_by_hours=late if late > 1e-9 else 0.0,
        bound_by="" if tables.valid[row].any() else "NoMode",
    )
