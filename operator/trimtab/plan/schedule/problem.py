"""The scheduling problem: jobs with work left, hardware pools with capacity, price and forecast, and slots of time.

The operator builds it from a Snapshot, `trimtab simulate` from a trace; what solves it cannot tell the two apart.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """A hardware class over the horizon. Each array has one value for each slot."""

    name: str
    free_units: FloatArray
    """Units of its resource that the jobs of this problem may hold together; infinite where there is no limit."""
    usd_per_unit_hour: FloatArray
    """Price of a unit (US dollars an hour)."""
    grams_per_kwh: FloatArray
    """Forecast of the carbon intensity of its grid (gCO2e/kWh)."""
    embodied_grams_per_unit_hour: float = 0.0
    """Embodied carbon of a unit that is held (gCO2e an hour)."""


@dataclass(frozen=True)
class RunMode:
    """One way to run a job: so many replicas, started together, on one pool."""

    pool: int
    """Index of the pool."""
    replicas: int
    """Replicas of the gang."""
    units: float
    """Units of the pool's resource that they hold together."""
    work_per_hour: float
    """Speed, in the job's unit of work an hour."""
    kilowatts: float
    """Power while running, the site's overhead (PUE) included."""


@dataclass(frozen=True)
class Job:
    """Work that is left to do, and the ways to do it. Times are hours from the start of the horizon."""

    key: str
    work: float
    """Work left, in any unit (samples, hours of one replica)."""
    modes: tuple[RunMode, ...]
    """The ways to run it; a job without one cannot run."""
    earliest_hours: float = 0.0
    """When it may start."""
    deadline_hours: float = math.inf
    """When it has to be done; infinite when it need not."""
    switch_hours: float = 0.0
    """Running time that is lost at each start, resumption and change of mode (pods, checkpoint, warm-up)."""
    running: int | None = None
    """Index of the mode in which it runs now; None while it does not run."""
    max_grams_per_kwh: float = math.inf
    """Intensity above which it does not run, unless the deadline leaves no other way: of several ways to meet the
    deadline, the one with the least running time above it is taken, whatever it costs."""
    priority: int = 0
    """Higher goes first where capacity is short."""
    delay_usd_per_hour: float = 0.0
    """What it is worth to be done an hour earlier (US dollars); 0 means that only the deadline counts."""
    usd_per_gram: float | None = None
    """Price of carbon for this job; None means the problem's."""


@dataclass(frozen=True)
class Budget:
    """A bound on what some jobs may spend together within a stretch of the horizon."""

    jobs: frozenset[str]
    """Keys of the jobs."""
    usd: float = math.inf
    """Most money (US dollars)."""
    grams: float = math.inf
    """Most carbon (gCO2e)."""
    kilowatt_hours: float = math.inf
    """Most energy (kWh)."""
    name: str = ""
    """For messages."""
    from_hours: float = 0.0
    """Where the stretch begins: an edge of the slots. What is spent outside of it does not count."""
    until_hours: float = math.inf
    """Where it ends: an edge of the slots, or at or beyond the last."""
    cuts: bool = True
    """Work for which it does not suffice is left undone. False: deadlines go before it, so that it is kept wherever
    work can be put off, and what is spent beyond it is said."""


@dataclass(frozen=True)
class SchedulingProblem:
    """All jobs, all pools, one horizon."""

    edges_hours: FloatArray
    """Edges of the slots, one more than there are slots; the first is 0. Slots may differ in length."""
    pools: tuple[Pool, ...]
    jobs: tuple[Job, ...]
    usd_per_gram: float = 0.0
    """Price of carbon. At 0, carbon still decides between schedules of equal cost."""
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True)
class SlotRun:
    """A stretch in which a job runs: part of a slot, or all of it."""

    slot: int
    mode: int
    """Index into the job's modes."""
    start_hours: float
    end_hours: float


@dataclass(frozen=True)
class JobSchedule:
    """The plan of one job, and why it is so."""

    key: str
    runs: tuple[SlotRun, ...]
    """In order of time."""
    finish_hours: float
    """When the work is done by this plan; infinite when the horizon ends before."""
    usd: float
    grams: float
    kilowatt_hours: float
    missed_by_hours: float = 0.0
    """By how much the deadline is missed; the nearest feasible deadline is that much later."""
    bound_by: str = ""
    """Code of the constraint that bound: Deadline, Capacity, Budget, Price, Work, NoMode; empty when nothing did."""
    alternative: str = ""
    """The next better choice and what it would have cost, for a person."""
    alternative_usd: float | None = None
    """How much more (priced) the next better choice costs."""


@dataclass(frozen=True)
class Overrun:
    """A budget that cannot hold by any means that the schedule has."""

    budget: int
    """Index into the problem's budgets."""
    usd: float = 0.0
    """By how much more money is planned than it has (US dollars)."""
    grams: float = 0.0
    """The same of carbon (gCO2e)."""
    kilowatt_hours: float = 0.0
    """The same of energy (kWh)."""


@dataclass(frozen=True)
class Schedule:
    """The answer: a plan for each job, in the order of the problem's jobs."""

    jobs: tuple[JobSchedule, ...]
    usd: float
    grams: float
    lower_bound_usd: float
    """No schedule that does the same work by the same times has a lower objective: from the Lagrangian dual."""
    objective_usd: float = 0.0
    """Money, carbon at its price and delay at its worth, of all that finishes. How far it is above the bound says how
    far from the best this may be."""
    overruns: tuple[Overrun, ...] = ()
    """Of the budgets that do not cut work: those that deadlines force it to overrun."""
