"""What runs came to: carbon, energy, money, waiting, by job and in all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.results import Outcomes, PolicyResult, Timeline
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]

_LATE_HOURS = 1e-6
"""A deadline that is missed by less is met: rounding."""


@dataclass(frozen=True)
class Prices:
    """What is to be least.

    With a price of carbon it is money and priced carbon. Without one it is carbon alone; what units cost is then
    accounted for, but decides nothing.
    """

    usd_per_unit_hour: float
    usd_per_gram: float

    @property
    def weight_of_usd(self) -> float:
        """What a US dollar counts in the objective."""
        return 1.0 if self.usd_per_gram > 0 else 0.0

    @property
    def weight_of_gram(self) -> float:
        """What a gram of carbon counts in the objective."""
        return self.usd_per_gram if self.usd_per_gram > 0 else 1.0

    def objective(self, usd: float, grams: float) -> float:
        """US dollars with a price of carbon, grams without one."""
        return self.weight_of_usd * usd + self.weight_of_gram * grams


def account(
    policy: str,
    runs: Runs,
    jobs: Workload,
    truth: Intensity,
    prices: Prices,
    plan_seconds: Sequence[float] = (),
    notes: tuple[str, ...] = (),
) -> PolicyResult:
    """The figures of a policy.

    Args:
        policy: Its name.
        runs: What was carried out.
        jobs: The workload.
        truth: Intensity as it was.
        prices: For the cost.
        plan_seconds: What each planning took.
        notes: To be said with the figures.
    """
    units = jobs.units[runs.job]
    kilowatts = jobs.kilowatts_per_unit * units * jobs.scaling.power[runs.replicas - 1]
    grams = kilowatts * (truth.integral(runs.end_hours) - truth.integral(runs.start_hours))
    unit_hours = units * runs.replicas * runs.hours
    finish = np.full(len(jobs), -np.inf)
    np.maximum.at(finish, runs.job, runs.end_hours)
    completion = finish - jobs.arrival_hours
    wait = completion - jobs.alone_hours
    wait[np.abs(wait) < _LATE_HOURS] = 0.0
    count = len(jobs)
    outcomes = Outcomes(
        carbon_grams=np.bincount(runs.job, grams, count).astype(np.float64),
        cost_usd=np.bincount(runs.job, unit_hours * prices.usd_per_unit_hour, count).astype(np.float64),
        wait_hours=wait,
        jct_hours=completion,
    )
    planned = np.array(plan_seconds) * 1e3
    beyond = np.maximum(runs.end_hours - np.maximum(runs.start_hours, truth.end_hour), 0.0)
    if beyond.any():
        share = float((beyond * units * runs.replicas).sum() / unit_hours.sum())
        notes = (*notes, f"{share:.2%} of its unit hours are after the carbon series and counted at its mean intensity")
    return PolicyResult(
        policy=policy,
        carbon_g=float(grams.sum()),
        cost=float(unit_hours.sum() * prices.usd_per_unit_hour),
        energy_kwh=float((kilowatts * runs.hours).sum()),
        replica_hours=float(unit_hours.sum()),
        switches=len(runs) - len(np.unique(runs.job)),
        mean_wait_h=float(wait.mean()),
        mean_jct_h=float(completion.mean()),
        deadline_misses=int((finish > jobs.deadline_hours + _LATE_HOURS).sum()),
        plan_ms_p50=float(np.percentile(planned, 50)) if len(planned) else None,
        plan_ms_p99=float(np.percentile(planned, 99)) if len(planned) else None,
        outcomes=outcomes,
        timeline=timeline(runs, jobs, finish),
        notes=notes,
    )


def timeline(runs: Runs, jobs: Workload, finish_hours: FloatArray) -> Timeline:
    """Mean units held and mean count of jobs in the system, hour by hour."""
    hours = np.arange(int(np.ceil(max(float(finish_hours.max()), 1.0))) + 1, dtype=np.float64)
    units = jobs.units[runs.job] * runs.replicas
    return Timeline(
        hours[:-1],
        _hourly_mean(hours, runs.start_hours, runs.end_hours, units),
        _hourly_mean(hours, jobs.arrival_hours, finish_hours, np.ones(len(jobs))),
    )


def _hourly_mean(edges: FloatArray, start: FloatArray, end: FloatArray, height: FloatArray) -> FloatArray:
    """Mean over each hour of a sum of steps that hold from their start to their end."""
    times = np.concatenate([start, end])
    order = np.argsort(times, kind="stable")
    times = times[order]
    level = np.cumsum(np.concatenate([height, -height])[order])
    integral = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(times))])
    return np.diff(np.interp(edges, times, integral))
