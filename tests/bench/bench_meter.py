"""What metering costs a pass of the loop: 2,000 pods, by the HTTP API of a server that answers as Prometheus does.

Run it as `python -m tests.bench.bench_meter` with `operator` on the path. One core is enough, and more are not used.
"""

import argparse
import json
import sys
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process, Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.worlds import NOW, hardware, serving, training

from trimtab.api.common import Usage
from trimtab.api.hardware import HardwareClassStatus, NodeUsage
from trimtab.handlers.accounting import book_all, settle_all, settle_budgets
from trimtab.observe.meter import read_window
from trimtab.observe.meter_queries import Results, queries
from trimtab.observe.meter_windows import windows
from trimtab.observe.prometheus import Prometheus
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import Snapshot, WorkloadPod

PODS_A_WORKLOAD, PODS_A_NODE, SCRAPE_SECONDS = 10, 20, 5
SPAN_SECONDS = 190
"""What a pass asks for: a cell, the lag behind the present, and the look-back."""


def answers(pods: int) -> dict[str, bytes]:
    """Results by the metric's name, ready to be sent: the samples of what is asked for, every 5 s."""
    times = [NOW.timestamp() - SPAN_SECONDS + SCRAPE_SECONDS * i for i in range(SPAN_SECONDS // SCRAPE_SECONDS + 1)]
    cpu, nodes, up, own = [], [], [], []
    for n in range(pods):
        labels = {"namespace": "demo", "pod": f"p{n}", "node": f"n{n // PODS_A_NODE}"}
        values = [[t, str(0.3 * i * SCRAPE_SECONDS + n)] for i, t in enumerate(times)]
        cpu.append({"metric": {"__name__": "pod_cpu_usage_seconds_total", **labels}, "values": values})
        owner = {
            "workload": f"w{n // PODS_A_WORKLOAD}",
            "workload_kind": "ServingWorkload",
            "hardware_class": "local-cpu",
        }
        up.append({"metric": {**labels, **owner}, "value": [times[-1], "1"]})
        own.append({"metric": {"__name__": "nv_inference_count", **labels, **owner}, "values": values})
    for n in range(-(-pods // PODS_A_NODE)):
        values = [[t, str(8.0 * i * SCRAPE_SECONDS)] for i, t in enumerate(times)]
        nodes.append({"metric": {"__name__": "node_cpu_usage_seconds_total", "node": f"n{n}"}, "values": values})
    found = {"up{": up, "pod_cpu": cpu, "node_cpu": nodes, "nv_inference": own, "": []}
    return {
        name: json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
        for name, result in found.items()
    }


def serve(pods: int, ports: "Queue[int]") -> None:
    """The server, in a process of its own: its time is not the operator's."""
    ready = answers(pods)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)["query"][0]
            body = ready[next(name for name in ready if name in asked)]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports.put(server.server_address[1])
    server.serve_forever()


def world(pods: int) -> Snapshot:
    """Workloads of ten pods each whose accounts end 10 s before the newest cell."""
    until = NOW - timedelta(seconds=40)
    states = []
    for w in range(-(-pods // PODS_A_WORKLOAD)):
        mine = tuple(
            WorkloadPod(name=f"p{n}", hardware_class="local-cpu", node=f"n{n // PODS_A_NODE}", phase="Running",
                        created_at=NOW - timedelta(hours=1), started_at=NOW - timedelta(hours=1))
            for n in range(w * PODS_A_WORKLOAD, min(pods, (w + 1) * PODS_A_WORKLOAD))
        )  # fmt: skip
        one = serving(0, pods=mine)
        usage = Usage(accounted_until=until)
        states.append(
            one.model_copy(
                update={
                    "meta": one.meta.model_copy(update={"name": f"w{w}", "uid": f"w{w}"}),
                    "status": one.status.model_copy(update={"usage": usage}),
                }
            )
        )
    count = -(-pods // PODS_A_NODE)
    status = HardwareClassStatus(usage=NodeUsage(accounted_until=until))
    state = hardware(nodes=count, capacity_units=count * 16.0, units_per_node=16.0)
    names = tuple(f"n{n}" for n in range(count))
    state = state.model_copy(update={"status": status, "node_names": names, "cpu_cores_per_node": 16.0})
    new = training("none", age=timedelta(seconds=10))
    return Snapshot(taken_at=NOW, serving=tuple(states), training=(new,), hardware=(state,))


def one_pass(snapshot: Snapshot, prometheus: Prometheus, settings: ObserveSettings) -> dict[str, Any]:
    """Meter as the loop does."""
    begin = time.perf_counter()
    asked, readings = 0, []
    for window in windows(snapshot, settings):
        found = [prometheus.query(promql, window.read_end) for promql in queries(window).all()]
        asked += len(found)
        readings.append(read_window(window, Results(*found), snapshot, settings))
    read = time.perf_counter()
    books = book_all(snapshot, readings)
    usages = settle_all(snapshot, books)
    settle_budgets(snapshot, books)
    end = time.perf_counter()
    total = sum(u.energy_watt_hours for key, u in usages.items() if not key.startswith("HardwareClass"))
    return {"queries": asked, "read_seconds": read - begin, "settle_seconds": end - read,
            "seconds": end - begin, "accounts": len(usages), "watt_hours": round(total, 6)}  # fmt: skip


def measure(pods: int, repeats: int) -> dict[str, Any]:
    """The median pass of several."""
    ports: Queue[int] = Queue()
    process = Process(target=serve, args=(pods, ports), daemon=True)
    process.start()
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{ports.get(timeout=60)}", timeout_seconds=30.0)
        snapshot, settings = world(pods), ObserveSettings()
        passes = sorted((one_pass(snapshot, prometheus, settings) for _ in range(repeats)), key=lambda p: p["seconds"])
        prometheus.close()
    finally:
        process.terminate()
        process.join()
    return {"pods": pods, **passes[len(passes) // 2], "slowest_seconds": passes[-1]["seconds"]}


def main() -> None:
    """Print a line of JSON for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    for pods in chosen.pods:
        sys.stdout.write(json.dumps(measure(pods, chosen.repeats)) + "\n")


if __name__ == "__main__":
    main()
