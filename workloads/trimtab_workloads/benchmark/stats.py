"""What a load counts: for Prometheus, for a line each second, and for the summary."""

from __future__ import annotations

import math
from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import REGISTRY

_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)
_ERRORS_KEPT = 5
_ERROR_CHARACTERS = 160


class Quantiles:
    """Latencies in buckets that grow by a fixed factor: bounded memory, quantiles within 1 %.

    The sketch of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
    guarantees", VLDB 2019, without its merging.
    """

    RELATIVE_ERROR = 0.01

    def __init__(self) -> None:
        self._log_factor = math.log((1 + self.RELATIVE_ERROR) / (1 - self.RELATIVE_ERROR))
        self._buckets: Tally[int] = Tally()
        self.count = 0

    def add(self, seconds: float) -> None:
        """Counts a latency."""
        self._buckets[math.ceil(math.log(max(seconds, 1e-9)) / self._log_factor)] += 1
        self.count += 1

    def milliseconds(self, quantile: float) -> float | None:
        """A quantile in milliseconds; None without any latency."""
        rank = quantile * (self.count - 1)
        seen = 0
        for bucket, count in sorted(self._buckets.items()):
            seen += count
            if seen > rank:
                middle = 2 * math.exp(bucket * self._log_factor) / (1 + math.exp(self._log_factor))
                return round(middle * 1000, 3)
        return None

    def summary(self) -> dict[str, float | None]:
        """The three quantiles that are reported."""
        return {f"p{percent}Ms": self.milliseconds(percent / 100) for percent in (50, 95, 99)}


class Counts:
    """Outcomes over some stretch of time. `sent` counts what was due, also if it could not be sent."""

    def __init__(self) -> None:
        self.sent = self.ok = self.failed = self.samples = self.correct = 0
        self.latency = Quantiles()
        self.by_version: Tally[str] = Tally()
        self.errors: Tally[str] = Tally()

    def succeed(self, latency_seconds: float, version: str, samples: int, correct: int) -> None:
        """Counts an answer."""
        self.ok += 1
        self.samples += samples
        self.correct += correct
        self.by_version[version] += 1
        self.latency.add(latency_seconds)

    def fail(self, reason: str) -> None:
        """Counts a failure."""
        self.failed += 1
        self.errors[reason[:_ERROR_CHARACTERS]] += 1

    def summary(self) -> dict[str, object]:
        """The figures as JSON; latencies are those of answers, from the time at which each request was due."""
        return {
            "sent": self.sent,
            "ok": self.ok,
            "failed": self.failed,
            **self.latency.summary(),
            "accuracy": round(self.correct / self.samples, 6) if self.samples else None,
            "byVersion": dict(self.by_version.most_common(_ERRORS_KEPT * 4)),
            "errors": dict(self.errors.most_common(_ERRORS_KEPT)),
        }


class Stats:
    """Keeps the counts of the whole load and of the current second, and the Prometheus series."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.total = Counts()
        self.second = Counts()
        self.in_flight = 0
        self._requests = Counter(
            "trimtab_load_requests_total", "Requests by outcome", ["outcome", "version"], registry=registry
        )
        self._latency = Histogram(
            "trimtab_load_latency_seconds",
            "Time from when a request was due to its answer",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._correct = Counter("trimtab_load_correct_total", "Samples classified rightly", registry=registry)
        self.target = Gauge("trimtab_load_target_rps", "Mean rate of the current stage", registry=registry)

    def due(self) -> None:
        """Counts a request that became due."""
        self.total.sent += 1
        self.second.sent += 1

    def succeed(self, latency_seconds: float, version: str, samples: int, correct: int) -> None:
        """Counts an answer."""
        self.total.succeed(latency_seconds, version, samples, correct)
        self.second.succeed(latency_seconds, version, samples, correct)
        self._requests.labels(outcome="ok", version=version).inc()
        self._latency.observe(latency_seconds)
        self._correct.inc(correct)

    def fail(self, reason: str) -> None:
        """Counts a failure."""
        self.total.fail(reason)
        self.second.fail(reason)
        self._requests.labels(outcome="error", version="").inc()

    def take_second(self) -> dict[str, object]:
        """The figures since the last call."""
        taken, self.second = self.second, Counts()
        return taken.summary() | {"inFlight": self.in_flight}
