"""`trimtab simulate training --format pollux`: all policies on the same elastic jobs and cluster."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trimtab.plan.elastic.placement import ClusterShape
from trimtab.plan.elastic.planner import GpuPrice
from trimtab.simulate.elastic.account import JOULES_PER_KWH, SECONDS_PER_HOUR, GpuRates, Grid, account
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.bound import least_mean_completion_seconds
from trimtab.simulate.elastic.cluster import prepare
from trimtab.simulate.elastic.ideal import Ideal, ideal
from trimtab.simulate.elastic.policies.optimus import Optimus
from trimtab.simulate.elastic.policies.pollux import Pollux
from trimtab.simulate.elastic.policies.run_at_once import RunAtOnce
from trimtab.simulate.elastic.policies.tiresias import Tiresias
from trimtab.simulate.elastic.policies.trimtab import Trimtab
from trimtab.simulate.elastic.policy import ElasticPolicy
from trimtab.simulate.inputs.carbon import CarbonSeries
from trimtab.simulate.inputs.pollux import GPUS_OF_A_TRACED_NODE, TrainingRequest, read_applications, read_workload
from trimtab.simulate.inputs.table import InputError
from trimtab.simulate.progress import track
from trimtab.simulate.results import PolicyResult
from trimtab.simulate.training.intensity import Forecasts, Intensity

TRIMTAB, PRICED, OPTIMUM = "trimtab", "trimtab-priced", "optimum"

POLICIES: tuple[str, ...] = (TRIMTAB, PRICED, OPTIMUM, "run-at-once", "tiresias", "optimus", "pollux")
"""Names of the policies, in the order of the report. `trimtab-priced` weighs delay against GPU time and carbon."""

AHEAD_HOURS = 24
"""How far the forecast of carbon is looked at for the price that is to be expected."""


@dataclass(frozen=True)
class ElasticRun:
    """What to simulate. Defaults of power and price are of a T4, on which the traces were measured."""

    jobs: Path
    """The workload (name, time, application, num_replicas, batch_size)."""
    traces: Path | None = None
    """Folder with the measured traces of the applications; None: the folder `traces` beside the workload's folder."""
    carbon: CarbonSeries | None = None
    """Intensity of the grid; None: carbon is not counted."""
    start_hour: int = 0
    """Hour of the carbon series at which the workload begins."""
    forecast_error_pct: float = 0.0
    """Mean absolute percentage error of the carbon forecast."""
    nodes: int = 16
    gpus_per_node: int = 4
    policies: tuple[str, ...] = POLICIES
    seed: int = 0
    """Of Pollux's genetic algorithm and of the forecast's error."""
    watts_per_gpu_busy: float = 70.0
    """Of a GPU that trains (NVIDIA T4: its power limit)."""
    watts_per_gpu_idle: float = 10.0
    """Of a GPU whose job restarts (NVIDIA T4 at rest)."""
    usd_per_gpu_hour: float = 0.978
    """Price of a GPU (a quarter of an AWS g4dn.12xlarge on demand, us-east-1)."""
    usd_per_tonne: float = 0.0
    """Price of carbon (US dollars a tonne of CO2e)."""
    usd_per_delay_hour: float = 20.0
    """What an hour until a job is done is worth, for `trimtab-priced`."""


@dataclass(frozen=True)
class _Scene:
    """What all policies share."""

    requests: tuple[TrainingRequest, ...]
    applications: dict[str, Application]
    shape: ClusterShape
    rates: GpuRates
    grid: Grid
    ideals: tuple[Ideal, ...]
    """Of each job."""


def run_elastic(options: ElasticRun) -> tuple[PolicyResult, ...]:
    """Simulates the policies, each on the same jobs and cluster.

    Returns:
        A result for each policy, in the order that was asked for. `ratio_to_optimum` is mean completion time over its
        lower bound, which is not reached by any schedule.

    Raises:
        InputError: the workload or a trace is wrong.
        ValueError: an option is out of range or a policy is unknown.
    """
    _check(options)
    scene = _prepare(options)
    bound = _bound(scene)
    results = []
    for name in options.policies:
        result = bound if name == OPTIMUM else _simulate(name, options, scene)
        ratio = (result.mean_jct_h or 0.0) / (bound.mean_jct_h or math.inf)
        results.append(replace(result, ratio_to_optimum=ratio))
    return tuple(results)


def _prepare(options: ElasticRun) -> _Scene:
    shape = ClusterShape(options.nodes, options.gpus_per_node)
    requests = tuple(sorted(read_workload(options.jobs), key=lambda request: request.submit_seconds))
    if not requests:
        raise InputError(options.jobs, 0, 0, "the workload has no job; give at least one")
    for request in requests:
        if request.replicas > shape.gpus:
            message = f"the job {request.name} asks for {request.replicas} GPUs of {shape.gpus}; give the cluster more"
            raise InputError(options.jobs, 0, 0, message)
    folder = options.traces or options.jobs.parent.parent / "traces"
    traces = read_applications(folder, (request.application for request in requests))
    applications = {name: Application(trace) for name, trace in traces.items()}
    _check_batches(options.jobs, requests, applications)
    ideals = {name: ideal(application, shape) for name, application in track(applications.items(), "traces")}
    return _Scene(
        requests,
        applications,
        shape,
        GpuRates(options.watts_per_gpu_busy, options.watts_per_gpu_idle, options.usd_per_gpu_hour),
        Grid(np.zeros(0) if options.carbon is None else options.carbon.grams_per_kwh, options.start_hour),
        tuple(ideals[request.application] for request in requests),
    )


