"""Problems for the tests of the scheduler, and checks that hold for every schedule."""

import math

import highspy
import numpy as np
from hypothesis import strategies as st

from trimtab.plan.highs import QuietHighs
from trimtab.plan.schedule.problem import Job, JobSchedule, Pool, RunMode, Schedule, SchedulingProblem

USD_PER_GRAM = 1e-3


def pool(
    intensity: list[float], free: float = math.inf, usd: float = 0.1, name: str = "pool", embodied: float = 0.0
) -> Pool:
    slots = len(intensity)
    return Pool(name, np.full(slots, free), np.full(slots, usd), np.array(intensity, dtype=float), embodied)


def one_replica(units: float = 1.0, work_per_hour: float = 1.0, kilowatts: float = 0.3, pool: int = 0) -> RunMode:
    return RunMode(pool, 1, units, work_per_hour, kilowatts)


def problem(pools: Pool | tuple[Pool, ...], *jobs: Job, usd_per_gram: float = USD_PER_GRAM) -> SchedulingProblem:
    pools = pools if isinstance(pools, tuple) else (pools,)
    slots = len(pools[0].grams_per_kwh)
    return SchedulingProblem(np.arange(slots + 1.0), pools, jobs, usd_per_gram)


@st.composite
def problems(
    draw: st.DrawFn, jobs: int = 8, slots: int = 24, bounded: bool = True, switch: bool = True, delay: bool = True
) -> SchedulingProblem:
    """Random problems: several pools, gangs, deadlines that may be too tight, starts that cost time, delay."""
    seed = draw(st.integers(0, 2**32 - 1))
    count = draw(st.integers(1, jobs))
    pool_count = draw(st.integers(1, 2))
    random = np.random.default_rng(seed)
    pools = tuple(
        Pool(
            f"pool-{index}",
            random.integers(2, 8, slots).astype(float) if bounded else np.full(slots, np.inf),
            random.uniform(0.0, 1.0, slots),
            random.uniform(20.0, 600.0, slots),
            float(random.choice([0.0, 20.0])),
        )
        for index in range(pool_count)
    )
    made = []
    for index in range(count):
        gang = float(random.choice([0.5, 1.0, 2.0]))
        modes = tuple(
            RunMode(int(random.integers(0, pool_count)), n, gang * n, float(n**0.8), 0.2 * gang * n)
            for n in range(1, int(random.integers(1, 4)) + 1)
        )
        earliest = float(random.choice([0.0, random.uniform(0.0, slots / 2)]))
        work = float(random.uniform(0.1, 6.0))
        deadline = float(random.choice([math.inf, earliest + work * random.uniform(0.4, 4.0)]))
        made.append(
            Job(
                key=f"job-{index}",
                work=work,
                modes=modes,
                earliest_hours=earliest,
                deadline_hours=deadline,
                switch_hours=float(random.choice([0.0, 0.05, 0.4])) if switch else 0.0,
                running=0 if earliest == 0.0 and random.random() < 0.3 else None,
                priority=int(random.integers(0, 2)),
                delay_usd_per_hour=float(random.choice([0.0, 0.05])) if delay else 0.0,
            )
        )
    return SchedulingProblem(np.arange(slots + 1.0), pools, tuple(made), USD_PER_GRAM)


def held(problem: SchedulingProblem, schedule: Schedule) -> float:
    """The most by which a pool is overrun at any instant, units."""
    worst = -math.inf
    for index, pool in enumerate(problem.pools):
        changes: list[tuple[float, int, float, int]] = []
        for job, plan in zip(problem.jobs, schedule.jobs, strict=True):
            for run in plan.runs:
                mode = job.modes[run.mode]
                if mode.pool == index:
                    changes.append((run.start_hours, 1, mode.units, run.slot))
                    changes.append((run.end_hours, 0, -mode.units, run.slot))
        now = 0.0
        for _, starts, units, slot in sorted((round(c[0], 9), *c[1:]) for c in changes):
            now += units
            if starts:
                worst = max(worst, now - float(pool.free_units[slot]))
    return worst


