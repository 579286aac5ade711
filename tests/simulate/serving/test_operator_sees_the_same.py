"""The operator and the simulator tell the planner the same.

A stretch that the simulator played is put into a real Prometheus as a Triton server would have told of it. What the
operator makes of that, from its queries to the Fleet that `control` is asked with, is held against the Fleet that the
simulator asked it with at the same instant.
"""

import math
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests as http

from tests.unit.worlds import hardware, meta, variant
from trimtab.api.serving import LatenessSource, ServingWorkloadSpec, ServingWorkloadStatus
from trimtab.api.variant import ModelVariantStatus
from trimtab.local.binaries.build import ensure
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.series import at_time
from trimtab.observe.serving_reader import ServingReader
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.capacity import Capacity
from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.demand import demand
from trimtab.plan.fleet.problem import Decision, Fleet, Settings, Workload
from trimtab.plan.policy import effective_policy
from trimtab.plan.serving import decide
from trimtab.plan.snapshot import DeploymentState, ServingState, Snapshot, VariantState, WorkloadPod
from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption
from trimtab.simulate.serving.engine import Run, Setting, simulate
from trimtab.simulate.serving.policies import trimtab as policy
from trimtab.simulate.serving.policies.trimtab import Trimtab
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests

FloatArray = npt.NDArray[np.float64]

SCRAPE, INTERVAL, HOUR = 1.0, 10.0, 3600.0
BOUND_MS, QUANTILE = 150, 0.99
RATE, SECONDS = 30.0, HOUR + 600.0
VARIABILITY = 0.6
BATCHES, MEANS = (1, 8), (0.02, 0.08)
START = datetime.fromtimestamp(time.time() // 60.0 * 60.0 - SECONDS - 60.0, UTC)
"""Of the stretch: a whole minute, such that it ends a while ago."""
SPEC = {
    "model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": BOUND_MS, "percentile": "p99"}},
    "resources": {"cpu": "1"}, "maxReplicas": 12, "scaling": {"loadWindow": "1m"}, "triton": {"maxBatchSize": 8},
}  # fmt: skip


def option() -> ServingOption:
    """Half of a node of 0.20 USD, 20 W and 100 W."""
    speed = BatchSpeed(BATCHES, MEANS, max_batch=8, variability=VARIABILITY)
    return ServingOption("fp32", "local-cpu", 0.98, speed, 0.1, 10.0, 50.0, 50.0, units=1.0, start_seconds=30.0)


def measured_variant() -> VariantState:
    """The same as an optimizer would have measured it: a lognormal time of each execution."""
    sigma = math.sqrt(math.log1p(VARIABILITY))
    points = [
        {
            "batch": size,
            "p50Milliseconds": str(1000.0 * mean * math.exp(-(sigma**2) / 2.0)),
            "p95Milliseconds": str(1000.0 * mean * math.exp(1.6449 * sigma - sigma**2 / 2.0)),
            "p99Milliseconds": str(1000.0 * mean * math.exp(2.3263 * sigma - sigma**2 / 2.0)),
            "itemsPerSecond": str(size / mean),
            "cpuSecondsPerItem": "0.02",
        }
        for size, mean in zip(BATCHES, MEANS, strict=True)
    ]
    status = variant("fp32", 0.98, 50.0).status.model_dump(mode="json", by_alias=True, exclude_none=True)
    known = ModelVariantStatus.model_validate({**status, "profile": points, "cpuCores": "1"})
    return variant("fp32", 0.98, 50.0).model_copy(update={"status": known})


def arrivals() -> Requests:
    """A load that wanders, and twice rises faster than replicas start."""
    rng = np.random.default_rng(11)
    rates = RATE * (1.0 + 0.3 * np.sin(np.arange(SECONDS) / 500.0))
    rates[1500:1530] *= 6.0
    rates[3000:3030] *= 6.0
    counts = rng.poisson(rates)
    times = np.sort(np.repeat(np.arange(SECONDS), counts) + rng.uniform(0.0, 1.0, counts.sum()))
    one = np.ones(len(times), dtype=np.int64)
    return Requests(times, one, one)


@dataclass(frozen=True)
class Asked:
    """What the simulator's policy saw, and what it asked the planner."""

    seen: Observation
    fleet: Fleet
    decision: Decision


@dataclass(frozen=True)
class Played:
    requests: Requests
    run: Run
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class Noted:
    """`control`, which notes what it is asked with."""

    fleets: list[Fleet] = field(default_factory=list)

    def __call__(self, fleet: Fleet) -> tuple[Decision, ...]:
        self.fleets.append(fleet)
        return control(fleet)


class Recorder(Trimtab):
    """The policy, with what passes through it."""

    def __init__(self, option: ServingOption, setting: Setting, first: Requests, settings: Settings) -> None:
        super().__init__((option,), [0], setting, first, settings)
        self.asked: list[Asked] = []

    def decide(self, seen: Observation) -> Desired:
        with pytest.MonkeyPatch.context() as patch:
            noted = Noted()
            patch.setattr(policy, "control", noted)
            desired = super().decide(seen)
        self.asked.append(Asked(seen, noted.fleets[0], self.decisions[-1]))
        return desired


