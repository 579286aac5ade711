"""What is measured before a comparison: load tests of the ways to serve, and fleets that never change.

Baselines are sized from it as a practitioner would size them: from a load test of the deployment in the simulator, with
Poisson arrivals of the trace's requests.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, TokenSpeed
from trimtab.simulate.serving.engine import Run, Setting, attainment, simulate
from trimtab.simulate.serving.policies.static import Static
from trimtab.simulate.serving.policy import Desired, Observation, Policy
from trimtab.simulate.serving.queue_rule import queue_timeout_seconds
from trimtab.simulate.serving.requests import Requests, idle_latency_seconds, service_seconds

_TEST_REQUESTS = 4000
_TEST_SECONDS = 240.0
"""Least length of a load test."""
_STEPS = 9
"""Halvings of the range in which a load test looks for the highest rate."""
_RETESTS = 4
_LEAST_TOGETHER = 4
PEAK_WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class LoadTest:
    """The most that a deployment of some replicas carries within the target."""

    replicas: int
    requests_per_second: float
    """Of one replica."""
    concurrency: float
    """Mean number of requests at one replica then."""
    utilization: float
    """Share of time in which a replica does anything then."""


class Bench:
    """Requests, options and target of a comparison, with what was measured of them (each measured once)."""

    def __init__(
        self,
        requests: Requests,
        options: tuple[ServingOption, ...],
        setting: Setting,
        usd_per_gram: float = 0.0,
    ) -> None:
        self.requests = requests
        self.options = options
        self.setting = setting
        self.usd_per_gram = usd_per_gram
        self.load_test = cache(self._load_test)
        self.constant = cache(self._constant)

    def late_last(self) -> "Bench":
        """The same, where requests that have waited for too long are served last."""
        setting = replace(self.setting, queue_timeout_seconds=queue_timeout_seconds(self.setting.slo_seconds))
        return Bench(self.requests, self.options, setting, self.usd_per_gram)

    @property
    def seconds(self) -> float:
        """Length of the run, whole control intervals."""
        interval = self.setting.interval_seconds
        return max(math.ceil((float(self.requests.seconds[-1]) + 1e-9) / interval), 1) * interval

    @property
    def mean_rate(self) -> float:
        """Requests a second over the whole run."""
        return len(self.requests) / self.seconds

    def peak_rate(self) -> float:
        """The highest rate over a minute."""
        return float(self.minute_rates().max())

    def minute_rates(self) -> np.typing.NDArray[np.float64]:
        """Requests a second in each full minute (of a run shorter than one: over all of it)."""
        minutes = int(self.seconds // PEAK_WINDOW_SECONDS)
        if minutes == 0:
            return np.array([self.mean_rate])
        bins = (self.requests.seconds // PEAK_WINDOW_SECONDS).astype(np.int64)
        counts = np.bincount(bins[bins < minutes], minlength=minutes)
        rates: np.typing.NDArray[np.float64] = counts / PEAK_WINDOW_SECONDS
        return rates

    def run(self, policy: Policy) -> Run:
        """Replay the requests under a policy."""
        return simulate(self.requests, self.options, policy, self.setting)

    def attained(self, run: Run) -> bool:
        """Whether the share of requests within the target is as large as it is to be."""
        return attainment(run, self.setting.slo_seconds) >= self.setting.quantile

    def _constant(self, option: int, replicas: int) -> Run:
        """The run of a fleet that never changes."""
        return self.run(Static(option, replicas))

    def feasible(self, option: int) -> bool:
        """Whether idle replicas of an option are fast enough for the target."""
        latency = idle_latency_seconds(self.options[option], self.requests, self.setting.quantile)
        return latency <= self.setting.slo_seconds

    def work_seconds(self, option: int) -> float:
        """Least time that a replica needs for a mean request, however well it batches."""
        speed = self.options[option].speed
        if isinstance(speed, BatchSpeed):
            table = speed.table()
            return min(table[size] / size for size in range(1, speed.max_batch + 1)) / speed.instances
        table = speed.table()
        step = min(table[count] / count for count in range(1, speed.max_batch + 1))
        decode = np.maximum(self.requests.output_tokens - 1, 0) * step
        return float(np.mean(service_seconds(self.options[option], self.requests) + decode))

    def least_usd(self, option: int) -> float:
        """What the option costs if its replicas never wait: nothing with it costs less."""
        return len(self.requests) * self.work_seconds(option) * self.options[option].usd_per_hour / 3600.0

    def _load_test(self, option: int) -> LoadTest | None:
        """Load test of a deployment that is large enough for the mean rate; None when the target is out of reach.

        A replica of many carries more than one alone, so that the count that suffices is found by testing again.
        """
        if not self.feasible(option):
            return None
        best = self._test(option, 1)
        for _ in range(_RETESTS):
            if best is None:
                # A lone replica may be too slow where several are not.
                replicas = _LEAST_TOGETHER
            else:
                replicas = max(math.ceil(self.mean_rate / best.requests_per_second), 1)
                if replicas == best.replicas:
                    break
            best = self._test(option, replicas) or best
            if best is None:
                return None
        return best

    def _test(self, option: int, replicas: int) -> LoadTest | None:
        high = 1.0 / self.work_seconds(option)
        low, found = 0.0, None
        for _ in range(_STEPS):
            rate = (low + high) / 2.0
            result = self._try(option, replicas, rate)
            if result is None:
                high = rate
            else:
                low, found = rate, result
        return found

    def _try(self, option: int, replicas: int, rate: float) -> LoadTest | None:
        total = rate * replicas
        seconds = max(_TEST_SECONDS, min(_TEST_REQUESTS / total, 3600.0))
        if isinstance(self.options[option].speed, BatchSpeed):
            seconds = max(_TEST_REQUESTS / total, 1.0)
        load = self.requests.poisson(total, seconds, self.setting.seed)
        watch = _Watch(option, replicas, seconds)
        run = simulate(load, self.options, watch, self.setting)
        if attainment(run, self.setting.slo_seconds) < self.setting.quantile:
            return None
        lasted = max(float(load.seconds[-1]), 1e-9)
        concurrency = watch.concurrency or self._little(option, run, load) / lasted
        utilization = watch.utilization or min(rate * self.work_seconds(option), 1.0)
        return LoadTest(replicas, rate, concurrency / replicas, utilization)

    def _little(self, option: int, run: Run, load: Requests) -> float:
        """Request-seconds of latency: where a test is too short to be watched, Little's law has its concurrency."""
        total = float(run.latency_seconds[np.isfinite(run.latency_seconds)].sum())
        speed = self.options[option].speed
        if isinstance(speed, TokenSpeed):
            total += float(load.output_tokens.sum()) * speed.token_seconds[-1]
        return total


class _Watch(Static):
    """A fleet that never changes, with mean concurrency and utilization of the run after its first fifth."""

    def __init__(self, option: int, replicas: int, seconds: float) -> None:
        super().__init__(option, replicas, interval_seconds=seconds * 0.2)
        self._option = option
        self._seen: list[tuple[float, float]] = []

    def decide(self, seen: Observation) -> Desired:
        """Watch only."""
        self._seen.append((seen.concurrency, seen.options[self._option].utilization))
        return super().decide(seen)

    @property
    def concurrency(self) -> float:
        """Mean of the windows after the first."""
        return float(np.mean([c for c, _ in self._seen[1:]])) if len(self._seen) > 1 else 0.0

    @property
    def utilization(self) -> float:
        """Mean of the windows after the first."""
        return float(np.mean([u for _, u in self._seen[1:]])) if len(self._seen) > 1 else 0.0
