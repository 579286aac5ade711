"""Solves the scheduling problem: a plan for each job, and a bound that says how far from the best it may be."""

import math

import numpy as np

from trimtab.plan.schedule.capacity import Capacity, Piece
from trimtab.plan.schedule.place import Placement, place, urgency
from trimtab.plan.schedule.problem import FloatArray, JobSchedule, Schedule, SchedulingProblem, SlotRun
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import Tables, build_tables


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
    capacity = Capacity(tables)
    asked = Asked(order, tables.work[order], tables.deadline[order])
    placement = place(tables, capacity, asked, priority, None)
    return _schedule(problem, tables, placement)


def _schedule(problem: SchedulingProblem, tables: Tables, placement: Placement) -> Schedule:
    usd, grams, energy = spent(tables, placement.pieces)
    jobs = tuple(
        _job(problem, tables, placement, row, usd[row], grams[row], energy[row]) for row in range(len(problem.jobs))
    )
    return Schedule(jobs, float(usd.sum()), float(grams.sum()), 0.0)


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
