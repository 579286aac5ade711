"""What a simulated run of elastic jobs used: GPU time, energy, money and carbon of each job."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.simulate.elastic.cluster import ROUND_SECONDS, ClusterRun
from trimtab.simulate.results import Outcomes, PolicyResult, Timeline

FloatArray = npt.NDArray[np.float64]

SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class GpuRates:
    """What a GPU draws and costs while a job holds it; GPUs that no job holds are not charged to any."""

    watts_busy: float
    """While it computes or exchanges gradients."""
    watts_idle: float
    """While its job restarts."""
    usd_per_gpu_hour: float


@dataclass(frozen=True)
class Grid:
    """Carbon intensity over the run."""

    grams_per_kwh: FloatArray
    """Hourly; beyond its end the mean holds. Empty: carbon is not counted."""
    start_hour: int = 0
    """Hour of the series at which the run begins."""

    def at(self, seconds: float) -> float:
        """Intensity at a time of the run (gCO2e/kWh)."""
        if self.grams_per_kwh.size == 0:
            return 0.0
        hour = self.start_hour + int(seconds // SECONDS_PER_HOUR)
        return float(self.grams_per_kwh[hour] if hour < self.grams_per_kwh.size else self.grams_per_kwh.mean())


def account(policy: str, run: ClusterRun, rates: GpuRates, grid: Grid, fastest_seconds: FloatArray) -> PolicyResult:
    """Adds a run up.

    Args:
        policy: name of the policy.
        run: to the end.
        rates: of GPUs.
        grid: for the carbon.
        fastest_seconds: how long each job would take alone on the whole cluster. Shape: (jobs,).
    """
    gpu_seconds, joules, grams = (np.zeros(len(run.jobs)) for _ in range(3))
    for each in run.rounds:
        intensity = grid.at(each.start_seconds)
        for index, usage in each.usages.items():
            used = usage.computing_gpu_seconds * rates.watts_busy + usage.restarting_gpu_seconds * rates.watts_idle
            gpu_seconds[index] += usage.computing_gpu_seconds + usage.restarting_gpu_seconds
            joules[index] += used
            grams[index] += used / JOULES_PER_KWH * intensity
    jct_seconds = np.array([_completion(run, index) for index in range(len(run.jobs))])
    usd = gpu_seconds / SECONDS_PER_HOUR * rates.usd_per_gpu_hour
    wait = (jct_seconds - fastest_seconds) / SECONDS_PER_HOUR
    return PolicyResult(
        policy=policy,
        carbon_g=float(grams.sum()),
        cost=float(usd.sum()),
        energy_kwh=float(joules.sum()) / JOULES_PER_KWH,
        replica_hours=float(gpu_seconds.sum()) / SECONDS_PER_HOUR,
        switches=sum(job.restarts for job in run.jobs),
        mean_wait_h=float(wait.mean()),
        mean_jct_h=float(jct_seconds.mean()) / SECONDS_PER_HOUR,
        plan_ms_p50=float(np.percentile(run.plan_milliseconds, 50)),
        plan_ms_p99=float(np.percentile(run.plan_milliseconds, 99)),
        outcomes=Outcomes(carbon_grams=grams, cost_usd=usd, wait_hours=wait, jct_hours=jct_seconds / SECONDS_PER_HOUR),
        timeline=_timeline(run),
    )


def _completion(run: ClusterRun, index: int) -> float:
    job = run.jobs[index]
    if job.completion_seconds is None:
        raise ValueError(f"{job.name} is not done; only finished runs can be added up")
    return job.completion_seconds - job.request.submit_seconds


def _timeline(run: ClusterRun) -> Timeline:
    held = [
        sum(usage.computing_gpu_seconds + usage.restarting_gpu_seconds for usage in each.usages.values())
        / ROUND_SECONDS
        for each in run.rounds
    ]
    return Timeline(
        hours=np.array([each.start_seconds / SECONDS_PER_HOUR for each in run.rounds]),
        units=np.array(held),
        demand=np.array([float(each.present) for each in run.rounds]),
    )