def _check_batches(path: Path, requests: Sequence[TrainingRequest], applications: dict[str, Application]) -> None:
    for request in requests:
        limits = applications[request.application].limits
        most = request.batch_size // limits.local_minimum
        if not limits.initial <= request.batch_size <= limits.maximum or request.replicas > most:
            message = (
                f"the job {request.name} asks for a batch of {request.batch_size} on {request.replicas} GPUs;"
                f" {request.application} is traced from {limits.initial} to {limits.maximum}, with at least"
                f" {limits.local_minimum} on each GPU"
            )
            raise InputError(path, 0, 0, message)


def _simulate(name: str, options: ElasticRun, scene: _Scene) -> PolicyResult:
    run = prepare(scene.requests, scene.applications, _policy(name, options), scene.shape)
    for _ in track(run.completions(), name, total=len(scene.requests)):
        pass
    fastest = np.array([ideal.fastest_seconds for ideal in scene.ideals])
    return account(name, run, scene.rates, scene.grid, fastest)


def _policy(name: str, options: ElasticRun) -> ElasticPolicy:
    makers: dict[str, Callable[[], ElasticPolicy]] = {
        TRIMTAB: Trimtab,
        PRICED: lambda: Trimtab(_prices(options)),
        "run-at-once": RunAtOnce,
        "tiresias": Tiresias,
        "optimus": Optimus,
        "pollux": lambda: Pollux(options.seed),
    }
    return makers[name]()


def _prices(options: ElasticRun) -> Callable[[float], GpuPrice]:
    """Price of a GPU second in seconds of a job's delay: money, and carbon at its price by the forecast of the hour."""
    usd_per_gram_hour = options.watts_per_gpu_busy / 1000.0 * options.usd_per_tonne / 1e6

    def price(grams_per_kwh: float) -> float:
        return (options.usd_per_gpu_hour + usd_per_gram_hour * grams_per_kwh) / options.usd_per_delay_hour

    if options.carbon is None:
        constant = GpuPrice(price(0.0), price(0.0))
        return lambda now_seconds: constant
    truth = Intensity(0, options.carbon.grams_per_kwh[options.start_hour :])
    forecasts = Forecasts(truth, options.forecast_error_pct, options.seed)
    by_hour: dict[int, GpuPrice] = {}

    def at(now_seconds: float) -> GpuPrice:
        hour = int(now_seconds // SECONDS_PER_HOUR)
        if hour not in by_hour:
            issued = forecasts.issued(hour, AHEAD_HOURS).grams_per_kwh
            known = issued if issued.size else truth.grams_per_kwh
            now = known[0] if issued.size else known.mean()
            by_hour[hour] = GpuPrice(price(float(now)), price(float(known.mean())))
        return by_hour[hour]

    return at


def _bound(scene: _Scene) -> PolicyResult:
    submit = np.array([request.submit_seconds for request in scene.requests])
    mean_seconds = least_mean_completion_seconds(submit, scene.ideals, scene.shape)
    gpu_hours = sum(ideal.least_gpu_seconds for ideal in scene.ideals) / SECONDS_PER_HOUR
    kwh = gpu_hours * SECONDS_PER_HOUR * scene.rates.watts_busy / JOULES_PER_KWH
    grams = scene.grid.grams_per_kwh
    return PolicyResult(
        policy=OPTIMUM,
        carbon_g=kwh * (float(grams[scene.grid.start_hour :].min()) if grams.size else 0.0),
        cost=gpu_hours * scene.rates.usd_per_gpu_hour,
        energy_kwh=kwh,
        replica_hours=gpu_hours,
        switches=0,
        mean_jct_h=mean_seconds / SECONDS_PER_HOUR,
        notes=(
            "Lower bounds, each for itself: no schedule reaches them together, and none need reach even one."
            " Mean completion time: every job as efficient as at its best scale and as fast as at its fastest."
            " GPU time, cost and energy: each job at its most efficient scale."
            " Carbon: that energy in the hour with the least intensity.",
        ),
    )


def _check(options: ElasticRun) -> None:
    for name in options.policies:
        if name not in POLICIES:
            raise ValueError(f"policy {name!r} is unknown; for elastic jobs there are {', '.join(POLICIES)}")
    if options.nodes < 1:
        raise ValueError(f"nodes is {options.nodes}; give at least 1")
    if not 1 <= options.gpus_per_node <= GPUS_OF_A_TRACED_NODE:
        limit = GPUS_OF_A_TRACED_NODE
        raise ValueError(f"gpus_per_node is {options.gpus_per_node}; give 1 to {limit}, as the traces have {limit}")
    names = ("forecast_error_pct", "watts_per_gpu_busy", "watts_per_gpu_idle", "usd_per_gpu_hour", "usd_per_tonne")
    for name in names:
        if not getattr(options, name) >= 0:
            raise ValueError(f"{name} is {getattr(options, name)}; give 0 or more")
    if not options.usd_per_delay_hour > 0:
        raise ValueError(f"usd_per_delay_hour is {options.usd_per_delay_hour}; give a number above 0")
    series = 0 if options.carbon is None else len(options.carbon.grams_per_kwh)
    if options.carbon is not None and not 0 <= options.start_hour < series:
        raise ValueError(f"start hour {options.start_hour} is not in the carbon series; give 0 to {series - 1}")
