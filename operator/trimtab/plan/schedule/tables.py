"""The scheduling problem as arrays: one row a job, padded to the largest number of modes."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trimtab.plan.schedule.problem import FloatArray, SchedulingProblem

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TIE = 1e-5
"""Share of the typical price by which a unit costs more at the end of the horizon than at its start: of two schedules
of equal cost the earlier wins, and one of them is always the plan."""
CARBON_TIE = 1e-6
"""The same for carbon that has no price: it decides only between schedules that cost the same money."""
_ABOVE_CEILING = 1e4
"""What an hour above a job's ceiling of intensity costs, in the dearest hours of the horizon: more than any detour."""


@dataclass(frozen=True)
class Surcharge:
    """What a budget that is short makes its jobs pay on top of the price of what it counts, in the slots it is for."""

    rows: BoolArray
    """(J)"""
    slots: BoolArray
    """(T)"""
    usd: float = 0.0
    """On a US dollar."""
    grams: float = 0.0
    """On a gram, US dollars."""
    kilowatt_hours: float = 0.0
    """On a kilowatt hour, US dollars."""


@dataclass(frozen=True)
class Tables:
    """Arrays over jobs (J), modes (M), pools (P) and slots (T). Modes that a job lacks have `valid` False."""

    edges: FloatArray
    """(T+1) Hours."""
    hours: FloatArray
    """(T) Lengths of the slots."""
    priority: IntArray
    """(J) Higher goes first."""
    free_units: FloatArray
    """(P, T)"""
    usd: FloatArray
    """(P, T) US dollars a unit-hour."""
    grams_kwh: FloatArray
    """(P, T) gCO2e/kWh."""
    embodied: FloatArray
    """(P) gCO2e a unit-hour."""
    tie: FloatArray
    """(T) What the objective adds to a unit-hour, US dollars."""

    pool: IntArray
    """(J, M)"""
    units: FloatArray
    """(J, M)"""
    rate: FloatArray
    """(J, M) Work an hour; 0 where not valid."""
    kilowatts: FloatArray
    """(J, M)"""
    valid: BoolArray
    """(J, M)"""
    work: FloatArray
    """(J)"""
    earliest: FloatArray
    """(J) Hours."""
    deadline: FloatArray
    """(J) Hours, cut to the horizon."""
    switch: FloatArray
    """(J) Hours lost at a start."""
    running: IntArray
    """(J) Mode at the start of the horizon, or -1."""
    ceiling: FloatArray
    """(J) gCO2e/kWh."""
    hard_ceiling: BoolArray
    """(J) No deadline forces the job above its ceiling."""
    usd_per_gram: FloatArray
    """(J) Price of carbon that decides: the job's or the problem's, or a tiny one."""
    delay: FloatArray
    """(J) US dollars an hour of finish."""
    surcharges: tuple[Surcharge, ...] = ()
    """Where budgets are short."""

    @property
    def job_count(self) -> int:
        """Number of jobs."""
        return len(self.work)

    @property
    def slot_count(self) -> int:
        """Number of slots."""
        return len(self.hours)

    def cut(self, first: int, last: int) -> "Tables":
        """The same jobs over some of the slots. Times stay those of the horizon."""
        part = slice(first, last)
        return replace(
            self,
            edges=self.edges[first : last + 1],
            hours=self.hours[part],
            free_units=self.free_units[:, part],
            usd=self.usd[:, part],
            grams_kwh=self.grams_kwh[:, part],
            tie=self.tie[part],
            surcharges=tuple(replace(each, slots=each.slots[part]) for each in self.surcharges),
        )

    def window(self, rows: IntArray, deadline: FloatArray) -> FloatArray:
        """Hours of each slot in which each job may run, (rows, T)."""
        lo = np.maximum(self.edges[None, :-1], self.earliest[rows, None])
        hi = np.minimum(self.edges[None, 1:], deadline[:, None])
        return np.asarray(np.maximum(hi - lo, 0.0))

    def quickest(self, rows: IntArray) -> FloatArray:
        """When each job would be done at the earliest, run without a stop in its best mode, hours. (rows)"""
        modes = np.arange(self.valid.shape[1])[None, :]
        continues = (self.running[rows][:, None] == modes) & (self.earliest[rows] <= 0.0)[:, None]
        with np.errstate(divide="ignore"):
            needs = self.work[rows][:, None] / self.rate[rows]
        needs = needs + np.where(continues, 0.0, self.switch[rows][:, None])
        return np.asarray(self.earliest[rows] + needs.min(axis=1))

    def priced(self, rows: IntArray, unit_price: FloatArray | None = None) -> FloatArray:
        """Objective of an hour in each mode and slot, (rows, M, T): money, priced carbon, the price of capacity.

        Args:
            rows: Indices of the jobs.
            unit_price: (P, T) What a unit-hour costs on top, US dollars: the shadow price of its capacity.
        """
        pool, units = self.pool[rows], self.units[rows]
        price = self.usd_per_gram[rows][:, None]
        per_unit = self.tie[None, :] if unit_price is None else self.tie[None, :] + unit_price
        cost = units[:, :, None] * (per_unit + self.usd)[pool]
        cost += (price * self.kilowatts[rows])[:, :, None] * self.grams_kwh[pool]
        cost += (price * units * self.embodied[pool])[:, :, None]
        for surcharge in self.surcharges:
            self._surcharge(cost, rows, surcharge)
        return np.asarray(cost)

    def _surcharge(self, cost: FloatArray, rows: IntArray, surcharge: Surcharge) -> None:
        """Add to the cost of an hour, (rows, M, T), what a budget has its jobs pay on top."""
        mine, slots = np.flatnonzero(surcharge.rows[rows]), np.flatnonzero(surcharge.slots)
        if not len(mine) or not len(slots):
            return
        row = rows[mine]
        pool, units, kilowatts = self.pool[row], self.units[row][:, :, None], self.kilowatts[row][:, :, None]
        more = surcharge.usd * units * self.usd[pool][:, :, slots] + surcharge.kilowatt_hours * kilowatts
        if surcharge.grams:
            more = more + surcharge.grams * (
                kilowatts * self.grams_kwh[pool][:, :, slots] + units * self.embodied[pool][:, :, None]
            )
        cost[np.ix_(mine, np.arange(cost.shape[1]), slots)] += more

    def above_ceiling(self, rows: IntArray) -> BoolArray:
        """Where a job's pool is above the job's ceiling of intensity, (rows, M, T)."""
        return np.asarray(self.grams_kwh[self.pool[rows]] > self.ceiling[rows][:, None, None])


