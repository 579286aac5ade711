"""Replays months under a budget with the operator's own functions, late metering and late effects included.

The loop is the operator's: the account rolls over, what is not metered yet is estimated, the budget is judged, and
what was decided takes effect later. Steps are long while nothing is near, and as short as the operator's loop at the
line.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from trimtab.api.budget import Budget, BudgetAction, BudgetStatus
from trimtab.api.common import Usage
from trimtab.api.policy import Mode
from trimtab.api.policy_rules import SloClass
from trimtab.plan.budget.account import roll_over, with_usage
from trimtab.plan.budget.enforce import enforce
from trimtab.plan.budget.orders import shown_status, standing_of
from trimtab.plan.budget.problem import Demand, Standing, Verdict
from trimtab.simulate.budgets.world import FloatArray, Job, Prices, Scaling, Service, Unit, World
from trimtab.simulate.inputs.training_jobs import JobTrace

START = datetime(2022, 1, 1, tzinfo=UTC)
LOOP_SECONDS, METER_LAG_SECONDS = 10.0, 25.0
_LONG_HOURS, _SHORT_HOURS = 1.0 / 6.0, LOOP_SECONDS / 3600.0
_START_HOURS = 15.0 / 3600.0
_LEAST_STOP_HOURS, _MOST_STOP_HOURS = 5.0 / 3600.0, 55.0 / 3600.0
"""From an apply until the pods are gone: a checkpoint, then at most their grace."""
_PATIENCE_HOURS = 72.0
"""A job that has waited for so long beyond its deadline is withdrawn by its user."""


@dataclass(frozen=True)
class BudgetRun:
    """What to simulate."""

    jobs: JobTrace
    intensity: FloatArray
    """gCO2e/kWh by hour."""
    load: FloatArray
    """Of the services: share of the peak by minute of a day."""
    unit: Unit
    hours: float
    limit: float
    """Of a period, in the unit; infinite to see what would be spent without a budget."""
    period: str = "Month"
    roll_over: float = 0.0
    actions: tuple[BudgetAction, ...] = tuple(BudgetAction)
    max_wait_hours: float = 24.0
    narrow: Scaling = field(default_factory=Scaling)
    usd_per_unit_hour: float = 3.06
    spot_usd_per_unit_hour: float = 1.07
    kilowatts_per_unit: float = 0.38
    service_share: float = 0.4
    """Units of all services at their peak, over the mean units of the jobs."""
    error: float = 0.15
    """Metered spending of energy and carbon lies between 1 - 2 x this and 1 of the model's."""
    seed: int = 0


@dataclass
class PeriodResult:
    """What came of one period."""

    start: datetime
    limit: float
    spent: float = 0.0
    refused_hours: float = 0.0
    """Hours in which some workload was stopped."""
    refused_at_end: bool = False
    first_refused_share: float | None = None
    """What was spent or kept for workloads of higher rank when the first was stopped, over the limit."""
    suspensions: int = 0
    """How often a workload was stopped that was not before."""
    needless: int = 0
    """Those of them after which the period, as it came, would have been within the limit with the cheaper actions
    alone."""
    could_be_free: bool = False
    """Work was stopped, and with the cheaper actions in force from the first hour on it would not have been needed."""
    actions: dict[str, float] = field(default_factory=dict)
    """Hours by the last action in force."""


@dataclass(frozen=True)
class BudgetResult:
    """What came of a run."""

    periods: tuple[PeriodResult, ...]
    finished: int
    withdrawn: int
    steps: int

    @property
    def whole(self) -> tuple[PeriodResult, ...]:
        """Periods that were simulated to their end."""
        return self.periods[:-1]


