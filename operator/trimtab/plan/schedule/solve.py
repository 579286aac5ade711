"""Solves the scheduling problem: a plan for each job, and a bound that says how far from the best it may be."""

import math
from dataclasses import replace

import numpy as np

from trimtab.plan.schedule.bound import lower_bound
from trimtab.plan.schedule.capacity import Piece
from trimtab.plan.schedule.explain import Explanation, Outcome, explain
from trimtab.plan.schedule.mend import lateness, make_room, pull_forward
from trimtab.plan.schedule.place import Placement, Placing, many, urgency
from trimtab.plan.schedule.prices import Market, demand
from trimtab.plan.schedule.problem import FloatArray, JobSchedule, Schedule, SchedulingProblem, SlotRun
from trimtab.plan.schedule.respond import Asked
from trimtab.plan.schedule.steer import Steered, steer
from trimtab.plan.schedule.tables import IntArray, Tables, build_tables
from trimtab.plan.schedule.within import any_overrun, note_budgets

_REPLACINGS = 4
"""Times that all jobs are placed anew because one missed a deadline that it could keep."""
_PLACEMENTS = 1200
"""Jobs that are placed anew for that, all times together: many jobs are placed once."""
_SECOND_CHOICES = 16
"""Jobs that choose once more when all have their place."""
_SECOND_CHOICES_OF_BUDGETS = 200
"""The same where a budget made jobs choose otherwise than they would have."""
_WORTH_A_PRICE = 1.001
"""Of a placing by prices of budgets over one in the order of the jobs: it has to cost less by a thousandth."""
_SHARES = (0.95, 0.85)
"""Of budgets that are given out, one after the other, where starts and whole gangs need more than was planned with."""
_ROUNDING_SHARE = 1e-7
_ROUNDING_HOURS = 1e-7
_NONE = Explanation()


def solve(problem: SchedulingProblem) -> Schedule:
    """The plan of all jobs at least money, priced carbon and priced delay.

    Each job has the cheapest hours that do its work by its deadline, at prices of capacity and of budgets that let all
    of them fit; where no deadline can be kept, the earliest finish. Capacity holds at every instant, gangs run whole.

    Raises:
        ValueError: A series of a pool does not fit the slots.
    """
    if any(not budget.cuts for budget in problem.budgets):
        # Budgets that hold without anybody's doing change nothing.
        free = solve(replace(problem, budgets=tuple(budget for budget in problem.budgets if budget.cuts)))
        if not any_overrun(problem, free):
            return free
    tables = build_tables(problem)
    keys = tuple(job.key for job in problem.jobs)
    order = urgency(tables)
    order = order[(tables.work[order] > 0.0) & tables.valid[order].any(axis=1)]
    asked = Asked(order, tables.work[order], tables.deadline[order])
    if not len(order):
        return _schedule(problem, tables, Placement.empty(tables), asked, Steered(tables, None, {}, 0.0, tables), None)
    steered, alone = steer(problem, tables, keys, asked)
    placing = _place_all(problem, steered, keys, asked, alone)
    for share in _SHARES if steered.put_off and not steered.overruns else ():
        if not placing.purses.overruns():
            break
        other = steer(problem, tables, keys, asked, share)[0]
        again = _place_all(problem, other, keys, asked, alone)
        if _badness(again, asked, _possible(asked, alone)) < _badness(placing, asked, _possible(asked, alone)):
            steered, placing = other, again
    if problem.budgets:
        note_budgets(placing, asked)
        alone = demand(tables, asked, None) if steered.tables.surcharges else alone
    return _schedule(problem, tables, placing.placement, asked, steered, alone)


def _place_all(
    problem: SchedulingProblem, steered: Steered, keys: tuple[str, ...], asked: Asked, alone: Market
) -> Placing:
    """Place the jobs, and let some choose once more when all have their place."""
    possible = _possible(asked, alone)
    found = _placed(problem, steered, steered.tables, keys, asked, possible)
    if steered.put_off:
        # Prices of budgets say who saves best; without them who comes first has all of it, and nobody a part.
        in_order = replace(steered, first={})
        plain = _placed(problem, in_order, steered.plain, keys, asked, possible)
        if _badness(plain, asked, possible) <= _badness(found, asked, possible, _WORTH_A_PRICE):
            found = plain
    late = sum(lateness(found, row) for row in possible if row not in found.placement.cut)
    if late > 0.0:
        make_room(found, asked, possible)
    if steered.unit_price is not None:
        pull_forward(found, asked, _regret(steered.tables, asked, alone, found.placement))
    if steered.put_off:
        # A price at which all jobs together stay within a budget may leave some of it: who saves most has it.
        found.tables, found.unit_price = steered.plain, None
        pull_forward(found, asked, _put_off(steered.plain, asked, found))
    return found


