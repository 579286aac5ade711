"""A month of a small cluster as Prometheus has it, and an HTTP server that answers for it as Prometheus does.

Two CPU nodes (one with Kepler), and one with two GPUs that dcgm-exporter speaks for. Pods come, restart and go; scrapes
are lost for all targets (Prometheus was down) or come late; counters are reset; the API does not answer at times.
"""

import json
import random
import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from tests.unit.worlds import NOW

SCRAPE_SECONDS = 30
BEGIN = NOW.timestamp()


@dataclass
class Pod:
    """One pod of the timeline; times in seconds from the beginning."""

    name: str
    workload: str
    kind: str
    hardware_class: str
    node: str
    start: float
    end: float
    cores: float
    device: int | None = None
    resets: tuple[float, ...] = ()

    def cpu(self, at: float) -> float:
        """Its CPU counter."""
        began = max((r for r in self.resets if r <= at), default=self.start)
        return self.cores * (at - began)


@dataclass
class Series:
    """One series: labels, and samples by time."""

    labels: dict[str, str]
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    """When each sample came to be seen."""

    def within(self, after: float, until: float, now: float) -> list[list[float | str]]:
        """Samples as the API gives them."""
        first, last = bisect_right(self.times, after), bisect_right(self.times, until)
        return [[BEGIN + self.times[i], repr(self.values[i])] for i in range(first, last) if self.visible[i] <= now]


