"""The simulation: requests arrive, a balancer gives each to a replica, and a policy changes the fleet.

Latency is the time from arrival to the answer for a classic model, and to the first token for a language model. Same
input, same seed: same result.
"""

import heapq
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.profiles import ServingOption
from trimtab.simulate.serving.fleet import CHANGE, READY, Fleet, Ledger
from trimtab.simulate.serving.lengths import LengthWatch
from trimtab.simulate.serving.policy import Observation, OptionState, Policy
from trimtab.simulate.serving.replica import Replica
from trimtab.simulate.serving.requests import FloatArray, IntArray, Requests, service_seconds

_LATENCY_WINDOW_SECONDS = 60.0
_BUDGET_SECONDS = 3600.0


@dataclass(frozen=True)
class Setting:
    """What is the same for every policy of a run."""

    slo_seconds: float
    quantile: float
    """Share of requests that are to be faster than that."""
    interval_seconds: float = 10.0
    """Control interval: how often figures are taken, and most policies are asked."""
    seed: int = 0
    queue_timeout_seconds: float | None = None
    """A request that has waited for so long goes behind the others of its replica; None serves all in order."""
    grams_per_kwh: FloatArray | None = None
    """Carbon intensity in each hour from the start; the last holds on."""
    before: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Requests a second in the control intervals before the run, which policies are told of."""
    served_before: Requests | None = None
    """Requests whose lengths are known when the run begins; None draws some of the run's."""

    def intensity(self, seconds: float) -> float:
        """Carbon intensity at a time; 0 without data."""
        if self.grams_per_kwh is None:
            return 0.0
        return float(self.grams_per_kwh[min(int(seconds // 3600), len(self.grams_per_kwh) - 1)])


@dataclass(frozen=True)
class Run:
    """What happened. Arrays by request, or by control interval."""

    latency_seconds: FloatArray
    """Of each request; infinite when it got no answer."""
    option: npt.NDArray[np.int64]
    """That answered each request; -1 when none did."""
    usd: FloatArray
    joules: FloatArray
    replica_seconds: FloatArray
    rates: FloatArray
    """Arrivals a second in each control interval."""
    ended: int
    """Requests that were served to their end."""
    switches: int
    plan_seconds: FloatArray
    """How long each decision took."""
    drained_seconds: float
    """When the last request ended."""


def simulate(
    requests: Requests,
    options: Sequence[ServingOption],
    policy: Policy,
    setting: Setting,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Replay requests against the fleet that a policy asks for.

    The fleet is accounted for until the last control interval that has an arrival has ended; what is in flight then
    is served to its end by the fleet there is.

    Args:
        requests: In order of arrival.
        options: The ways to serve.
        policy: Says which fleet there shall be.
        setting: Target, control interval, seed, carbon intensity.
        clock: Measures how long decisions take.
    """
    return _Simulation(requests, options, policy, setting, clock).run()


class _Simulation:
    def __init__(
        self,
        requests: Requests,
        options: Sequence[ServingOption],
        policy: Policy,
        setting: Setting,
        clock: Callable[[], float],
    ) -> None:
        self._requests = requests
        self._policy = policy
        self._setting = setting
        self._clock = clock
        count = len(requests)
        intervals = max(math.ceil((requests.seconds[-1] + 1e-9) / setting.interval_seconds), 1) if count else 1
        self._horizon = intervals * setting.interval_seconds
        self._ledger = Ledger(intervals, setting.interval_seconds)
        self._fleet = Fleet(options, self._ledger, setting.seed, setting.queue_timeout_seconds)
        bins = (requests.seconds // setting.interval_seconds).astype(np.int64)
        self._rates: FloatArray = (
            np.bincount(np.minimum(bins, intervals - 1), minlength=intervals) / setting.interval_seconds
        )
        self._latency: list[float] = [math.inf] * count
        self._option = [-1] * count
        self._times: list[float] = requests.seconds.tolist()
        self._prefills: list[list[float]] = [service_seconds(option, requests).tolist() for option in options]
        self._tokens: list[int] = requests.output_tokens.tolist()
        before = setting.served_before or requests.poisson(1.0, 200.0, setting.seed)
        self._watch = LengthWatch(requests, np.minimum(bins, intervals - 1), intervals, before)
        self._next = 0
        """The request that arrives next."""
        self._in_system = 0
        self._concurrency = 0.0
        """Integral of the number of requests in the system since the policy was asked."""
        self._counted_at = 0.0
        self._asked_at = 0.0
        self._arrived_then = 0
        self._utilized: dict[int, tuple[float, float]] = {}
        self._recent_latency: deque[tuple[float, float]] = deque()
        self._late: deque[float] = deque()
        """When requests were answered beyond the target, in the last hour."""
        self._plan_seconds: list[float] = []
        self._last_end = 0.0

    def run(self) -> Run:
        interval, every = self._setting.interval_seconds, self._policy.interval_seconds
        self._fleet.apply(self._policy.start(), 0.0, at_once=True)
        closed, asked = 0, 0
        while True:
            account, ask = (closed + 1) * interval, (asked + 1) * every
            if min(account, ask) > self._horizon + 1e-9:
                break
            self._until(min(account, ask))
            if account <= ask:
                self._fleet.account(account)
                closed += 1
            if ask <= account:
                asked += 1
                if ask < self._horizon - 1e-9:
                    self._ask(ask, closed)
        self._until(math.inf)
        return Run(
            latency_seconds=np.array(self._latency),
            option=np.array(self._option, dtype=np.int64),
            usd=self._ledger.usd,
            joules=self._ledger.joules,
            replica_seconds=self._ledger.replica_seconds,
            rates=self._rates,
            ended=self._watch.ended,
            switches=self._fleet.switches,
            plan_seconds=np.array(self._plan_seconds),
            drained_seconds=self._last_end,
        )

    def _until(self, limit: float) -> None:
        """Let everything happen that happens up to a time."""
        fleet, times = self._fleet, self._times
        agenda = fleet.agenda
        while True:
            event_at = agenda[0][0] if agenda else math.inf
            arrival_at = times[self._next] if self._next < len(times) else math.inf
            if event_at <= arrival_at:
                if event_at > limit or event_at == math.inf:
                    break
                at, _, kind, version, replica = heapq.heappop(agenda)
                if kind == CHANGE:
                    if version == replica.version:
                        self._change(replica, at)
                elif kind == READY:
                    fleet.on_ready(replica, at)
                    while fleet.central and fleet.serving:
                        self._dispatch(fleet.central.popleft(), at)
                else:
                    fleet.on_loaded(replica, at)
            else:
                if arrival_at > limit:
                    break
                self._count(arrival_at)
                self._in_system += 1
                request = self._next
                self._next += 1
                if fleet.serving:
                    self._dispatch(request, arrival_at)
                else:
                    fleet.central.append(request)

    def _dispatch(self, request: int, now: float) -> None:
        fleet = self._fleet
        replica = fleet.serving[fleet.scores.index(min(fleet.scores))]
        prefill = self._prefills[replica.option_index][request]
        replica.accept(now, request, prefill, self._tokens[request])
        fleet.touch(replica)

    def _change(self, replica: Replica, now: float) -> None:
        fleet = self._fleet
        replica.scheduled = math.inf
        finished, ended = replica.step(now)
        for request, overhead in finished:
            latency = now - self._times[request] + overhead
            self._latency[request] = latency
            self._option[request] = replica.option_index
            self._recent_latency.append((now, latency))
            if latency > self._setting.slo_seconds:
                self._late.append(now)
        if ended:
            self._count(now)
            self._in_system -= len(ended)
            self._watch.end(ended)
            self._last_end = now
            fleet.on_ended(replica, now)
        fleet.touch(replica)

    def _count(self, now: float) -> None:
        self._concurrency += self._in_system * (now - self._counted_at)
        self._counted_at = now

    def _ask(self, now: float, closed: int) -> None:
        seen = self._observe(now, closed)
        before = self._clock()
        desired = self._policy.decide(seen)
        self._plan_seconds.append(self._clock() - before)
        self._fleet.apply(desired, now)

    def _observe(self, now: float, closed: int) -> Observation:
        setting, window = self._setting, now - self._asked_at
        self._count(now)
        recent = self._recent_latency
        while recent and recent[0][0] < now - _LATENCY_WINDOW_SECONDS:
            recent.popleft()
        latency = float(np.quantile([value for _, value in recent], setting.quantile)) if recent else None
        seen = Observation(
            now_seconds=now,
            window_seconds=window,
            requests_per_second=(self._next - self._arrived_then) / window,
            rates=np.concatenate((self._setting.before, self._rates[:closed])),
            interval_seconds=setting.interval_seconds,
            concurrency=self._concurrency / window,
            waiting=len(self._fleet.central) + sum(replica.waiting() for replica in self._fleet.replicas),
            options=self._states(now),
            latency_seconds=latency,
            late_share=self._late_share(now),
            recent=self._watch.recent(),
            lengths=self._watch.by_interval(len(setting.before), closed),
            grams_per_kwh=setting.intensity(now),
        )
        self._asked_at, self._arrived_then, self._concurrency = now, self._next, 0.0
        return seen

    def _late_share(self, now: float) -> float:
        """Requests beyond the target in the last hour, of the requests of an hour.

        Before the run began the service had the mean rate of what is known from then, and no request was late.
        """
        while self._late and self._late[0] < now - _BUDGET_SECONDS:
            self._late.popleft()
        begin = int(np.searchsorted(self._requests.seconds, max(now - _BUDGET_SECONDS, 0.0)))
        before = float(np.mean(self._setting.before)) if len(self._setting.before) else 0.0
        requests = self._next - begin + before * max(_BUDGET_SECONDS - now, 0.0)
        return len(self._late) / max(requests, 1.0)

    def _states(self, now: float) -> tuple[OptionState, ...]:
        ready = [0] * len(self._fleet.options)
        starting = [0] * len(self._fleet.options)
        shares: list[list[float]] = [[] for _ in self._fleet.options]
        utilized = {}
        for replica in self._fleet.replicas:
            if replica.draining:
                continue
            if not replica.ready:
                starting[replica.option_index] += 1
                continue
            replica.advance(now)
            ready[replica.option_index] += 1
            used = replica.utilization_seconds()
            then, used_then = self._utilized.get(id(replica), (self._asked_at, 0.0))
            shares[replica.option_index].append(min((used - used_then) / max(now - then, 1e-9), 1.0))
            utilized[id(replica)] = (now, used)
        self._utilized = utilized
        return tuple(
            OptionState(ready[index], starting[index], float(np.mean(shares[index])) if shares[index] else 0.0)
            for index in range(len(ready))
        )


def attainment(run: Run, slo_seconds: float) -> float:
    """Share of requests within the latency target."""
    return float(np.mean(run.latency_seconds <= slo_seconds)) if len(run.latency_seconds) else 1.0


def misses_by_interval(run: Run, requests: Requests, setting: Setting) -> IntArray:
    """Requests beyond the target, by the control interval in which they arrived."""
    late = run.latency_seconds > setting.slo_seconds
    bins = np.minimum((requests.seconds // setting.interval_seconds).astype(np.int64), len(run.usd) - 1)
    return np.bincount(bins[late], minlength=len(run.usd))
