"""Against a real Prometheus that scrapes an exporter of this test."""

import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from trimtab.api.serving import LatenessSource, ServingWorkloadSpec
from trimtab.local.binaries import ensure
from trimtab.observe.lateness import Minute, late_share, lateness_query, read_minutes
from trimtab.observe.load_history import history_query, load_history
from trimtab.observe.meter import read_window
from trimtab.observe.meter_queries import Results, queries
from trimtab.observe.meter_windows import Due, Window
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.series import by_workload
from trimtab.observe.serving_metrics import serving_metrics, serving_query
from trimtab.observe.settings import ObserveSettings
from trimtab.observe.training_metrics import training_metrics, training_query
from trimtab.plan.snapshot import Snapshot, WorkloadPod

CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
  - job_name: workloads
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{triton}"], labels: {{{triton_labels}}}}}]
  - job_name: simulated
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{other}"]}}]
"""
TRITON_LABELS = (
    "namespace: demo, pod: sw-1, workload: digits, workload_kind: ServingWorkload, hardware_class: local-cpu"
)
POD = WorkloadPod(
    name="sw-1", ready=True, hardware_class="local-cpu", created_at=datetime(2026, 1, 1, tzinfo=UTC),
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
SPEC = ServingWorkloadSpec.model_validate(
    {"model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": 50}}}
)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        assert isinstance(port, int)
        return port


class Exporters:
    """A Triton server's metrics as those of 2.51 are, and an exporter of training and power."""

    def __init__(self) -> None:
        triton, other = CollectorRegistry(), CollectorRegistry()
        names = ["model", "version"]
        # Triton's counters have no _total suffix: a gauge keeps the name as it is.
        self.success = Gauge("nv_inference_request_success", "-", names, registry=triton).labels("digits", "1")
        self.executions = Gauge("nv_inference_exec_count", "-", names, registry=triton).labels("digits", "1")
        self.items = Gauge("nv_inference_count", "-", names, registry=triton).labels("digits", "1")
        self.compute = Gauge("nv_inference_compute_infer_duration_us", "-", names, registry=triton).labels(
            "digits", "1"
        )
        summary = Gauge("nv_inference_request_summary_us", "-", [*names, "quantile"], registry=triton)
        self.p95 = summary.labels("digits", "1", "0.95")
        self.p95.set(float("nan"))
        failures = Gauge("nv_inference_request_failure", "-", [*names, "reason"], registry=triton)
        self.rejected, self.broken = (failures.labels("digits", "1", reason) for reason in ("REJECTED", "BACKEND"))
        self.bucket = Gauge("nv_inference_first_response_histogram_ms_bucket", "-", [*names, "le"], registry=triton)
        parts = [
            Gauge(f"nv_inference_compute_{part}_duration_us", "-", names, registry=triton)
            for part in ("input", "output")
        ]
        self.queue = Gauge("nv_inference_queue_duration_us", "-", names, registry=triton)
        for gauge in (*parts, self.queue):
            gauge.labels("digits", "1").set(0)
        labels = ["namespace", "pod", "workload", "workload_kind", "hardware_class", "simulated"]
        told = ("demo", "tw-0", "sim", "TrainingWorkload", "v100", "true")
        self.progress = Gauge("trimtab_training_progress_samples", "-", labels, registry=other).labels(*told)
        self.speed = Gauge("trimtab_training_samples_per_second", "-", labels, registry=other).labels(*told)
        self.watts = Gauge("trimtab_power_watts", "-", labels, registry=other).labels(*told)
        self.cpu = Counter("pod_cpu_usage_seconds", "-", ["namespace", "pod"], registry=other).labels("demo", "sw-1")
        self.servers = [start_http_server(0, "127.0.0.1", registry) for registry in (triton, other)]
        self.triton_port, self.other_port = (server.server_port for server, _ in self.servers)

    def answer(self, requests: int) -> None:
        """One round of load: `requests` in executions of 4, each execution 1 ms."""
        self.success.inc(requests)
        self.items.inc(requests)
        self.executions.inc(requests / 4)
        self.compute.inc(requests * 1000)
        self.cpu.inc(0.25)

    def close(self) -> None:
        for server, thread in self.servers:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def exporters() -> Iterator[Exporters]:
    made = Exporters()
    yield made
    made.close()