class Month:
    """The timeline."""

    def __init__(self, seed: int, days: float, dark: int) -> None:
        self.random = random.Random(seed)
        self.seconds = days * 86400
        self.dark = sorted(
            (
                begin := self.random.uniform(1000, self.seconds - 20000),
                begin + self.random.choice((60, 200, 1500, 5400)),
            )
            for _ in range(dark)
        )
        self.late = [(b := self.random.uniform(0, self.seconds), b + 300) for _ in range(dark)]
        self.pods = [*self._serving(), *self._training()]
        self.series: list[Series] = []
        self._pods()
        self.by_pod = {one.labels["pod"]: one for one in self.series}
        self._nodes()
        self._devices()

    def _serving(self) -> Iterator[Pod]:
        for slot in range(3):
            at = self.random.uniform(0, 600)
            while at < self.seconds:
                life = self.random.choice((900, 7200, 50_000, 200_000))
                resets = tuple(sorted(at + self.random.random() * life for _ in range(self.random.randrange(2))))
                yield Pod(f"s{slot}-{at:.0f}", "web", "ServingWorkload", "cpu", f"n{1 + slot % 2}", at, at + life,
                          self.random.uniform(0.05, 0.6), None, resets)  # fmt: skip
                at += life + self.random.choice((20, 600, 9000))

    def _training(self) -> Iterator[Pod]:
        at = 500.0
        while at < self.seconds:
            life = self.random.choice((3000, 40_000, 120_000))
            for rank in range(2):
                yield Pod(f"t{rank}-{at:.0f}", "net", "TrainingWorkload", "gpu", "g1", at, at + life,
                          self.random.uniform(0.3, 1.0), rank)  # fmt: skip
            at += life + self.random.choice((60, 5000))

    def _scrapes(self, start: float, end: float, offset: float) -> Iterator[tuple[float, float]]:
        first = int((start - offset) // SCRAPE_SECONDS) + 1
        for n in range(first, int((min(end, self.seconds + 9000) - offset) // SCRAPE_SECONDS) + 1):
            at = n * SCRAPE_SECONDS + offset
            if any(a <= at < b for a, b in self.dark):
                continue
            # A queue on the way to Prometheus keeps the order: what comes after waits, too.
            late = max((b for a, b in self.late if a <= at < b + 100), default=0.0)
            yield at, max(at + 0.3, late + 100.0 if late else 0.0)

    def _add(self, labels: dict[str, str], start: float, end: float, offset: float, value) -> None:  # type: ignore[no-untyped-def]
        series = Series(labels)
        for at, seen in self._scrapes(start, end, offset):
            series.times.append(at)
            series.values.append(value(at))
            series.visible.append(seen)
        self.series.append(series)

    def _pods(self) -> None:
        for pod in self.pods:
            labels = {"__name__": "pod_cpu_usage_seconds_total", "namespace": "demo", "pod": pod.name, "node": pod.node}
            self._add(labels, pod.start, pod.end, _offset(pod.node), pod.cpu)

    def _nodes(self) -> None:
        for node, reboot in (("n1", 0.4), ("n2", 2.0), ("g1", 2.0)):
            mine = [pod for pod in self.pods if pod.node == node]
            zero = reboot * self.seconds

            def used(at: float, mine=mine) -> float:  # type: ignore[no-untyped-def]
                return 0.02 * at + sum(p.cores * (min(at, p.end) - p.start) for p in mine if p.start < at)

            def counted(at: float, zero=zero, used=used) -> float:  # type: ignore[no-untyped-def]
                return used(at) - used(zero) if at >= zero else 1000 + used(at)

            labels = {"__name__": "node_cpu_usage_seconds_total", "node": node}
            self._add(labels, 0, 1e12, _offset(node), counted)
            if node == "n1":
                for zone, watts in (("package-0", 9.0), ("dram", 1.5), ("core", 4.0)):
                    labels = {"__name__": "kepler_node_cpu_joules_total", "node_name": node, "zone": zone}
                    self._add(labels, 0, 1e12, 7.0, lambda at, w=watts, used=used: w * at + 20 * used(at))  # type: ignore[misc]

    def _devices(self) -> None:
        for gpu in range(2):
            mine = sorted((p for p in self.pods if p.device == gpu), key=lambda p: p.start)
            edges = [0.0, *(t for p in mine for t in (p.start, p.end)), 1e12]
            for index, (a, b) in enumerate(pairwise(edges)):
                holder = mine[index // 2] if index % 2 else None
                labels = {"__name__": "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "UUID": f"GPU-{gpu}", "Hostname": "g1",
                          "namespace": "monitoring", "pod": "dcgm-exporter-x"}  # fmt: skip
                if holder is not None:
                    labels |= {"exported_namespace": "demo", "exported_pod": holder.name}

                def joules(at: float, mine=mine) -> float:  # type: ignore[no-untyped-def]
                    busy = sum(min(at, p.end) - p.start for p in mine if p.start < at)
                    return round((30 * at + 190 * busy) * 1000)

                self._add(labels, a, b, 11.0, joules)

    def present(self, at: float) -> list[Pod]:
        """Pods that run at an instant."""
        return [pod for pod in self.pods if pod.start <= at < pod.end]


def _offset(node: str) -> float:
    return {"n1": 3.0, "n2": 5.0, "g1": 8.0}[node]


class Server(ThreadingHTTPServer):
    """Prometheus's query API over a month, as of `now`."""

    def __init__(self, month: Month) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.month = month
        self.now = 0.0
        self.away = False
        self.queries = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, query: str, at: float) -> list[dict[str, object]]:
        """The result of an instant query."""
        found = re.search(r"\[(\d+)ms\]", query)
        assert found is not None
        after = at - int(found[1]) / 1000
        if "last_over_time(up" in query or "container_start_time_seconds" in query:
            return [
                {
                    "metric": _metric(pod, "up" in query),
                    "value": [BEGIN + at, repr(1 if "up" in query else BEGIN + pod.start)],
                }
                for pod in self.month.pods
                if pod.start < min(at, self.now) and pod.end > after and self._scraped(pod, after, at)
            ]
        names = re.search(r'__name__=~"([^"]+)"', query)
        wanted = names[1].split("|") if names else [query.split("{")[0]]
        result = []
        for series in self.month.series:
            if series.labels["__name__"] in wanted:
                values = series.within(after, at, self.now)
                if values:
                    result.append({"metric": series.labels, "values": values})
        return result

    def _scraped(self, pod: Pod, after: float, at: float) -> bool:
        """The same target's scrape also brought when its containers started."""
        return bool(self.month.by_pod[pod.name].within(after, at, self.now))


def _metric(pod: Pod, workload: bool) -> dict[str, str]:
    own = {"workload": pod.workload, "workload_kind": pod.kind, "hardware_class": pod.hardware_class}
    return {"namespace": "demo", "pod": pod.name, **(own if workload else {})}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.server.queries += 1
        if self.server.away:
            self._send(500, {"status": "error", "errorType": "internal", "error": "no storage"})
            return
        result = self.server.answer(asked["query"][0], float(asked["time"][0]) - BEGIN)
        kind = "matrix" if result and "values" in result[0] else "vector"
        self._send(200, {"status": "success", "data": {"resultType": kind, "result": result}})

    def _send(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(month: Month) -> Iterator[Server]:
    """The server, as long as it is needed."""
    server = Server(month)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