def _pool_rows(problem: SchedulingProblem) -> tuple[FloatArray, FloatArray, FloatArray]:
    slots = len(problem.edges_hours) - 1
    shape = (len(problem.pools), slots)
    free, usd, grams = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, pool in enumerate(problem.pools):
        for array, values, what in (
            (free, pool.free_units, "free_units"),
            (usd, pool.usd_per_unit_hour, "usd_per_unit_hour"),
            (grams, pool.grams_per_kwh, "grams_per_kwh"),
        ):
            if np.shape(values) != (slots,):
                raise ValueError(
                    f"pool {pool.name}: {what} has shape {np.shape(values)}; give one value a slot, ({slots},)"
                )
            array[row] = values
        if np.isnan(free[row]).any() or not (np.isfinite(usd[row]).all() and np.isfinite(grams[row]).all()):
            raise ValueError(f"pool {pool.name}: a value is not a number; fill or cut the series before planning")
    return np.maximum(free, 0.0), usd, grams


def _edges(problem: SchedulingProblem) -> FloatArray:
    edges = np.asarray(problem.edges_hours, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or edges[0] != 0.0 or not (np.diff(edges) > 0.0).all():
        raise ValueError("edges_hours must begin with 0 and rise; give at least two edges")
    return edges


def build_tables(problem: SchedulingProblem) -> Tables:
    """The arrays of a problem.

    Raises:
        ValueError: A pool's series has the wrong length or holds NaN, or the edges do not rise from 0.
    """
    edges = _edges(problem)
    free, usd, grams = _pool_rows(problem)
    jobs = problem.jobs
    width = max((len(job.modes) for job in jobs), default=0) or 1
    modes = np.zeros((len(jobs), width, 4))
    valid = np.zeros((len(jobs), width), dtype=np.bool_)
    flat = [(mode.pool, mode.units, mode.work_per_hour, mode.kilowatts) for job in jobs for mode in job.modes]
    counts = np.array([len(job.modes) for job in jobs], dtype=np.int64)
    valid[:] = np.arange(width)[None, :] < counts[:, None]
    if flat:
        modes[valid] = np.array(flat)
    valid &= modes[:, :, 2] > 0.0
    scalars = np.array(
        [
            (j.work, j.earliest_hours, j.deadline_hours, j.switch_hours, j.max_grams_per_kwh, j.delay_usd_per_hour)
            for j in jobs
        ]
    ).reshape(len(jobs), 6)
    pool = modes[:, :, 0].astype(np.int64)
    kilowatts, units = modes[:, :, 3], modes[:, :, 1]
    embodied = np.array([p.embodied_grams_per_unit_hour for p in problem.pools], dtype=np.float64)
    usd_scale = _typical(usd)
    gram_scale = _typical(grams) * max(_typical(kilowatts / np.maximum(units, 1e-12)), 1e-12)
    usd_per_gram = np.array([problem.usd_per_gram if j.usd_per_gram is None else j.usd_per_gram for j in jobs])
    usd_per_gram = np.maximum(usd_per_gram, CARBON_TIE * (usd_scale or 1.0) / (gram_scale or 1.0))
    typical = usd_scale + float(usd_per_gram.mean() if len(jobs) else 0.0) * gram_scale
    return Tables(
        edges=edges,
        hours=np.diff(edges),
        priority=np.array([j.priority for j in jobs], dtype=np.int64),
        free_units=free,
        usd=usd,
        grams_kwh=grams,
        embodied=embodied,
        usd_per_gram=usd_per_gram,
        tie=TIE * (typical or 1.0) * edges[:-1] / edges[-1],
        pool=pool,
        units=units,
        rate=np.where(valid, modes[:, :, 2], 0.0),
        kilowatts=kilowatts,
        valid=valid,
        work=scalars[:, 0],
        earliest=np.maximum(scalars[:, 1], 0.0),
        deadline=np.minimum(scalars[:, 2], edges[-1]),
        switch=np.maximum(scalars[:, 3], 0.0),
        running=np.array([-1 if j.running is None else j.running for j in jobs], dtype=np.int64),
        ceiling=scalars[:, 4],
        hard_ceiling=np.isinf(scalars[:, 2]),
        delay=np.maximum(scalars[:, 5], 0.0),
    )


def ceiling_penalty(cost: FloatArray) -> float:
    """What an hour above a ceiling costs in the objective that chooses, never in what is reported."""
    return _ABOVE_CEILING * float(cost.max(initial=0.0))


def _typical(values: FloatArray) -> float:
    positive = values[values > 0.0]
    return float(positive.mean()) if positive.size else 0.0