def _possible(asked: Asked, alone: Market) -> set[int]:
    """The jobs that could meet their deadlines, had they all the capacity."""
    return {row for row, short in zip(asked.rows.tolist(), alone.short.tolist(), strict=True) if short <= 0.0}


def _badness(placing: Placing, asked: Asked, possible: set[int], weight: float = 1.0) -> tuple[float, float, float]:
    """What two placings are compared by: lateness, overruns of budgets, and the objective, rounded."""
    late = sum(lateness(placing, row) for row in possible if row not in placing.placement.cut)
    tables = replace(placing.tables, surcharges=())
    value = float(_value(tables, asked, placing.placement).sum())
    return round(late, 6), round(placing.purses.overrun(), 9), weight * value


def _placed(
    problem: SchedulingProblem,
    steered: Steered,
    tables: Tables,
    keys: tuple[str, ...],
    asked: Asked,
    possible: set[int],
) -> Placing:
    """Place the jobs; where one misses a deadline that it could keep, again, with it ahead of its equals.

    The search by moving what went wrong to the front is D. E. Joslin and D. P. Clements, "Squeaky Wheel Optimization"
    (Journal of Artificial Intelligence Research, 1999).
    """
    best: tuple[tuple[float, float], Placing] | None = None
    blame = np.zeros(tables.job_count)
    attempts = 1 + min(_REPLACINGS, _PLACEMENTS // len(asked.rows))
    for _ in range(attempts):
        order = asked.pick(np.lexsort((np.arange(len(asked.rows)), -blame[asked.rows], -tables.priority[asked.rows])))
        placing = Placing.begin(tables, steered.unit_price, problem.budgets, keys)
        if steered.first and not blame.any():
            order = placing.take(order, steered.first, overrun=steered.overruns)
        placing.place(many(tables, order))
        late = {row: lateness(placing, row) for row in possible if row not in placing.placement.cut}
        total = sum(late.values()), placing.purses.overrun()
        if best is None or total < best[0]:
            best = total, placing
        if total <= (0.0, 0.0):
            break
        over = placing.purses.overdrawn()
        for row, hours in late.items():
            blame[row] += hours > 0.0 or row in over
    assert best is not None
    return best[1]


def _put_off(tables: Tables, asked: Asked, placing: Placing) -> IntArray:
    """Positions of the jobs of budgets that would cost less without them, by priority, then by what they would save."""
    mine = np.array([bool(placing.purses.of(row)) for row in asked.rows.tolist()], dtype=np.bool_)
    which = np.flatnonzero(mine)
    more = _value(tables, asked, placing.placement)[which] - demand(tables, asked.pick(which), None).value
    order = np.lexsort((-more, -tables.priority[asked.rows[which]]))
    return np.asarray(which[order[more[order] > 0.0]][:_SECOND_CHOICES_OF_BUDGETS])


def _value(tables: Tables, asked: Asked, placement: Placement) -> FloatArray:
    """The objective of each of the asked jobs, US dollars."""
    usd, grams, _ = spent(tables, placement.pieces)
    finish = np.array([pieces[-1][3] if pieces else 0.0 for pieces in placement.pieces])
    return np.asarray((usd + tables.usd_per_gram * grams + tables.delay * finish)[asked.rows])


def _regret(tables: Tables, asked: Asked, alone: Market, placement: Placement) -> IntArray:
    """Positions of the jobs that may have most to gain by choosing once more, in order of their starts."""
    value = _value(tables, asked, placement) - alone.value
    order = np.argsort(-value, kind="stable")
    chosen = order[value[order] > _ROUNDING_SHARE * alone.value[order]][:_SECOND_CHOICES]
    # In order of time, so that what one leaves the next can have.
    starts = [pieces[0][2] if pieces else math.inf for pieces in (placement.pieces[r] for r in asked.rows[chosen])]
    return np.asarray(chosen[np.argsort(np.array(starts), kind="stable")])


def _schedule(
    problem: SchedulingProblem,
    tables: Tables,
    placement: Placement,
    asked: Asked,
    steered: Steered,
    alone: Market | None,
) -> Schedule:
    """Put the answer together."""
    usd, grams, energy = spent(tables, placement.pieces)
    own_price = np.array([problem.usd_per_gram if j.usd_per_gram is None else j.usd_per_gram for j in problem.jobs])
    times = [_times(problem, tables, placement, row) for row in range(len(problem.jobs))]
    finish = np.array([time[0] for time in times])
    missed = np.array([time[1] for time in times])
    value = usd + own_price * grams + tables.delay * np.where(np.isfinite(finish), finish, 0.0)
    reasons = {row: Explanation("NoMode") for row in np.flatnonzero(~tables.valid.any(axis=1)).tolist()}
    if alone is not None:
        rows = asked.rows
        outcome = Outcome(value[rows], finish[rows], missed[rows], _main_modes(tables, placement, rows))
        found = explain(problem, tables, asked, alone, placement, outcome)
        reasons.update(zip(rows.tolist(), found, strict=True))
    jobs = tuple(
        JobSchedule(
            key=job.key,
            # What a budget cuts down to nothing is no run.
            runs=tuple(SlotRun(*piece) for piece in placement.pieces[row] if piece[3] > piece[2]),
            finish_hours=times[row][0],
            usd=float(usd[row]),
            grams=float(grams[row]),
            kilowatt_hours=float(energy[row]),
            missed_by_hours=times[row][1],
            bound_by=reasons.get(row, _NONE).bound_by,
            alternative=reasons.get(row, _NONE).alternative,
            alternative_usd=reasons.get(row, _NONE).alternative_usd,
        )
        for row, job in enumerate(problem.jobs)
    )
    bound = _bound(tables, placement, asked, steered, (finish, missed), own_price)
    return Schedule(jobs, float(usd.sum()), float(grams.sum()), bound, float(value.sum()), overruns=placement.overruns)


def _bound(
    tables: Tables,
    placement: Placement,
    asked: Asked,
    steered: Steered,
    times: tuple[FloatArray, FloatArray],
    usd_per_gram: FloatArray,
) -> float:
    """The lower bound for what the plan does: its work, by its deadlines or the times by which it misses them."""
    rows = asked.rows
    finish, missed = times[0][rows], times[1][rows]
    unfinished = ~np.isfinite(finish)
    deadline = np.where(missed > 0.0, np.where(unfinished, tables.edges[-1], finish * (1.0 + 1e-12)), asked.deadline)
    does = Asked(rows, np.maximum(asked.work - placement.short[rows], 0.0), deadline)
    tables = replace(tables, delay=np.where(np.isfinite(times[0]), tables.delay, 0.0))
    does = does.pick(does.work > 0.0)
    bound = lower_bound(tables, does, steered.unit_price, usd_per_gram)
    if steered.budgets_usd > 0.0 and not placement.cut and not placement.overruns:
        priced = replace(steered.tables, delay=tables.delay)
        bound = max(bound, lower_bound(priced, does, steered.unit_price, usd_per_gram) - steered.budgets_usd)
    return bound


def _main_modes(tables: Tables, placement: Placement, rows: IntArray) -> IntArray:
    """The mode of most of the hours of each job; its fastest where it has none."""
    modes: IntArray = tables.rate[rows].argmax(axis=1)
    for index, row in enumerate(rows.tolist()):
        pieces = placement.pieces[row]
        if pieces:
            first = pieces[0][1]
            if all(piece[1] == first for piece in pieces):
                modes[index] = first
                continue
            hours: dict[int, float] = {}
            for _, mode, start, end in pieces:
                hours[mode] = hours.get(mode, 0.0) + end - start
            modes[index] = max(hours, key=lambda mode: hours[mode])
    return modes


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


def _times(problem: SchedulingProblem, tables: Tables, placement: Placement, row: int) -> tuple[float, float]:
    """When a job is done, and by how much it misses its deadline (hours)."""
    job, pieces = problem.jobs[row], placement.pieces[row]
    if job.work <= 0.0:
        finish, rest = job.earliest_hours, 0.0
    elif pieces and placement.short[row] <= 0.0:
        finish, rest = pieces[-1][3], 0.0
    else:
        fastest = float(tables.rate[row].max())
        finish, rest = math.inf, float(placement.short[row]) / fastest if fastest > 0.0 else math.inf
    if not math.isfinite(job.deadline_hours):
        return finish, 0.0
    end = finish if math.isfinite(finish) else float(tables.edges[-1]) + rest
    late = end - job.deadline_hours
    return finish, late if late > _ROUNDING_HOURS else 0.0
