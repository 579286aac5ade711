"""Runs to report on: their figures are known, since each outcome is."""

import numpy as np

from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.results import Outcomes, PolicyResult, Sensitivity, Timeline


def result(policy: str, carbon: np.ndarray, *, wait_hours: float = 0.0, **figures: object) -> PolicyResult:
    """A policy whose jobs emit so much, and each wait so long."""
    jobs = len(carbon)
    outcomes = Outcomes(carbon, np.full(jobs, 2.0), np.full(jobs, wait_hours), np.full(jobs, 3.0 + wait_hours))
    given = {
        "cost": 2.0 * jobs,
        "energy_kwh": 4.0 * jobs,
        "replica_hours": 3.0 * jobs,
        "switches": 0,
        "mean_wait_h": wait_hours,
        "mean_jct_h": 3.0 + wait_hours,
        "deadline_misses": 0,
        "timeline": Timeline(np.array([0.0, 10.0, 48.0]), np.array([2.0, 4.0, 0.0])),
        **figures,
    }
    return PolicyResult(policy, float(carbon.sum()), outcomes=outcomes, **given)  # type: ignore[arg-type]


def training_run(jobs: int = 40) -> tuple[list[PolicyResult], RunFacts]:
    """Three policies over the same jobs: trimtab saves 30 % of each, lowest-slot 5 to 15 %."""
    carbon = np.linspace(100.0, 500.0, jobs)
    results = [
        result("run-at-once", carbon, ratio_to_optimum=1.5),
        result("lowest-slot", carbon * np.linspace(0.85, 0.95, jobs), wait_hours=3.0, ratio_to_optimum=1.3),
        result("trimtab", carbon * 0.7, wait_hours=4.5, ratio_to_optimum=1.01, notes=("Lengths <b> are known.",)),
    ]
    sensitivity = Sensitivity("Forecast error (%)", (0.0, 10.0), 0.0, {"trimtab": (0.3, 0.25)})
    facts = RunFacts(
        kind="training",
        command="trimtab simulate training --jobs 'a & b.csv'",
        seed=3,
        reference="run-at-once",
        objective="carbon",
        settings=(("forecast error", "0 %"),),
        zone="ES",
        grams_per_kwh=100 + 50 * np.sin(np.arange(48.0)),
        sensitivities=(sensitivity,),
    )
    return results, facts


def serving_run(intervals: int = 144) -> tuple[list[PolicyResult], RunFacts]:
    """Two policies over the same control intervals, without carbon: trimtab costs a quarter less."""
    cost = 2 + np.sin(np.arange(intervals) / 9)
    timeline = Timeline(np.arange(intervals) / 360, np.full(intervals, 3.0), np.full(intervals, 50.0))
    results = [
        PolicyResult(
            policy, 0.0, float(part * cost.sum()), 1.0, 1.0, 0, slo_attainment=attainment, mean_accuracy=0.8,
            ratio_to_optimum=ratio, outcomes=Outcomes(cost_usd=part * cost), timeline=timeline,
        )
        for policy, part, attainment, ratio in (("fixed-peak", 1.0, 1.0, 1.4), ("trimtab", 0.75, 0.995, 1.05))
    ]  # fmt: skip
    return results, RunFacts("serving", "trimtab simulate serving", 1, "fixed-peak", "cost")