class Replay:
    """One run. Hours count from `START`."""

    def __init__(self, options: BudgetRun) -> None:
        self.options, self.random = options, np.random.default_rng(options.seed)
        prices = Prices(
            options.usd_per_unit_hour, options.spot_usd_per_unit_hour, options.kilowatts_per_unit, options.intensity
        )
        self.world = World(prices, options.load, options.narrow, options.unit, options.actions)
        self.world.services = self._services()
        self.queue = deque(self._jobs())
        field_ = {Unit.COST: "costUSD", Unit.ENERGY: "energyKWh", Unit.CARBON: "carbonKilograms"}[options.unit]
        limit = options.limit if math.isfinite(options.limit) else 1e15
        given = {"name": "budget", field_: limit, "period": options.period, "rollOver": options.roll_over}
        self.budget = Budget.model_validate({**given, "actions": list(options.actions)})
        self.status = roll_over(self.budget, None, START, START)
        self.spent: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        """Hours and what was really spent by then: the meter's counter."""
        self.total = 0.0
        self.periods = [PeriodResult(START, self.status.limit)]
        self.opened = 0.0
        self._finished = self._withdrawn = 0

    def _real(self) -> float:
        if self.options.unit is Unit.COST:
            return 1.0
        return 1.0 - 2.0 * self.options.error * float(self.random.random())

    def _jobs(self) -> list[Job]:
        trace, options = self.options.jobs, self.options
        result = []
        for i in range(len(trace)):
            arrival, length = float(trace.arrival_hours[i]), float(trace.length_hours[i])
            if arrival < options.hours:
                slo = SloClass.BEST_EFFORT if self.random.random() < 0.3 else SloClass.STANDARD
                deadline = arrival + length + options.max_wait_hours
                result.append(Job(f"job/{i}", arrival, length, float(trace.units[i]), deadline, slo, self._real()))
        return result

    def _services(self) -> list[Service]:
        trace, options = self.options.jobs, self.options
        span = max(1.0, float(trace.arrival_hours[-1]))
        units = float((trace.length_hours * trace.units).sum()) / span * options.service_share
        parts = (
            (0.4, SloClass.LATENCY_CRITICAL, False),
            (0.4, SloClass.STANDARD, True),
            (0.2, SloClass.BEST_EFFORT, True),
        )
        return [
            Service(f"service/{i}", max(1.0, units * share), 1.0, slo, accurate, self._real())
            for i, (share, slo, accurate) in enumerate(parts)
        ]

    def run(self) -> BudgetResult:
        """To the end of the simulation."""
        hour, steps = 0.0, 0
        while hour < self.options.hours:
            hour, steps = self.pass_at(hour, math.inf), steps + 1
        self.periods[-1].spent = self.total - self.opened
        return BudgetResult(tuple(self.periods), self._finished, self._withdrawn, steps)

    def pass_at(self, hour: float, longest: float) -> float:
        """One pass of the loop and the time until the next, which begins at the hour that is returned."""
        self._arrive(hour)
        self._meter(hour)
        verdict, standing = self._judge(hour)
        self._carry_out(verdict, hour)
        step = min(longest, self.step(standing, verdict, hour))
        self._live(hour, step, verdict)
        return hour + step

    def _arrive(self, hour: float) -> None:
        while self.queue and self.queue[0].arrival <= hour:
            job = self.queue.popleft()
            self.world.jobs[job.key] = job

    def _counter(self, hour: float) -> float:
        """What the counter stood at."""
        while len(self.spent) > 2 and self.spent[1][0] <= hour:
            self.spent.popleft()
        (a, x), (b, y) = self.spent[0], self.spent[min(1, len(self.spent) - 1)]
        return x + (y - x) * (min(max(hour, a), b) - a) / (b - a) if b > a else y

    def _meter(self, hour: float) -> None:
        """Carry the account on to what is metered by now."""
        newest = START + timedelta(hours=max(0.0, hour - METER_LAG_SECONDS / 3600.0))
        before = self.status.usage.accounted_until or START
        until = newest if self.status.period_end is None else min(newest, self.status.period_end)
        if until > before:
            spent = self._counter(hours_of(until)) - self._counter_at_start
            self.status = with_usage(self.budget, self.status, self._usage(spent, until))
        rolled = roll_over(self.budget, self.status, START, START + timedelta(hours=hour))
        if rolled.period_start != self.status.period_start:
            self._close(rolled)
        self.status = rolled

    _counter_at_start = 0.0

    def _usage(self, spent: float, until: datetime) -> Usage:
        unit = self.options.unit
        return Usage(
            cost_usd=spent if unit is Unit.COST else 0.0,
            energy_watt_hours=spent * 1000.0 if unit is Unit.ENERGY else 0.0,
            carbon_grams=spent * 1000.0 if unit is Unit.CARBON else 0.0,
            accounted_until=until,
        )

    def _close(self, rolled: BudgetStatus) -> None:
        at_end = self._counter(hours_of(rolled.period_start))
        self.periods[-1].spent = at_end - self.opened
        self.opened = self._counter_at_start = at_end
        self.periods.append(PeriodResult(rolled.period_start, rolled.limit))

    def _judge(self, hour: float) -> tuple[Verdict, Standing]:
        now = START + timedelta(hours=hour)
        standing = standing_of(self.budget, self.status, now)
        end = math.inf if standing.period_end is None else hours_of(standing.period_end)
        demands: list[Demand] = [self.world.service_demand(s, hour) for s in self.world.services]
        demands += [self.world.job_demand(job, hour, end) for job in self.world.jobs.values()]
        verdict = self.decide(standing, tuple(demands))
        self.status = shown_status("simulated", Mode.ENFORCE, self.budget, self.status, standing, verdict)
        if self.status.period_end is not None and now < self.status.period_end:
            self.note(standing, verdict, demands)
        return verdict, standing

    def decide(self, standing: Standing, demands: tuple[Demand, ...]) -> Verdict:
        """What is done about the budget."""
        return enforce(standing, demands)

    def note(self, standing: Standing, verdict: Verdict, demands: list[Demand]) -> None:
        """Keep what was decided."""
        period = self.periods[-1]
        period.refused_at_end = bool(verdict.stopped)
        if not verdict.stopped:
            return
        plain = max(k for k in range(verdict.level) if BudgetAction.SUSPEND not in standing.actions[:k])
        if period.first_refused_share is None:
            kept = (
                verdict.forecast[plain]
                - verdict.spent_now
                - sum(d.ahead[plain] for d in demands if d.key in verdict.stopped and not d.service)
            )
            period.first_refused_share = min(1.0, (verdict.spent_now + max(0.0, kept)) / standing.limit)

    def _carry_out(self, verdict: Verdict, hour: float) -> None:
        world, held = self.world, verdict.stopped | verdict.waiting
        world.level = verdict.level
        for job in world.jobs.values():
            wanted = job.key not in held and world.clean_enough(job, hour, verdict.level)
            if job.running and not wanted:
                job.stops_at = min(job.stops_at, hour + self._stop_hours())
            elif wanted and not job.running:
                job.running, job.stops_at, job.overhead_hours = True, math.inf, _START_HOURS
            elif wanted:
                job.stops_at = math.inf
            if wanted:
                job.narrow = world.size_at(job, hour, verdict.level) is world.narrow
                job.spot = world.taken(verdict.level, BudgetAction.SPOT)
        for service in world.services:
            wanted = service.key not in held
            if wanted:
                service.running, service.stops_at = True, math.inf
                service.replicas = self._replicas(service, verdict, hour)
            elif service.running:
                service.stops_at = min(service.stops_at, hour + self._stop_hours())

    def _replicas(self, service: Service, verdict: Verdict, hour: float) -> int:
        replicas = self.world.replicas(service, hour, verdict.level)
        cap = verdict.caps_per_hour.get(service.key)
        one = self.world.spends(service.units, hour)
        return replicas if cap is None or one <= 0.0 else max(1, min(replicas, int(cap / one)))

    def _stop_hours(self) -> float:
        return float(self.random.uniform(_LEAST_STOP_HOURS, _MOST_STOP_HOURS))

    def step(self, standing: Standing, verdict: Verdict, hour: float) -> float:
        """Until the next decision: short at the line and around the end of a period."""
        world = self.world
        rate = sum(world.spends(j.units, hour) for j in world.jobs.values() if j.running)
        rate += sum(world.spends(s.units * s.replicas, hour) for s in world.services if s.running)
        left = standing.limit - verdict.spent_now
        near = 0.0 < left < 3.0 * rate * _LONG_HOURS and not (verdict.stopped and rate <= 0.0)
        stopping = any(math.isfinite(j.stops_at) for j in world.jobs.values())
        step = _SHORT_HOURS if near or stopping else _LONG_HOURS
        if self.status.period_end is not None:
            to_end = hours_of(self.status.period_end) - hour
            settled = to_end + (METER_LAG_SECONDS + 1.0) / 3600.0
            for edge in (to_end, settled):
                if 1e-9 < edge < step:
                    step = edge
        return step

    def _live(self, hour: float, step: float, verdict: Verdict) -> None:
        """Let the time pass: what runs spends and works, what is told to stop ends when its pods do."""
        world, end = self.world, hour + step
        rate, cut = world.real_rate(hour), 0.0
        for job in list(world.jobs.values()):
            if job.running:
                cut += self._work(job, hour, end)
            elif hour > job.deadline + _PATIENCE_HOURS:
                self._withdrawn += 1
                del world.jobs[job.key]
        for service in world.services:
            if service.stops_at <= end and service.running:
                cut += service.real * world.spends(service.units * service.replicas, hour) * (end - service.stops_at)
                service.running = False
        self.total += rate * step - cut
        self.spent.append((end, self.total))
        period = self.periods[-1]
        name = self.budget.actions[verdict.level - 1].value if verdict.level else "none"
        period.actions[name] = period.actions.get(name, 0.0) + step
        period.refused_hours += step if verdict.stopped else 0.0

    def _work(self, job: Job, hour: float, end: float) -> float:
        """Do a job's work; what it does not spend of the step because it ends within it."""
        world = self.world
        size = world.narrow if job.narrow else Scaling()
        until = min(end, job.stops_at)
        needed = job.overhead_hours + job.work_hours / size.speed
        done = min(until - hour, needed)
        effective = max(0.0, done - job.overhead_hours)
        job.overhead_hours = max(0.0, job.overhead_hours - done)
        job.work_hours -= effective * size.speed
        last = hour + done
        rate = job.real * world.spends(job.units * size.units, hour, spot=job.spot, power=size.power / size.units)
        if job.work_hours <= 1e-9:
            self._finished += 1
            del world.jobs[job.key]
            return rate * (end - last)
        if job.stops_at <= end:
            job.running, job.stops_at = False, math.inf
            return rate * (end - until)
        return 0.0


def hours_of(instant: datetime) -> float:
    """Hours from `START` to an instant."""
    return (instant - START).total_seconds() / 3600.0
