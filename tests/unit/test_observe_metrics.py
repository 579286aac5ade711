"""Reading raw samples into TrainingMetrics and ServingMetrics."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab.api.common import FigureSource
from trimtab.api.serving import ServingWorkloadSpec
from trimtab.observe.series import Series, clean, parse_result
from trimtab.observe.serving_metrics import serving_metrics
from trimtab.observe.training_metrics import training_metrics
from trimtab.plan.serving_facts import ServingMetrics
from trimtab.plan.snapshot import WorkloadPod

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
T = NOW.timestamp()


def series(name: str, *values: float, pod: str = "p", end: float = 0.0, **labels: str) -> Series:
    """One sample each 5 s, the last `end` seconds from now."""
    first = T + end - 5 * (len(values) - 1)
    points = tuple((first + 5 * i, value) for i, value in enumerate(values))
    return Series({"__name__": name, "pod": pod, "model": "digits", **labels}, points)


def spec(percentile: str = "p95", instances: int = 1) -> ServingWorkloadSpec:
    return ServingWorkloadSpec.model_validate(
        {
            "model": "digits", "variants": ["fp32"], "triton": {"instances": instances},
            "targets": {"latency": {"percentile": percentile, "milliseconds": 50}},
        }
    )  # fmt: skip


def pod(name: str = "p", *, ready: bool = True, deleting: bool = False, age_seconds: float = 600) -> WorkloadPod:
    started = NOW - timedelta(seconds=age_seconds)
    return WorkloadPod(name=name, ready=ready, deleting=deleting, created_at=started, started_at=started)


def server(pod: str = "p", version: str = "1", *, rate: float = 20.0, batch: float = 4.0) -> list[Series]:
    """A server that answers `rate` requests a second, `batch` in an execution, each execution 10 ms of computing."""
    counters = {
        "nv_inference_request_success": rate,
        "nv_inference_request_failure": 0.0,
        "nv_inference_count": rate,
        "nv_inference_exec_count": rate / batch,
        "nv_inference_queue_duration_us": rate * 3000,
        "nv_inference_compute_input_duration_us": rate * 1000,
        "nv_inference_compute_infer_duration_us": rate * 8000,
        "nv_inference_compute_output_duration_us": rate * 1000,
    }
    made = [series(name, 0, each * 5, each * 10, pod=pod, version=version) for name, each in counters.items()]
    for quantile, micros in (("0.5", 9e3), ("0.95", 20e3), ("0.99", 30e3)):
        made.append(series("nv_inference_request_summary_us", micros, pod=pod, version=version, quantile=quantile))
    return [*made, series("nv_inference_pending_request_count", 2, pod=pod, version=version)]


def read(given: list[Series], *pods: WorkloadPod, of: ServingWorkloadSpec | None = None) -> ServingMetrics | None:
    return serving_metrics(given, of or spec(), pods, NOW, settle_seconds=30)


def test_the_figures_of_one_server() -> None:
    metrics = read(server(), pod())
    assert metrics is not None
    assert metrics.requests_per_second == pytest.approx(20)
    assert metrics.mean_batch == pytest.approx(4)
    assert metrics.mean_compute_ms == pytest.approx(10)
    assert metrics.mean_queue_ms == pytest.approx(3)
    # 5 executions a second of 10 ms: Triton's own sums would say 20 requests of 10 ms.
    assert metrics.busy_share == pytest.approx(0.05)
    assert (metrics.latency_ms, metrics.pending_requests, metrics.failures_per_second) == (20, 2, 0)
    assert metrics.observed_at == NOW


def test_servers_add_up_and_the_slowest_gives_the_latency() -> None:
    slow = [s for s in server("b", rate=60) if s.name != "nv_inference_request_summary_us"]
    slow.append(series("nv_inference_request_summary_us", 90e3, pod="b", quantile="0.95"))
    metrics = read([*server("a"), *slow], pod("a"), pod("b"))
    assert metrics is not None
    assert metrics.requests_per_second == pytest.approx(80)
    assert metrics.latency_ms == 90
    assert metrics.busy_share == pytest.approx((0.05 + 0.15) / 2)


def test_the_percentile_and_instances_of_the_workload() -> None:
    metrics = read(server(), pod(), of=spec("p99", instances=2))
    assert metrics is not None
    assert (metrics.latency_ms, metrics.busy_share) == (30, pytest.approx(0.025))


def test_only_ready_pods_and_the_own_model_count() -> None:
    other = [Series({**s.labels, "model": "other"}, s.points) for s in server("a", rate=1000)]
    given = [*server("a"), *other, *server("old", rate=500), *server("going", rate=500)]
    metrics = read(given, pod("a"), pod("old", ready=False), pod("going", deleting=True))
    assert metrics is not None
    assert metrics.requests_per_second == pytest.approx(20)
    assert read(given, pod("old", ready=False)) is None
    assert read(given) is None


def test_while_idle_latency_is_unknown_and_load_is_zero() -> None:
    idle = [s for s in server(rate=0) if s.name != "nv_inference_request_summary_us"]
    metrics = read(idle, pod())
    assert metrics is not None
    assert (metrics.requests_per_second, metrics.busy_share) == (0, 0)
    assert (metrics.latency_ms, metrics.mean_compute_ms, metrics.mean_queue_ms, metrics.mean_batch) == (None,) * 4


def test_a_pod_that_should_be_heard_but_is_not_makes_the_load_unknown() -> None:
    assert read(server("a"), pod("a"), pod("silent")) is None
    starting = read(server("a"), pod("a"), pod("starting", age_seconds=10))
    assert starting is not None
    assert starting.requests_per_second == pytest.approx(20)


def test_a_switch_of_versions_counts_no_request_twice() -> None:
    def counter(version: str, *values: float, end: float) -> Series:
        return series("nv_inference_request_success", *values, version=version, end=end)

    # 20 a second throughout: version 1 until 10 s ago, version 2 since.
    given = [counter("1", 1000, 1100, end=-10), counter("2", 100, 200, end=0), counter("9", 0, 0, 0, 0, end=0)]
    metrics = read(given, pod())
    assert metrics is not None
    assert metrics.requests_per_second == pytest.approx(20)


def test_a_restarted_container_counts_from_zero() -> None:
    metrics = read([series("nv_inference_request_success", 900, 1000, 40, 140)], pod())
    assert metrics is not None
    assert metrics.requests_per_second == pytest.approx((100 + 40 + 100) / 15)


def test_training_speed_adds_up_over_ranks_and_progress_is_rank_0s() -> None:
    metrics = training_metrics(
        [
            series("trimtab_training_progress_samples", 100, 200, 300, pod="r0"),
            series("trimtab_training_total_samples", 1000, 1000, 1000, pod="r0"),
            series("trimtab_training_samples_total", 0, 50, 100, pod="r0"),
            series("trimtab_training_samples_total", 50, 100, pod="r1"),
            series("trimtab_training_samples_total", 0, 5000, pod="gone"),
        ],
        frozenset(("r0", "r1")),
    )
    assert metrics is not None
    assert (metrics.completed_samples, metrics.total_samples) == (300, 1000)
    assert metrics.samples_per_second == pytest.approx(20)
    assert (metrics.observed_at, metrics.source) == (NOW, FigureSource.MEASURED)


def test_a_simulated_gang_tells_its_speed_by_pod() -> None:
    given = [series("trimtab_training_samples_per_second", 40, pod=name, simulated="true") for name in ("r0", "r1")] + [
        series("trimtab_training_progress_samples", 70, pod=name, simulated="true") for name in ("r0", "r1")
    ]
    metrics = training_metrics(given, frozenset(("r0", "r1")))
    assert metrics is not None
    assert (metrics.samples_per_second, metrics.completed_samples) == (80, 70)
    assert metrics.source == FigureSource.SIMULATED


def test_what_a_deleted_pod_left_behind_is_not_the_present() -> None:
    left = [series("trimtab_training_progress_samples", 999, pod="gone")]
    assert training_metrics(left, frozenset(("r0",))) is None
    assert training_metrics([], frozenset(("r0",))) is None


def test_one_sample_is_no_speed() -> None:
    metrics = training_metrics([series("trimtab_training_samples_total", 7, pod="r0")], frozenset(("r0",)))
    assert metrics is not None
    assert metrics.samples_per_second is None


NUMBERS = st.one_of(
    st.floats().map(str), st.integers().map(str), st.sampled_from(["NaN", "+Inf", "-Inf", "-3", "1e400", "x", ""])
)


@settings(deadline=None)
@given(NUMBERS | st.none() | st.lists(st.integers(), max_size=1))
def test_no_value_gets_out_that_is_not_a_finite_number(value: object) -> None:
    number = clean(value)
    assert number is None or (math.isfinite(number) and number >= 0)


NAMES = sorted({one.name for one in server()})


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["p", "q"]),
            st.sampled_from(["1", "2"]),
            st.lists(st.tuples(st.integers(-15, 0), NUMBERS), max_size=4),
        ),
        max_size=14,
    )
)
@example(
    raw=[
        ("nv_inference_count", "p", "1", [(-1, "0.0"), (0, "1.0")]),
        ("nv_inference_exec_count", "p", "1", [(0, "2.2250738585e-313")]),
    ]
)
@example(raw=[("nv_inference_count", "p", version, [(-1, "0"), (0, "1.7e308")]) for version in ("1", "2")])
def test_any_samples_give_finite_figures_or_none(raw: list[tuple[str, str, str, list[tuple[int, str]]]]) -> None:
    result = [
        {
            "metric": {"__name__": name, "pod": pod_name, "version": version, "model": "digits", "quantile": "0.95"},
            "values": [[T + at, value] for at, value in sorted(points)],
        }
        for name, pod_name, version, points in raw
    ]
    metrics = read(parse_result(result), pod("p"), pod("q", age_seconds=1))
    if metrics is not None:
        figures = metrics.model_dump(exclude={"observed_at", "recent_requests_per_second"}).values()
        assert all(figure is None or (math.isfinite(figure) and figure >= 0) for figure in figures)
        assert metrics.busy_share is None or metrics.busy_share <= 1