@pytest.fixture(scope="module")
def prometheus(exporters: Exporters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    # The one that the embedded cluster runs: built on first use, kept in the cache.
    program = str(ensure(["prometheus"])["prometheus"])
    home = tmp_path_factory.mktemp("prometheus")
    config = home / "prometheus.yml"
    config.write_text(
        CONFIG.format(triton=exporters.triton_port, other=exporters.other_port, triton_labels=TRITON_LABELS)
    )
    port = free_port()
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program, f"--config.file={config}", f"--storage.tsdb.path={home / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    client = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until_scraped(client, process, home / "log")
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(timeout=20)


def wait_until_scraped(client: Prometheus, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            if len(client.query("up == 1", datetime.now(UTC))) == 2:
                return
        except PrometheusError:
            pass
        time.sleep(0.1)
    pytest.fail(f"Prometheus scraped nothing: {log.read_text()}")


def until(look: Callable[[], Any]) -> Any:
    """What `look` gives once it gives something."""
    for _ in range(300):
        found = look()
        if found:
            return found
        time.sleep(0.1)
    return pytest.fail("did not come about in 30 s")


def test_serving_metrics_from_a_running_server(prometheus: Prometheus, exporters: Exporters) -> None:
    def look() -> Any:
        exporters.answer(40)
        now = datetime.now(UTC)
        series = by_workload(prometheus.query(serving_query(5.0), now))
        metrics = serving_metrics(series.get("demo/digits", ()), SPEC, [POD], now, settle_seconds=30)
        return metrics if metrics and metrics.requests_per_second > 0 else None

    metrics = until(look)
    assert metrics.latency_ms is None  # NaN while Triton has no quantile yet
    assert metrics.mean_batch == pytest.approx(4)
    assert metrics.mean_compute_ms == pytest.approx(1)
    assert metrics.busy_share == pytest.approx(metrics.requests_per_second / 4 / 1000)
    exporters.p95.set(12_500)
    assert until(lambda: getattr(look(), "latency_ms", None)) == 12.5
    assert abs((datetime.now(UTC) - metrics.observed_at).total_seconds()) < 60


def test_the_load_of_the_last_intervals(prometheus: Prometheus, exporters: Exporters) -> None:
    def look() -> Any:
        exporters.answer(40)
        now = datetime.now(UTC)
        promql = history_query([SPEC], 1.0)
        assert promql is not None
        series = by_workload(prometheus.query(promql, now))
        return load_history(series.get("demo/digits", ()), SPEC, 1.0, now)

    rates = until(look)
    assert len(rates) >= 12
    assert max(rates) > 40


def test_how_many_were_late(prometheus: Prometheus, exporters: Exporters) -> None:
    """Seconds stand for minutes. First by mean times, then by a quantile, then by a histogram."""
    step = 2.0

    def look(bound_ms: float, wanted: LatenessSource, expected: float) -> bool:
        exporters.answer(40)
        exporters.queue.labels("digits", "1").inc(40 * 10_000)
        exporters.rejected.inc(10)
        exporters.broken.inc(7)
        for edge, count in buckets.items():
            exporters.bucket.labels("digits", "1", edge).inc(count)
        last = datetime.now(UTC).timestamp() // step * step
        found = by_workload(prometheus.query(lateness_query(step, 3), datetime.fromtimestamp(last, UTC)))
        minutes = read_minutes(found.get("demo/digits", ()), "digits", bound_ms, 0.0)
        assert all(at % step == 0.0 and last - 3 * step < at <= last for at in minutes)
        newest = minutes.get(last, Minute())
        share = late_share([newest], step)
        # A scrape may see one counter a round before another: steps are looked at until one has enough of them.
        return set(newest.by_source) == {wanted} and share is not None and abs(share.share / expected - 1.0) < 0.05

    exporters.p95.set(float("nan"))
    buckets: dict[str, int] = {}
    # 40 of 50 answered, 1 ms of work after a wait of 10 ms on average; 10 rejected.
    until(lambda: look(21.0, LatenessSource.ESTIMATE, 0.8 * math.exp(-2.0) + 0.2))
    exporters.p95.set(21_000)
    until(lambda: look(21.0, LatenessSource.SUMMARY, 0.8 * 0.05 + 0.2))
    buckets = {"10": 10, "50": 30, "+Inf": 40}
    until(lambda: look(50.0, LatenessSource.HISTOGRAM, 0.8 * 0.25 + 0.2))


def test_training_metrics_of_a_simulated_gang(prometheus: Prometheus, exporters: Exporters) -> None:
    exporters.progress.set(4200)
    exporters.speed.set(float("inf"))

    def look() -> Any:
        series = by_workload(prometheus.query(training_query(10.0), datetime.now(UTC)))
        metrics = training_metrics(series.get("demo/sim", ()), frozenset({"tw-0"}))
        return metrics if metrics and metrics.completed_samples == 4200 else None

    metrics = until(look)
    assert metrics.source == "simulated"
    # Infinity was set before progress showed: whatever was scraped of it is no number.
    assert metrics.samples_per_second in (None, 0)


def test_raw_samples_for_the_ledger(prometheus: Prometheus, exporters: Exporters) -> None:
    exporters.watts.set(250)
    start = datetime.now(UTC)

    def read() -> Any:
        exporters.answer(4)
        end = datetime.now(UTC)
        dues = tuple(
            Due(account, start, end) for account in ("ServingWorkload/demo/digits", "TrainingWorkload/demo/sim")
        )
        window = Window(dues, start - timedelta(seconds=150), end, ("demo",))
        results = Results(*(prometheus.query(promql, end) for promql in queries(window).all()))
        reading = read_window(window, results, Snapshot(taken_at=end), ObserveSettings()).reading
        enough = [pod for pod in reading.pods if pod.presence is not None and len(pod.presence.times) > 3]
        drawn = [pod.energy.totals[-1] - pod.energy.totals[-3] for pod in enough if pod.energy is not None]
        return reading if len(enough) == 2 and drawn and drawn[0] >= 0.9 * 250e6 else None

    reading = until(read)
    by_account = {pod.account: pod for pod in reading.pods}
    served, simulated = by_account["ServingWorkload/demo/digits"], by_account["TrainingWorkload/demo/sim"]
    assert (served.pod, served.hardware_class, served.energy, served.simulated) == (
        "demo/sw-1", "local-cpu", None, False,
    )  # fmt: skip
    assert served.cpu.totals[-1] > 0
    assert simulated.simulated
    seconds = (simulated.energy.times[-1] - simulated.energy.times[-2]) / 1000
    assert simulated.energy.totals[-1] - simulated.energy.totals[-2] == pytest.approx(250e6 * seconds, rel=1e-6)
    assert reading.pulse.last >= served.cpu.last


def test_a_query_that_is_refused_says_so(prometheus: Prometheus) -> None:
    with pytest.raises(PrometheusError, match="refused 'sum"):
        prometheus.query("sum(", datetime.now(UTC))


def test_an_address_where_nothing_answers() -> None:
    client = Prometheus(f"http://127.0.0.1:{free_port()}", timeout_seconds=1)
    with pytest.raises(PrometheusError, match="cannot be asked"):
        client.query("up", datetime.now(UTC))
    client.close()


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"{}", b"[]", b'{"data":{"result":[{"values":[1]}]}}'])
def test_an_address_where_something_else_answers(body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests need no log of it."""

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = Prometheus(f"http://127.0.0.1:{server.server_port}", timeout_seconds=5)
    try:
        with pytest.raises(PrometheusError, match="is not Prometheus"):
            client.query("up", datetime.now(UTC))
    finally:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()