def work_done(job: Job, plan: JobSchedule) -> float:
    """Work that the runs of a plan do, the time that each start loses left out."""
    done, last_end, last_mode = 0.0, 0.0 if job.running is not None else -math.inf, job.running
    lost = 0.0
    for run in plan.runs:
        if run.mode != last_mode or run.start_hours > last_end + 1e-6:
            lost = job.switch_hours
        hours = run.end_hours - run.start_hours
        useful = max(hours - lost, 0.0)
        lost = max(lost - hours, 0.0)
        done += useful * job.modes[run.mode].work_per_hour
        last_end, last_mode = run.end_hours, run.mode
    return done


def check(problem: SchedulingProblem, schedule: Schedule) -> None:
    """What holds for every schedule, whatever the problem."""
    assert held(problem, schedule) <= 1e-6
    for job, plan in zip(problem.jobs, schedule.jobs, strict=True):
        assert plan.key == job.key
        end = job.earliest_hours
        for run in plan.runs:
            edges = problem.edges_hours
            assert edges[run.slot] - 1e-9 <= run.start_hours < run.end_hours <= edges[run.slot + 1] + 1e-9
            assert run.start_hours >= end - 1e-9, "runs of a job overlap, or begin before it may"
            end = run.end_hours
        if math.isfinite(plan.finish_hours):
            assert math.isclose(work_done(job, plan), job.work, rel_tol=1e-6)
            assert plan.missed_by_hours >= plan.finish_hours - job.deadline_hours - 1e-6
        else:
            assert work_done(job, plan) < job.work
        spent = [
            (run.end_hours - run.start_hours, job.modes[run.mode], problem.pools[job.modes[run.mode].pool], run.slot)
            for run in plan.runs
        ]
        usd = sum(hours * mode.units * float(pool.usd_per_unit_hour[slot]) for hours, mode, pool, slot in spent)
        grams = sum(
            hours * (mode.kilowatts * float(pool.grams_per_kwh[slot]) + mode.units * pool.embodied_grams_per_unit_hour)
            for hours, mode, pool, slot in spent
        )
        assert math.isclose(plan.usd, usd, abs_tol=1e-9)
        assert math.isclose(plan.grams, grams, rel_tol=1e-9, abs_tol=1e-9)
    assert schedule.lower_bound_usd <= schedule.objective_usd * (1.0 + 1e-6) + 1e-9


def linear_programme(problem: SchedulingProblem) -> float | None:
    """The optimum of the relaxation without starts and delay; None where the deadlines cannot all be met."""
    model = QuietHighs()
    slots = len(problem.edges_hours) - 1
    load: dict[tuple[int, int], list[tuple[float, object]]] = {}
    terms = []
    for job in problem.jobs:
        work, by_slot = [], {slot: [] for slot in range(slots)}
        for mode in job.modes:
            pool = problem.pools[mode.pool]
            for slot in range(slots):
                low = max(float(problem.edges_hours[slot]), job.earliest_hours)
                room = min(float(problem.edges_hours[slot + 1]), job.deadline_hours) - low
                if room <= 0.0 or mode.units > float(pool.free_units[slot]):
                    continue
                price = mode.units * float(pool.usd_per_unit_hour[slot]) + problem.usd_per_gram * (
                    mode.kilowatts * float(pool.grams_per_kwh[slot]) + mode.units * pool.embodied_grams_per_unit_hour
                )
                hours = model.addVariable(lb=0.0, ub=room, obj=price)
                work.append(mode.work_per_hour * hours)
                by_slot[slot].append((hours, room))
                load.setdefault((mode.pool, slot), []).append((mode.units, hours))
                terms.append(hours)
        if not work:
            return None
        model.addConstr(sum(work[1:], work[0]) >= job.work)
        for entries in by_slot.values():
            if len(entries) > 1:
                total = 1.0 * entries[0][0]
                for hours, _ in entries[1:]:
                    total = total + hours
                model.addConstr(total <= max(room for _, room in entries))
    _bound_pools(problem, model, load)
    model.run()
    return float(model.getObjectiveValue()) if model.getModelStatus() == highspy.HighsModelStatus.kOptimal else None


def _bound_pools(
    problem: SchedulingProblem, model: QuietHighs, load: dict[tuple[int, int], list[tuple[float, object]]]
) -> None:
    for (index, slot), entries in load.items():
        free = float(problem.pools[index].free_units[slot])
        if math.isfinite(free):
            total = entries[0][0] * entries[0][1]
            for units, hours in entries[1:]:
                total = total + units * hours
            model.addConstr(total <= free)
