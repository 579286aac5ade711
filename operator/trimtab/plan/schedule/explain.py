"""Why each job's plan is what it is: the constraint that bound, and what the next better choice would have cost."""

import math
from dataclasses import dataclass

import numpy as np

from trimtab.plan.schedule.fill import fill
from trimtab.plan.schedule.place import Placement
from trimtab.plan.schedule.prices import Market, all_rooms, relaxed_objective
from trimtab.plan.schedule.problem import FloatArray, SchedulingProblem
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.tables import IntArray, Tables

_SAME = 1e-5
"""Share of a job's cost within which two choices cost the same."""


@dataclass(frozen=True)
class Outcome:
    """What the plan of the asked jobs comes to. Arrays over them (n)."""

    value: FloatArray
    """Objective: money, priced carbon, priced delay, US dollars."""
    finish: FloatArray
    """Hours; infinite where the horizon ends before."""
    missed: FloatArray
    """Hours by which the deadline is missed."""
    main_mode: IntArray
    """The mode of most of its hours; the fastest where it has none."""


@dataclass(frozen=True)
class Explanation:
    """Why the plan of a job is so."""

    bound_by: str = ""
    alternative: str = ""
    alternative_usd: float | None = None


@dataclass(frozen=True)
class _Choice:
    """Another choice for each of the asked jobs: what it costs more, and where it ends or runs."""

    more_usd: FloatArray
    finish: FloatArray
    mode: IntArray


def explain(
    problem: SchedulingProblem, tables: Tables, asked: Asked, alone: Market, placement: Placement, outcome: Outcome
) -> list[Explanation]:
    """The reasons, in the order of the asked jobs.

    Args:
        problem: For the names of the pools.
        tables: The problem.
        asked: The jobs with work and a mode.
        alone: What each would do had it all the capacity for itself.
        placement: What became of them.
        outcome: What the plan comes to.
    """
    at_once = _at_once(tables, asked, outcome)
    other = _other_mode(tables, asked, alone, outcome)
    scale = np.maximum(np.abs(outcome.value), 1e-12)
    reasons = _reasons(tables, asked, alone, placement, outcome, at_once)
    found = []
    for index, (row, reason) in enumerate(zip(asked.rows.tolist(), reasons, strict=True)):
        modes = problem.jobs[row].modes
        saved = float(outcome.value[index] - alone.value[index])
        options: list[tuple[float, str]] = []
        if reason == "Capacity" and saved > 0.0:
            options.append((-saved, "with all capacity free"))
        elif reason == "Budget" and saved > 0.0 and row in placement.put_off:
            options.append((-saved, "without the budget"))
        else:
            if abs(at_once.finish[index] - outcome.finish[index]) > 1e-6 and math.isfinite(at_once.more_usd[index]):
                when = f"run at once, done by hour {at_once.finish[index]:.3g}"
                options.append((float(at_once.more_usd[index]), when))
            if math.isfinite(other.more_usd[index]):
                mode = modes[int(other.mode[index])]
                where = f"{mode.replicas} replicas on {problem.pools[mode.pool].name}"
                options.append((float(other.more_usd[index]), where))
        if not options:
            found.append(Explanation(reason))
            continue
        usd, text = min(options)
        usd = 0.0 if abs(usd) <= _SAME * scale[index] else usd
        word = f"{abs(usd):.3g} USD {'more' if usd >= 0.0 else 'less'}"
        found.append(Explanation(reason, f"{text}: {word}", usd))
    return found


