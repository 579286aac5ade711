"""`trimtab simulate training` on traces of the kinds `gaia` and `philly`: all policies on the same jobs and grid."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trimtab.simulate.inputs.carbon import CarbonSeries
from trimtab.simulate.inputs.table import InputError
from trimtab.simulate.inputs.training_jobs import JobTrace, TimeUnit, read_gaia, read_philly, read_scaling, rigid
from trimtab.simulate.results import PolicyResult
from trimtab.simulate.training.account import Prices, account
from trimtab.simulate.training.intensity import Forecasts, Intensity
from trimtab.simulate.training.limit import limit
from trimtab.simulate.training.own_forecast import LEAST_PAST_HOURS, OwnForecasts
from trimtab.simulate.training.policies import (
    carbon_time,
    carbonscaler,
    ecovisor,
    lowest_slot,
    lowest_window,
    planner,
    run_at_once,
    static_oracle,
    suspend_resume,
)
from trimtab.simulate.training.queueing import carry_out
from trimtab.simulate.training.replay import Plan, plan_at_arrival
from trimtab.simulate.training.workload import Limits, Workload, prepare

TRIMTAB, OPTIMUM = "trimtab", "optimum"

BASELINES: dict[str, Plan] = {
    "run-at-once": run_at_once.plan,
    "suspend-resume": suspend_resume.plan,
    "lowest-slot": lowest_slot.plan,
    "lowest-window": lowest_window.plan,
    "carbon-time": carbon_time.plan,
    "ecovisor": ecovisor.plan,
    "carbonscaler": carbonscaler.plan,
    "static-oracle": static_oracle.plan,
}
"""Published policies, which plan each job at its arrival."""

POLICIES: tuple[str, ...] = (TRIMTAB, OPTIMUM, *BASELINES)
"""Names of the policies, in the order of the report."""

ELASTIC_POLICIES = ("tiresias", "optimus", "pollux")
"""Policies for the completion time of elastic jobs: they have nothing to choose for jobs of a known, fixed size."""

_GRAMS_PER_TONNE = 1e6


@dataclass(frozen=True)
class TrainingRun:
    """What to simulate. Defaults of power and price are of a V100 in its machine at full load (AWS p3.2xlarge)."""

    jobs: Path
    """The trace."""
    carbon: CarbonSeries
    """Intensity of the grid."""
    format: Literal["gaia", "philly"] = "gaia"
    time_unit: TimeUnit = "auto"
    """Unit of a GAIA trace: its files come in hours and in seconds."""
    start_hour: int = 0
    """Hour of the carbon series at which the trace begins."""
    hours: float = 720.0
    """Jobs that arrive within so many hours take part; they run to their end."""
    capacity: float | None = None
    """Units that all jobs share; None without a limit."""
    max_wait_short_hours: float = 6.0
    """For jobs of less than two hours: how long they may wait or stand still in all."""
    max_wait_long_hours: float = 24.0
    """The same for all others."""
    forecast_error_pct: float = 0.0
    """Mean absolute percentage error of the forecast."""
    own_forecast: bool = False
    """Forecast from the hours before, as the operator does where a source gives no forecast."""
    policies: tuple[str, ...] = POLICIES
    seed: int = 0
    watts_per_unit: float = 380.0
    """Of a unit that runs (AWS p3.2xlarge at full load, Teads' measurements)."""
    usd_per_unit_hour: float = 3.06
    """Price of a unit (AWS p3.2xlarge on demand, us-east-1)."""
    usd_per_tonne: float = 0.0
    """Price of carbon (US dollars a tonne of CO2e). Without one, carbon alone is to be least."""
    switch_hours: float = 0.0
    """Running time that is lost at each start, resumption and change of scale."""
    scaling: Path | None = None
    """Scaling profile (nodes, throughput, power): each job may then run with several replicas of its size."""


def run_training(options: TrainingRun) -> tuple[PolicyResult, ...]:
    """Simulates the policies, each on the same jobs, intensity and forecasts.

    Returns:
        A result for each policy, in the order that was asked for. `ratio_to_optimum` is the objective over that of
        the optimum: carbon, or with a price of carbon money and priced carbon.

    Raises:
        InputError: The trace or the profile is wrong, or no job of it can take part.
        ValueError: An option is out of range or a policy is unknown.
    """
    _check(options)
    scene = _prepare(options)
    best = limit(scene.jobs, scene.truth, scene.prices, options.capacity)
    results = []
    for name in options.policies:
        result = best.result if name == OPTIMUM else _simulate(name, options, scene)
        ratio = scene.prices.objective(result.cost, result.carbon_g) / best.objective if best.objective > 0 else None
        notes = (*scene.notes, *result.notes)
        results.append(replace(result, ratio_to_optimum=ratio, notes=notes))
    return tuple(results)


@dataclass(frozen=True)
class _Scene:
    jobs: Workload
    truth: Intensity
    forecasts: Forecasts
    prices: Prices
    notes: tuple[str, ...]


def _prepare(options: TrainingRun) -> _Scene:
    trace = _read(options)
    truth = Intensity(0, options.carbon.grams_per_kwh[options.start_hour :])
    scaling = rigid() if options.scaling is None else read_scaling(options.scaling)
    limits = Limits(
        options.hours,
        float(truth.end_hour),
        options.max_wait_short_hours,
        options.max_wait_long_hours,
        options.capacity,
    )
    jobs, notes = prepare(trace, limits, scaling, options.watts_per_unit / 1000.0, options.switch_hours)
    if not len(jobs):
        said = "; ".join(notes) or "none arrives in time"
        raise InputError(options.jobs, 0, 0, f"no job can take part ({said}); give more hours or another start")
    forecasts = Forecasts(truth, options.forecast_error_pct, options.seed)
    if options.own_forecast:
        forecasts = OwnForecasts(truth, past=options.carbon.grams_per_kwh[: options.start_hour])
    prices = Prices(options.usd_per_unit_hour, options.usd_per_tonne / _GRAMS_PER_TONNE)
    return _Scene(jobs, truth, forecasts, prices, notes)


def _read(options: TrainingRun) -> JobTrace:
    return read_philly(options.jobs) if options.format == "philly" else read_gaia(options.jobs, options.time_unit)


def _simulate(name: str, options: TrainingRun, scene: _Scene) -> PolicyResult:
    if name == TRIMTAB:
        runs, seconds, notes = planner.simulate(scene.jobs, scene.forecasts, scene.prices, options.capacity)
    else:
        # The oracle knows what comes; what it chooses is the scale.
        forecasts = Forecasts(scene.truth) if name == "static-oracle" else scene.forecasts
        plan, seconds = plan_at_arrival(name, BASELINES[name], scene.jobs, forecasts)
        runs, notes = carry_out(plan, scene.jobs, options.capacity), ()
    return account(name, runs, scene.jobs, scene.truth, scene.prices, seconds, notes)


def _check(options: TrainingRun) -> None:
    for name in options.policies:
        if name in ELASTIC_POLICIES:
            raise ValueError(f"policy {name!r} divides a cluster among elastic jobs; use it with the format pollux")
        if name not in POLICIES:
            raise ValueError(f"policy {name!r} is unknown; the policies are {', '.join(POLICIES)}")
    series = len(options.carbon.grams_per_kwh)
    if not 0 <= options.start_hour < series:
        raise ValueError(f"start hour {options.start_hour} is not in the carbon series; give 0 to {series - 1}")
    if options.own_forecast and options.forecast_error_pct > 0:
        raise ValueError("an own forecast has its own error; leave the forecast error out")
    if options.own_forecast and options.start_hour < LEAST_PAST_HOURS:
        raise ValueError(
            f"an own forecast needs a past; start at hour {LEAST_PAST_HOURS} of the carbon series or later"
        )
    above_zero = ("hours", "watts_per_unit")
    not_negative = (
        "max_wait_short_hours",
        "max_wait_long_hours",
        "forecast_error_pct",
        "usd_per_unit_hour",
        "usd_per_tonne",
        "switch_hours",
    )
    for names, fits, wanted in (
        (above_zero, lambda value: value > 0, "a number above 0"),
        (not_negative, lambda value: value >= 0, "0 or more"),
    ):
        _check_range(options, names, fits, wanted)
    if options.capacity is not None and not options.capacity > 0:
        raise ValueError(f"capacity is {options.capacity}; give a number of units above 0")


def _check_range(options: TrainingRun, names: tuple[str, ...], fits: Callable[[float], bool], wanted: str) -> None:
    for name in names:
        value = getattr(options, name)
        if not fits(value):
            raise ValueError(f"{name} is {value}; give {wanted}")