@pytest.fixture(scope="module")
def played() -> Played:
    requests = arrivals()
    setting = Setting(BOUND_MS / 1000.0, QUANTILE, INTERVAL, seed=3, before=np.full(30, RATE))
    operator_settings = Settings(
        max_replicas=12, latency_margin=0.8, confidence=0.9, scale_down_stabilization_seconds=300.0,
        load_window_seconds=60.0,
    )  # fmt: skip
    recorder = Recorder(option(), setting, requests, operator_settings)
    run = simulate(requests, [option()], recorder, setting)
    return Played(requests, run, tuple(recorder.asked))


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(played: Played, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has what a scrape each second would have brought."""
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (home / "prometheus.yml").write_text("{}")
    command = [
        str(ensure(["prometheus"])["prometheus"]), f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-otlp-receiver",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    client = Prometheus(f"http://127.0.0.1:{port}")
    try:
        for _ in range(300):
            try:
                client.query("vector(1)", datetime.now(UTC))
                break
            except PrometheusError:
                time.sleep(0.1)
        answer = http.post(f"http://127.0.0.1:{port}/api/v1/otlp/v1/metrics", json=as_otlp(told(played)), timeout=60)
        assert answer.ok, answer.text
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=20)


def told(played: Played) -> dict[tuple[str, str], FloatArray]:
    """What a server tells at each scrape, by metric and quantile: of all pods together, as if there were one."""
    scrapes = np.arange(0.0, SECONDS + SCRAPE / 2.0, SCRAPE)
    latency = played.run.latency_seconds
    ended = played.requests.seconds + latency
    order = np.argsort(ended)
    ended, latency = ended[order], latency[order]
    answered = np.searchsorted(ended, scrapes, side="right").astype(np.float64)
    arrived = np.searchsorted(played.requests.seconds, scrapes, side="right").astype(np.float64)
    series = {("nv_inference_request_success", ""): answered, ("nv_inference_count", ""): answered}
    series["nv_inference_pending_request_count", ""] = arrived - answered
    series["nv_inference_exec_count", ""] = answered
    for part in ("queue", "compute_input", "compute_infer", "compute_output"):
        series[f"nv_inference_{part}_duration_us", ""] = np.zeros(len(scrapes))
    levels = (0.5, 0.9, 0.95, 0.98, 0.99, 0.999)
    begin = np.searchsorted(ended, scrapes - 60.0, side="right")
    quantiles = np.full((len(levels), len(scrapes)), np.nan)
    for i, (low, high) in enumerate(zip(begin, answered.astype(np.int64), strict=True)):
        if high > low:
            quantiles[:, i] = np.quantile(latency[low:high], levels) * 1e6
    for level, values in zip(levels, quantiles, strict=True):
        series["nv_inference_request_summary_us", str(level)] = values
    return series


def as_otlp(series: dict[tuple[str, str], FloatArray]) -> dict[str, Any]:
    """The same for Prometheus's receiver of OTLP in JSON, which takes the past too."""
    labels = {
        "namespace": "demo", "workload": "digits", "workload_kind": "ServingWorkload", "pod": "p", "model": "digits",
        "version": "1",
    }  # fmt: skip
    metrics = []
    for (name, quantile), values in series.items():
        named = labels | ({"quantile": quantile} if quantile else {})
        attributes = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
        points = [
            {
                "timeUnixNano": str(round((START.timestamp() + i * SCRAPE) * 1e9)),
                "asDouble": "NaN" if math.isnan(value) else value,
                "attributes": attributes,
            }
            for i, value in enumerate(values.tolist())
        ]
        metrics.append({"name": name, "gauge": {"dataPoints": points}})
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}


def observed(prometheus: Prometheus, asked: Asked) -> ServingState:
    """The operator's view of the workload at that instant: by its own queries."""
    now = START + timedelta(seconds=asked.seen.now_seconds)
    running = asked.fleet.workloads[0].running
    spec = ServingWorkloadSpec.model_validate(SPEC)
    pods = tuple(
        WorkloadPod(name=f"p{i or ''}", hardware_class="local-cpu", ready=True, created_at=START, started_at=START)
        for i in range(running.ready)
    )
    low_since = at_time(START.timestamp() + running.low_since_seconds) if running.low_since_seconds else None
    status = {
        "variants": [{"name": "fp32", "version": 1}], "activeVariant": running.variant,
        "lowSince": low_since.isoformat() if low_since else "", "lowMost": running.low_most or 0,
        "decision": {"variant": running.variant, "hardwareClass": running.pool, "replicas": running.replicas},
    }  # fmt: skip
    deployment = DeploymentState(name="digits-local-cpu", hardware_class="local-cpu", replicas=running.replicas)
    state = ServingState(
        meta=meta("digits").model_copy(update={"created_at": START - timedelta(hours=1)}), spec=spec,
        status=ServingWorkloadStatus.model_validate(status), deployments=(deployment,), pods=pods,
    )  # fmt: skip
    # The simulator's one server tells for all: with a pod that tells nothing, nothing would be known.
    told_of = (state.model_copy(update={"pods": pods[:1]}),)
    reader = ServingReader(ObserveSettings(scrape_interval_seconds=SCRAPE))
    for _ in range(12):
        # As many passes as it takes after a restart.
        metrics = reader.whole(prometheus, told_of, now)["demo/digits"]
    return state.model_copy(update={"metrics": metrics})