def _reasons(
    tables: Tables, asked: Asked, alone: Market, placement: Placement, outcome: Outcome, at_once: _Choice
) -> list[str]:
    """Codes of what bound each job, the hardest constraint first."""
    rows = asked.rows
    scale = np.maximum(np.abs(outcome.value), 1e-12)
    displaced = np.isin(rows, np.array(sorted(placement.displaced), dtype=np.int64))
    cut = np.isin(rows, np.array(sorted(placement.cut | placement.put_off), dtype=np.int64))
    impossible = alone.short > 0.0
    missed = outcome.missed > 0.0
    dearer = (outcome.value > alone.value + _SAME * scale) & (displaced | (tables.switch[rows] <= 0.0))
    above = (tables.above_ceiling(rows) & (tables.window(rows, at_once.finish) > 0.0)[:, None, :]).any(axis=(1, 2))
    late = outcome.finish > at_once.finish + 1e-6
    unfinished = ~np.isfinite(outcome.finish)
    later = _cheaper_later(tables, asked, alone)
    codes = [
        ("Budget", cut),
        ("Deadline", missed & impossible),
        ("Ceiling", above & late),
        ("Capacity", (missed | unfinished) & ~impossible | dearer),
        ("Work", unfinished),
        ("Deadline", later),
        ("Price", late),
    ]
    masks = np.array([mask for _, mask in codes])
    first = np.where(masks.any(axis=0), masks.argmax(axis=0), len(codes))
    names = [code for code, _ in codes] + [""]
    return [names[index] for index in first.tolist()]


def _cheaper_later(tables: Tables, asked: Asked, alone: Market) -> "np.typing.NDArray[np.bool_]":
    """Whether a slot after the deadline would do work for less than the last that is used."""
    rows = asked.rows
    with np.errstate(divide="ignore", invalid="ignore"):
        per_work = tables.priced(rows) / tables.rate[rows][:, :, None]
    after = (tables.edges[None, 1:] > asked.deadline[:, None] + 1e-9)[:, None, :] & tables.valid[rows][:, :, None]
    cheapest = np.where(after, per_work, np.inf).min(axis=(1, 2))
    cheaper = cheapest < alone.marginal * (1.0 - _SAME)
    return np.asarray(cheaper & np.isfinite(alone.marginal) & (tables.delay[rows] <= 0.0))


def _at_once(tables: Tables, asked: Asked, outcome: Outcome) -> _Choice:
    """Each job run without a stop from its earliest start, in its main mode."""
    rows, mode = asked.rows, outcome.main_mode
    each = np.arange(len(rows))
    rate = tables.rate[rows, mode]
    window = tables.window(rows, np.full(len(rows), tables.edges[-1]))
    continues = (tables.running[rows] == mode) & (tables.earliest[rows] <= 0.0)
    need = asked.work / rate + np.where(continues, 0.0, tables.switch[rows])
    until = np.cumsum(window, axis=1)
    used = np.clip(need[:, None] - (until - window), 0.0, window)
    cost = (tables.priced(rows)[each, mode] * used).sum(axis=1)
    finish = tables.earliest[rows] + need
    fits = until[:, -1] >= need * (1.0 - 1e-9)
    value = cost + tables.delay[rows] * finish
    return _Choice(np.where(fits, value - outcome.value, np.inf), finish, mode)


def _other_mode(tables: Tables, asked: Asked, alone: Market, outcome: Outcome) -> _Choice:
    """Each job without its main mode, starts left out on both sides of the comparison."""
    rows = asked.rows
    count, modes = len(rows), tables.valid.shape[1]
    more, best = np.full(count, np.inf), np.zeros(count, dtype=np.int64)
    several = np.flatnonzero(tables.valid[rows].sum(axis=1) > 1) if modes > 1 else np.zeros(0, dtype=np.int64)
    for at in range(0, len(several), 250):
        which = several[at : at + 250]
        part = asked.pick(which)
        hours = all_rooms(tables, part)
        hours[np.arange(len(which)), outcome.main_mode[which]] = 0.0
        cost = relaxed_objective(tables, part, None)
        filled = fill(cost, hours, tables.rate[part.rows], part.work)
        job, slot, step = np.nonzero(filled.hours > 0.0)
        mode, run = filled.mode[job, slot, step], filled.hours[job, slot, step]
        value = np.bincount(job, cost[job, mode, slot] * run, len(which))
        by_mode = np.bincount(job * modes + mode, run, len(which) * modes).reshape(len(which), modes)
        more[which] = np.where(filled.short > 0.0, np.inf, value - alone.value[which])
        best[which] = by_mode.argmax(axis=1)
    return _Choice(more, np.full(count, np.inf), best)
