"""The workloads of a simulation under a budget: jobs that come and go, services that follow a load.

Spending is piecewise constant between steps. What is planned with is the model; what is really spent differs from it
by a factor of each workload, as metered energy differs from a power curve.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trimtab.api.budget import BudgetAction
from trimtab.api.policy_rules import SloClass
from trimtab.plan.budget.problem import Demand

FloatArray = npt.NDArray[np.float64]
_SLO = (SloClass.STANDARD, SloClass.BEST_EFFORT)


class Unit(StrEnum):
    """What a budget counts."""

    COST = "cost"
    ENERGY = "energy"
    CARBON = "carbon"


@dataclass(frozen=True)
class Prices:
    """What a unit of hardware spends while it is held."""

    usd_per_hour: float
    spot_usd_per_hour: float
    kilowatts: float
    intensity: FloatArray
    """gCO2e/kWh by hour, from the start of the simulation; it repeats."""
    _sorted: dict[tuple[int, int], FloatArray] = field(default_factory=dict)

    def intensity_at(self, hour: float) -> float:
        """In force at an hour (gCO2e/kWh)."""
        return float(self.intensity[int(hour) % len(self.intensity)])

    def mean_intensity(self, start: float, end: float) -> float:
        """Over a stretch of hours (gCO2e/kWh)."""
        return (self._until(end) - self._until(start)) / (end - start) if end > start else self.intensity_at(start)

    def _until(self, hour: float) -> float:
        """Intensity summed over the hours until then (g/kW)."""
        turns, rest = divmod(hour, len(self.intensity))
        whole = int(rest)
        part = (rest - whole) * float(self.intensity[whole])
        return turns * float(self.sums[-1]) + float(self.sums[whole]) + part

    @cached_property
    def sums(self) -> FloatArray:
        """Sums of the intensity until each hour (g/kW)."""
        return np.concatenate(([0.0], np.cumsum(self.intensity)))

    def cleanest(self, start: int, end: int) -> FloatArray:
        """Intensities of the hours from `start` until `end`, the cleanest first (gCO2e/kWh)."""
        if (start, end) not in self._sorted:
            if len(self._sorted) > 10_000:
                self._sorted.clear()
            window = np.arange(start, max(start + 1, end)) % len(self.intensity)
            self._sorted[start, end] = np.sort(self.intensity[window])
        return self._sorted[start, end]


@dataclass(frozen=True)
class Scaling:
    """A job with a part of its replicas."""

    units: float = 1.0
    speed: float = 1.0
    power: float = 1.0
    """Each times that of its own size."""


_WHOLE = Scaling()


@dataclass
class Job:
    """A training job."""

    key: str
    arrival: float
    work_hours: float
    """At its own size, what is left of it."""
    units: float
    deadline: float
    slo: SloClass
    real: float
    """Spending over what the model says."""
    running: bool = False
    narrow: bool = False
    spot: bool = False
    stops_at: float = math.inf
    """When its pods are gone; infinite while it is not stopping."""
    overhead_hours: float = 0.0
    """Of running that is lost since it started last."""


@dataclass
class Service:
    """A service that follows its load."""

    key: str
    peak_replicas: float
    units: float
    slo: SloClass
    accurate: bool
    """It prefers accuracy: a cheaper variant would do with less."""
    real: float
    replicas: int = 1
    running: bool = True
    stops_at: float = math.inf


@dataclass
class World:
    """All workloads at one instant."""

    prices: Prices
    load: FloatArray
    """Share of the peak by minute of the day."""
    narrow: Scaling
    unit: Unit
    actions: tuple[BudgetAction, ...]
    level: int = 0
    """In force now."""
    services: list[Service] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)

    def taken(self, level: int, action: BudgetAction) -> bool:
        """Whether an action is in force at a level."""
        return action in self.actions[:level]

    def spends(self, units: float, hour: float, *, spot: bool = False, power: float = 1.0) -> float:
        """By the model, for an hour, in the budget's unit (USD, kWh, kgCO2e)."""
        if self.unit is Unit.COST:
            return units * (self.prices.spot_usd_per_hour if spot else self.prices.usd_per_hour)
        energy = units * self.prices.kilowatts * power
        return energy if self.unit is Unit.ENERGY else energy * self.prices.intensity_at(hour) / 1000.0

    def replicas(self, service: Service, hour: float, level: int) -> int:
        """Replicas that the load needs."""
        share = float(self.load[int(hour * 60.0) % len(self.load)])
        headroom = 1.08 if self.taken(level, BudgetAction.FEWER_REPLICAS) else 1.25
        variant = 0.6 if service.accurate and self.taken(level, BudgetAction.CHEAPER_VARIANT) else 1.0
        return max(1, math.ceil(share * service.peak_replicas * headroom * variant))

    def real_rate(self, hour: float) -> float:
        """What all of it really spends for an hour now."""
        total = 0.0
        for job in self.jobs.values():
            if job.running:
                size = self.narrow if job.narrow else _WHOLE
                total += job.real * self._job(job, size, hour, spot=job.spot)
        for service in self.services:
            if service.running:
                total += service.real * self.spends(service.units * service.replicas, hour)
        return total

    def _job(self, job: Job, size: Scaling, hour: float, *, spot: bool) -> float:
        power = size.power / size.units if size.units else 1.0
        return self.spends(job.units * size.units, hour, spot=spot, power=power)

    def size_at(self, job: Job, hour: float, level: int) -> Scaling:
        """How wide a job runs at a level: narrow only when it is still done in time."""
        in_time = hour + job.work_hours / self.narrow.speed <= job.deadline
        return self.narrow if in_time and self.taken(level, BudgetAction.FEWER_REPLICAS) else _WHOLE

    def job_demand(self, job: Job, hour: float, period_end: float) -> Demand:
        """What a job asks for."""
        levels = range(len(self.actions) + 1)
        may_wait = period_end + job.work_hours * 1.05 <= job.deadline
        in_time = hour + job.work_hours / self.narrow.speed <= job.deadline
        pace = self.size_at(job, hour, self.level).speed
        known: dict[tuple[bool, bool, bool], tuple[float, float]] = {}
        asked = []
        for level in levels:
            later = self.taken(level, BudgetAction.LATER_SLOTS)
            if may_wait and later:
                asked.append((0.0, 0.0))
                continue
            way = (
                in_time and self.taken(level, BudgetAction.FEWER_REPLICAS),
                self.taken(level, BudgetAction.SPOT),
                later,
            )
            if way not in known:
                size = self.narrow if way[0] else _WHOLE
                rate = self._job(job, size, hour, spot=way[1])
                hours = min(job.work_hours / size.speed, period_end - hour)
                # At the pace of the present level: narrower is slower, and the same work.
                known[way] = (rate * pace / size.speed, self._ahead(rate, hour, hours, job, later=later))
            asked.append(known[way])
        size = self.narrow if job.narrow else _WHOLE
        return Demand(
            key=job.key,
            slo=job.slo,
            service=False,
            per_hour=tuple(rate for rate, _ in asked),
            ahead=tuple(ahead for _, ahead in asked),
            holds_per_hour=self._job(job, size, hour, spot=job.spot) if job.running else 0.0,
            cost_per_work=job.units,
            may_wait=may_wait,
        )

    def _ahead(self, rate: float, hour: float, hours: float, job: Job, *, later: bool) -> float:
        if self.unit is not Unit.CARBON or hours <= 0.0:
            return rate * hours
        present = self.prices.intensity_at(hour)
        if present <= 0.0:
            return 0.0
        mean = self.prices.mean_intensity(hour, hour + hours)
        if later:
            mean = min(mean, self._cleanest(hour, hours, job.deadline))
        return rate / present * mean * hours

    def _cleanest(self, hour: float, hours: float, until: float) -> float:
        """Mean intensity of the cleanest hours until an instant."""
        values = self.prices.cleanest(int(hour), int(until))
        count = max(1, math.ceil(hours))
        return float(values[:count].mean()) if len(values) >= count else math.inf

    def clean_enough(self, job: Job, hour: float, level: int) -> bool:
        """LaterSlots: whether this hour is among the cleanest that the job needs before its deadline."""
        if self.unit is not Unit.CARBON or not self.taken(level, BudgetAction.LATER_SLOTS):
            return True
        needed = job.work_hours / self.size_at(job, hour, level).speed
        if hour + needed + 1.0 >= job.deadline:
            return True
        values = self.prices.cleanest(int(hour), int(job.deadline))
        return self.prices.intensity_at(hour) <= float(values[min(len(values), math.ceil(needed)) - 1])

    def service_demand(self, service: Service, hour: float) -> Demand:
        """What a service asks for."""
        levels = range(len(self.actions) + 1)
        rates = tuple(self.spends(service.units * self.replicas(service, hour, level), hour) for level in levels)
        held = service.units * service.replicas if service.running else 0.0
        return Demand(
            key=service.key,
            slo=service.slo,
            service=True,
            per_hour=rates,
            holds_per_hour=self.spends(held, hour),
            least_per_hour=self.spends(service.units, hour),
            cost_per_work=service.units,
        )