def asked_by_operator(state: ServingState, now: datetime) -> tuple[Fleet, int]:
    """The Fleet that the operator's planner asks `control` with, and the replicas that come of it."""
    node = hardware(
        price={"usdPerHour": "0.20"}, power={"idleWatts": "20", "peakWatts": "100"}, capacity_units=40.0, nodes=20,
    )  # fmt: skip
    world = Snapshot(taken_at=now, hardware=(node,), variants=(measured_variant(),), serving=(state,))
    noted = Noted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide, "control", noted)
        (decision,) = decide.plan_serving(
            world.serving, world, {state.meta.key: effective_policy((), state.meta)}, {}, Capacity(world.hardware),
            {"demo/fp32": True},
        )  # fmt: skip
    return noted.fleets[0], decision.replicas


AT = (HOUR + 20.0, HOUR + 300.0, HOUR + 590.0)
"""Seconds after the beginning: the hour before is known."""


def both(played: Played, prometheus: Prometheus, at_seconds: float) -> tuple[Asked, ServingState, Workload, int]:
    (asked,) = [a for a in played.asked if a.seen.now_seconds == at_seconds]
    state = observed(prometheus, asked)
    fleet, replicas = asked_by_operator(state, START + timedelta(seconds=at_seconds))
    (workload,) = fleet.workloads
    return asked, state, workload, replicas


@pytest.mark.parametrize("at_seconds", AT)
def test_both_ask_the_planner_the_same(played: Played, prometheus: Prometheus, at_seconds: float) -> None:
    asked, state, ours, replicas = both(played, prometheus, at_seconds)
    theirs = asked.fleet.workloads[0]
    assert ours.settings == theirs.settings
    assert ours.target == replace(theirs.target, min_accuracy=0.0)
    (mine,), (its,) = ours.options, theirs.options
    assert (mine.variant, mine.pool, mine.accuracy, mine.start_seconds) == (its.variant, its.pool, its.accuracy, 30.0)
    figures = ("usd_per_hour", "idle_watts", "peak_watts", "embodied_grams_per_hour", "units")
    assert [getattr(mine, name) for name in figures] == pytest.approx([getattr(its, name) for name in figures])
    assert (mine.profile.batches, mine.profile.max_batch) == (its.profile.batches, its.profile.max_batch)  # type: ignore[union-attr]
    assert mine.profile.seconds == pytest.approx(its.profile.seconds)  # type: ignore[union-attr]
    for name in ("variability", "tail_ratio", "queue_delay_seconds"):
        assert getattr(mine.profile, name) == pytest.approx(getattr(its.profile, name), rel=1e-3)
    same = ("variant", "pool", "replicas", "also", "ready", "settled", "low_most")
    assert [getattr(ours.running, name) for name in same] == [getattr(theirs.running, name) for name in same]

    if theirs.running.low_since_seconds is not None:
        assert ours.running.low_since_seconds == pytest.approx(START.timestamp() + theirs.running.low_since_seconds)

    assert ours.load.interval_seconds == theirs.load.interval_seconds == INTERVAL
    window = len(ours.load.requests_per_second)
    assert window >= 359
    # A scrape a second sees nine of the ten seconds of an interval, and makes ten of them.
    by_operator = np.array(ours.load.requests_per_second[:-1])
    by_simulator = np.array(theirs.load.requests_per_second[-window:-1])
    assert by_operator.mean() == pytest.approx(by_simulator.mean(), rel=0.01)
    assert np.corrcoef(by_operator, by_simulator)[0, 1] > 0.99
    late = state.metrics.late if state.metrics else None
    assert late is not None
    assert (late.known_share, late.source) == (1.0, LatenessSource.SUMMARY)
    assert ours.load.late_share == late.share
    assert theirs.load.late_share is not None
    assert theirs.load.late_share > 0.002, "the stretch has late requests"
    assert late.share == pytest.approx(theirs.load.late_share, rel=0.06)
    assert ours.load.latency_seconds == pytest.approx(theirs.load.latency_seconds, rel=0.01)

    mine_load, its_load = demand((ours,)), demand((theirs,))
    assert mine_load.expected[0] == pytest.approx(its_load.expected[0], rel=0.01)
    assert mine_load.ready_for[0] == pytest.approx(its_load.ready_for[0], rel=0.01)
    assert replicas == asked.decision.replicas
