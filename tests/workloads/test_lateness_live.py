"""How many requests were late: from a real tritonserver, by a real Prometheus, against what its client measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest

pytest.importorskip("pytriton")
pytest.importorskip("onnxruntime")

from prometheus_client.parser import text_string_to_metric_families

from tests.workloads import processes
from tests.workloads.processes import eventually
from tests.workloads.test_serve_live import load_config, serving, stubs_of
from trimtab.api.serving import LatenessSource
from trimtab.local.binaries.build import ensure
from trimtab.observe.lateness import late_share, lateness_query, read_minutes
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.series import by_workload

BOUND_MS = 300.0
STEP_SECONDS = 20.0
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 900ms}}
scrape_configs:
  - job_name: workloads
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels: {{namespace: demo, pod: sw-1, workload: digits, workload_kind: ServingWorkload}}
"""


@pytest.fixture(scope="module")
def server(variants, tmp_path_factory):
    with serving(variants, tmp_path_factory.mktemp("late")) as it:
        yield it


@pytest.fixture(scope="module")
def prometheus(server, tmp_path_factory):
    home = tmp_path_factory.mktemp("prometheus")
    (home / "prometheus.yml").write_text(CONFIG.format(port=server.metrics))
    (port,) = processes.free_ports(1)
    eventually(lambda: "nv_" in metrics_of(server.metrics), server.entry.text)
    command = [
        str(ensure(["prometheus"])["prometheus"]), f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    client = Prometheus(f"http://127.0.0.1:{port}")

    def scrapes() -> bool:
        with contextlib.suppress(PrometheusError):
            return bool(client.query("up == 1", datetime.now(UTC)))
        return False

    try:
        eventually(scrapes, (home / "log").read_text)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(processes.PATIENCE_SECONDS)


def metrics_of(port: int) -> str:
    """What is published; nothing while nobody listens yet."""
    with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as got:
        return got.read().decode()
    return ""


def above(port: int, bound_ms: float) -> tuple[float, float]:
    """Requests that the client had answered, and those of them that took longer."""
    families = text_string_to_metric_families(metrics_of(port))
    (histogram,) = (family for family in families if family.name == "trimtab_load_latency_seconds")
    counts = {s.labels["le"]: s.value for s in histogram.samples if s.name.endswith("_bucket")}
    return counts["+Inf"], counts["+Inf"] - counts[str(bound_ms / 1000.0)]


def test_the_late_share_of_a_real_server_is_what_its_client_saw(server, trained, prometheus, tmp_path):
    """The model stands still for a while, and what waits for it is late."""
    (port,) = processes.free_ports(1)
    stages = [{"seconds": 9, "requestsPerSecond": 100}]
    config = load_config(
        server, trained, stages=stages, maxInFlight=400, maxConnectionSeconds=1000, metricsPort=port, seed=5
    )
    # The whole load within one step.
    eventually(lambda: 0.5 < time.time() % STEP_SECONDS < STEP_SECONDS - 15.0)
    with processes.entry("benchmark.load", config, tmp_path / "load") as running:
        running.wait_for("second", 3)
        stubs = stubs_of(server.entry.process.pid)
        for pid in stubs:
            os.kill(pid, signal.SIGSTOP)
        frozen = time.monotonic()
        # Less than the second after which the server takes its backend for dead.
        eventually(lambda: time.monotonic() > frozen + 0.8)
        for pid in stubs:
            os.kill(pid, signal.SIGCONT)
        running.wait_for("second", 8)
        eventually(lambda: above(port, BOUND_MS)[0] > 0)
        answered, late = above(port, BOUND_MS)
        assert running.wait() == 0, running.text()
    end = time.time() // STEP_SECONDS * STEP_SECONDS + STEP_SECONDS
    eventually(lambda: time.time() > end + 1.5)
    assert late > 0.03 * answered
    found = prometheus.query(lateness_query(STEP_SECONDS, 1), datetime.fromtimestamp(end, UTC))
    (minute,) = read_minutes(by_workload(found)["demo/digits"], "digits", BOUND_MS, 0.0).values()
    assert set(minute.by_source) == {LatenessSource.SUMMARY}
    assert minute.requests == pytest.approx(running.result()["ok"], rel=0.1)
    measured = late_share([minute], STEP_SECONDS)
    # The client counts from when a request was due, and between two quantiles the server leaves room for a guess.
    assert measured.share == pytest.approx(late / answered, abs=0.03)
    everything = read_minutes(by_workload(found)["demo/digits"], "digits", 1e-3, 0.0)
    assert late_share(everything.values(), STEP_SECONDS).share > 0.99


def test_what_a_real_server_rejects_has_the_reason_that_is_asked_for(server):
    """Every reason is there from the start, at zero."""
    eventually(lambda: "nv_inference_request_failure" in metrics_of(server.metrics), server.entry.text)
    lines = [
        line for line in metrics_of(server.metrics).splitlines() if line.startswith("nv_inference_request_failure")
    ]
    assert any('model="digits"' in line and 'reason="REJECTED"' in line for line in lines), lines
