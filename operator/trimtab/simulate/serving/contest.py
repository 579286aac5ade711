"""The comparison: runs each policy, tuned as far as it can be, and takes its figures.

Every policy begins with the fleet that it would hold at the trace's mean rate, and knows of five minutes of that rate
(Poisson) before, with lengths of requests drawn from the trace: the service is one that was there before it begins.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from trimtab.simulate.results import Outcomes, PolicyResult, Timeline
from trimtab.simulate.serving.bench import Bench, LoadTest
from trimtab.simulate.serving.engine import Run, attainment, simulate
from trimtab.simulate.serving.policies.clover import Clover, Evaluation
from trimtab.simulate.serving.policies.fixed_peak import fixed_peak
from trimtab.simulate.serving.policies.hpa_concurrency import hpa_concurrency
from trimtab.simulate.serving.policies.hpa_cpu import hpa_cpu
from trimtab.simulate.serving.policies.infaas import Infaas
from trimtab.simulate.serving.policies.keda_rate import keda_rate
from trimtab.simulate.serving.policies.optimum import Optimum, bench_objective, find_optimum, fluid_bound_usd
from trimtab.simulate.serving.policies.static import Static
from trimtab.simulate.serving.policies.trimtab import Trimtab
from trimtab.simulate.serving.policies.wva import Wva
from trimtab.simulate.serving.policy import Desired, Policy
from trimtab.simulate.serving.sizing import cheapest_to_scale, count_for, tune

_CLOVER_TEST_SECONDS = 120.0
_MOST_TIMES_PEAK = 2
"""`maxReplicas` of autoscalers: so many times what the peak minute needs."""
_INFAAS_WINDOW_SECONDS = 10.0
_TRIMTAB, _OPTIMUM = "trimtab", "optimum"


class Queues(StrEnum):
    """In which order all servers take the requests that wait."""

    IN_ORDER = "in-order"
    """As they came: Triton's default, and what the operator sets up."""
    LATE_LAST = "late-last"
    """Those first that can still be in time."""


Played = tuple[Run, tuple[str, ...]]
"""A run, and what is to be said of it."""


class Contest:
    """One trace, one target, the ways to serve; any number of policies."""

    def __init__(
        self, bench: Bench, candidates: tuple[int, ...], notes: tuple[str, ...], queues: Queues = Queues.IN_ORDER
    ) -> None:
        """Prepare the comparison.

        Args:
            bench: Requests, options and target.
            candidates: Options that may be used: accurate enough.
            notes: What is to be said of every result.
            queues: In which order servers take what waits.
        """
        self.bench = bench.late_last() if queues is Queues.LATE_LAST else bench
        self.candidates = candidates
        self.notes = notes
        self.first = bench.setting.served_before or bench.requests

    @cached_property
    def scaled_option(self) -> int:
        """The option that autoscalers of one Deployment scale: the cheapest to follow the load with."""
        within = [index for index in self.candidates if self.bench.load_test(index) is not None]
        return cheapest_to_scale(self.bench, within or self.candidates)

    @cached_property
    def optimum(self) -> Optimum:
        """The offline optimum."""
        return find_optimum(self.bench, list(self.candidates))

    def result(self, name: str) -> PolicyResult:
        """Play a policy and take its figures."""
        run, notes = self.play(name)
        return self._figures(name, run, (*notes, *self.notes))

    def play(self, name: str) -> Played:
        """Run a policy, tuned."""
        if name == _OPTIMUM:
            return self._play_optimum()
        if name == _TRIMTAB:
            return self.bench.run(self.trimtab()), ()
        return BASELINES[name](self)

    def trimtab(self) -> Trimtab:
        """The planner as a policy."""
        bench = self.bench
        return Trimtab(bench.options, list(self.candidates), bench.setting, self.first, usd_per_gram=bench.usd_per_gram)

    def _play_optimum(self) -> Played:
        found, bench = self.optimum, self.bench
        bound = fluid_bound_usd(bench, list(self.candidates))
        notes = [
            "The cheapest schedule found for arrivals known in advance, replayed through the simulator."
            f" No policy can cost less than {bound:.2f} USD (a bound that lets no replica ever wait).",
        ]
        if not found.attained:
            notes.append("No schedule was found that attains the target: this is the one that comes nearest.")
        return found.run, tuple(notes)

    def with_ratios(self, results: tuple[PolicyResult, ...]) -> tuple[PolicyResult, ...]:
        """The results with their ratio to the optimum, where that is among them."""
        if not any(result.policy == _OPTIMUM for result in results):
            return results
        least = bench_objective(self.bench, self.optimum.run)
        return tuple(replace(result, ratio_to_optimum=self._objective(result) / least) for result in results)

    def _objective(self, result: PolicyResult) -> float:
        priced = result.carbon_g * self.bench.usd_per_gram if self.bench.usd_per_gram else 0.0
        return result.cost + priced

    def _figures(self, name: str, run: Run, notes: tuple[str, ...]) -> PolicyResult:
        bench, setting = self.bench, self.bench.setting
        hours = np.arange(len(run.usd)) * setting.interval_seconds / 3600.0
        kwh = run.joules / 3.6e6
        known = setting.grams_per_kwh is not None
        grams = kwh * np.array([setting.intensity(hour * 3600.0) for hour in hours]) if known else np.zeros(0)
        answered = run.option >= 0
        accuracies = np.array([option.accuracy for option in bench.options])
        plan_ms = run.plan_seconds * 1e3
        return PolicyResult(
            policy=name,
            carbon_g=float(grams.sum()) if known else float("nan"),
            cost=float(run.usd.sum()),
            energy_kwh=float(kwh.sum()),
            replica_hours=float(run.replica_seconds.sum()) / 3600.0,
            switches=run.switches,
            slo_attainment=attainment(run, setting.slo_seconds),
            mean_accuracy=float(accuracies[run.option[answered]].mean()) if answered.any() else None,
            plan_ms_p50=float(np.quantile(plan_ms, 0.5)) if len(plan_ms) else None,
            plan_ms_p99=float(np.quantile(plan_ms, 0.99)) if len(plan_ms) else None,
            outcomes=Outcomes(carbon_grams=grams, cost_usd=run.usd),
            timeline=Timeline(hours.astype(np.float64), run.replica_seconds / setting.interval_seconds, run.rates),
            notes=notes,
        )

    def tuned_hpa(
        self, what: str, make: Callable[[int, int, int, float], Policy], full: Callable[[int], float]
    ) -> Played:
        """A baseline that scales one Deployment to a target, at the headroom that was found for it."""
        bench, option = self.bench, self.scaled_option
        if bench.load_test(option) is None:
            return self._out_of_reach()
        edge = full(option)
        most = _MOST_TIMES_PEAK * count_for(bench, option, bench.peak_rate())

        def policy(headroom: float) -> Policy:
            return make(option, count_for(bench, option, bench.mean_rate, headroom), most, edge * headroom)

        found = tune(bench, policy)
        reached = "" if found.attained else "; with no headroom does it attain the target"
        note = (
            f"Scales {bench.options[option].name} to {edge * found.headroom:.3g} {what} for each replica:"
            f" {found.headroom:.0%} of what a load test had at the edge of the target{reached}."
        )
        return found.run, (note,)

    def _out_of_reach(self) -> Played:
        option = self.scaled_option
        run = self.bench.run(Static(option, 1))
        return run, ("No option reaches the target at any load: one replica stands in.",)


