"""How long the operator's reads of serving take, from a real Prometheus, at 100 and at 1,000 services of three pods.

Run it as `python -m tests.bench.bench_serving_reads` with `operator` on the path. An hour of counters and a quarter of
an hour of latency quantiles, scraped every 15 s, are put in by OTLP; then each read is timed: the hour of the load as
after a restart, what is new of it, and one and five minutes of late requests. Figures are of the query, its answer, and
what is made of it.
"""

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests as http
from tests.unit.worlds import meta, serving

from trimtab.local.binaries.build import ensure
from trimtab.observe.lateness import LatenessMemory, Read, lateness_query
from trimtab.observe.load_history import LoadMemory, interval_seconds
from trimtab.observe.prometheus import Prometheus
from trimtab.observe.series import at_time, by_workload

PODS, SCRAPE = 3, 15.0
COUNTERS = (
    "nv_inference_request_success", "nv_inference_queue_duration_us", "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us", "nv_inference_compute_output_duration_us",
)  # fmt: skip
QUANTILES = {"0.5": 5e3, "0.9": 1e4, "0.95": 2e4, "0.98": 3e4, "0.99": 5e4, "0.999": 9e4}


@contextmanager
def prometheus() -> Iterator[tuple[Prometheus, str]]:
    """An empty one, with its address."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        held.close()
        Path(home, "prometheus.yml").write_text("{}")
        process = subprocess.Popen(
            [
                str(ensure(["prometheus"])["prometheus"]), f"--config.file={home}/prometheus.yml",
                f"--storage.tsdb.path={home}/data", f"--web.listen-address={address}", "--web.enable-otlp-receiver",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        client = Prometheus(f"http://{address}", timeout_seconds=60.0)
        try:
            while True:
                try:
                    http.get(f"http://{address}/-/ready", timeout=5).raise_for_status()
                    break
                except http.RequestException:
                    time.sleep(0.1)
            yield client, address
        finally:
            client.close()
            process.terminate()
            process.wait(20)


def fill(address: str, services: int, now: float) -> None:
    """What their servers told."""
    hour = [now - 3600.0 + SCRAPE * i for i in range(241)]
    for service in range(services):
        metrics: dict[str, list[Any]] = {}
        for pod in range(PODS):
            labels = {
                "namespace": "demo", "workload": f"w{service}", "workload_kind": "ServingWorkload",
                "pod": f"w{service}-{pod}", "model": "digits", "version": "1",
            }  # fmt: skip
            for name in COUNTERS:
                times = hour if name == COUNTERS[0] else hour[-61:]
                metrics.setdefault(name, []).extend(_points(labels, times, [100.0 * i for i in range(len(times))]))
            for level, value in QUANTILES.items():
                told = _points({**labels, "quantile": level}, hour[-61:], [value] * 61)
                metrics.setdefault("nv_inference_request_summary_us", []).extend(told)
        body = {
            "resourceMetrics": [
                {"scopeMetrics": [{"metrics": [{"name": n, "gauge": {"dataPoints": p}} for n, p in metrics.items()]}]}
            ]
        }
        http.post(f"http://{address}/api/v1/otlp/v1/metrics", json=body, timeout=60).raise_for_status()


def _points(labels: dict[str, str], times: list[float], values: list[float]) -> list[dict[str, Any]]:
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in labels.items()]
    return [
        {"timeUnixNano": str(round(at * 1e9)), "asDouble": value, "attributes": attributes}
        for at, value in zip(times, values, strict=True)
    ]


def reads(client: Prometheus, services: int, now: float) -> dict[str, float]:
    """Seconds of each read."""
    taken: dict[str, float] = {}
    base = serving()
    states = [
        base.model_copy(update={"meta": meta(f"w{i}").model_copy(update={"created_at": at_time(0.0)})})
        for i in range(services)
    ]
    loads = LoadMemory(interval_seconds(SCRAPE))
    for name, at in (("hour_of_load", at_time(now - 45.0)), ("new_of_it", at_time(now - 45.0) + timedelta(seconds=10))):
        began = time.perf_counter()
        promql = loads.query([base.spec], at)
        assert promql is not None
        loads.take(by_workload(client.query(promql, at)), at)
        rates = [loads.rates(one.meta.key, one.spec, at) for one in states]
        taken[name] = time.perf_counter() - began
        assert min(len(one) for one in rates) > 70
    for steps in (1, 5):
        memory = LatenessMemory(60.0)
        memory.due(states, now, 0.0)
        began = time.perf_counter()
        found = by_workload(client.query(lateness_query(memory.step, steps), at_time(now)))
        memory.take(Read(now, steps), states, found)
        shares = [memory.share(one.meta.key) for one in states]
        taken[f"late_in_{steps}_minutes"] = time.perf_counter() - began
        assert all(one is not None and one.share < 0.01 for one in shares)
    return taken


def main() -> None:
    """Print what was measured."""
    for services in (100, 1000):
        with prometheus() as (client, address):
            now = time.time() // 60.0 * 60.0
            fill(address, services, now)
            taken = reads(client, services, now)
        print(json.dumps({"services": services, **{name: round(value, 2) for name, value in taken.items()}}))


if __name__ == "__main__":
    main()