def _fixed_peak(contest: Contest) -> Played:
    policy = fixed_peak(contest.bench, list(contest.candidates))
    ((option, count),) = policy.start().items()
    note = f"{count} x {contest.bench.options[option].name}: the fewest that attain the target on this trace."
    return contest.bench.run(policy), (note,)


def _hpa_cpu(contest: Contest) -> Played:
    return contest.tuned_hpa("utilization", hpa_cpu, lambda index: _test(contest, index).utilization)


def _hpa_concurrency(contest: Contest) -> Played:
    return contest.tuned_hpa("requests in flight", hpa_concurrency, lambda index: _test(contest, index).concurrency)


def _keda_rate(contest: Contest) -> Played:
    return contest.tuned_hpa("requests/s", keda_rate, lambda index: _test(contest, index).requests_per_second)


def _test(contest: Contest, option: int) -> LoadTest:
    test = contest.bench.load_test(option)
    assert test is not None
    return test


def _infaas(contest: Contest) -> Played:
    bench = contest.bench
    tests = {index: bench.load_test(index) for index in contest.candidates}
    carried = {index: test.requests_per_second for index, test in tests.items() if test is not None}
    if not carried:
        return contest._out_of_reach()
    prices = [option.usd_per_hour for option in bench.options]

    def policy(headroom: float) -> Infaas:
        throughput = {index: rate * headroom for index, rate in carried.items()}
        return Infaas(throughput, prices, bench.mean_rate, _INFAAS_WINDOW_SECONDS)

    found = tune(bench, policy)
    reached = "" if found.attained else "; with no headroom does it attain the target"
    return found.run, (f"Throughput taken as {found.headroom:.0%} of what load tests had{reached}.",)


def _wva(contest: Contest) -> Played:
    bench, setting = contest.bench, contest.bench.setting

    def policy(headroom: float) -> Wva:
        target = setting.slo_seconds, setting.quantile
        return Wva(bench.options, contest.candidates, *target, contest.first, bench.mean_rate, headroom)

    found = tune(bench, policy)
    reached = "" if found.attained else "; with no headroom does it attain the target"
    return found.run, (f"Its queueing model's rates are taken at {found.headroom:.0%}{reached}.",)


def _clover(contest: Contest) -> Played:
    bench, setting = contest.bench, contest.bench.setting
    ((option, count),) = fixed_peak(bench, list(contest.candidates)).start().items()
    load = bench.requests.poisson(bench.peak_rate(), _CLOVER_TEST_SECONDS, setting.seed)
    accuracies = np.array([way.accuracy for way in bench.options])

    def evaluate(fleet: Desired) -> Evaluation:
        run = simulate(load, bench.options, _Fixed(fleet), setting)
        return Evaluation(
            joules_per_request=float(run.joules.sum()) / len(load),
            accuracy=float(accuracies[run.option].mean()),
            latency_seconds=float(np.quantile(run.latency_seconds, setting.quantile)),
        )

    policy = Clover(
        bench.options, list(contest.candidates), (option, count), setting.slo_seconds, evaluate,
        setting.interval_seconds, setting.intensity(0.0), setting.seed,
    )  # fmt: skip
    note = (
        f"On the {count * bench.options[option].units:g} accelerators that {bench.options[option].name} needs at peak."
    )
    return bench.run(policy), (note,)


class _Fixed(Static):
    def __init__(self, fleet: Desired) -> None:
        super().__init__(0, 0)
        self._desired = dict(fleet)


BASELINES: dict[str, Callable[[Contest], Played]] = {
    "hpa-cpu": _hpa_cpu,
    "hpa-concurrency": _hpa_concurrency,
    "keda-rate": _keda_rate,
    "fixed-peak": _fixed_peak,
    "infaas": _infaas,
    "clover": _clover,
    "wva": _wva,
}
"""Published policies."""
