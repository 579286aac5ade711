"""What defines each baseline, and the optimum against brute force."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulate.serving.test_engine import option, poisson, single
from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, TokenSpeed
from trimtab.simulate.serving.bench import Bench
from trimtab.simulate.serving.engine import Setting, attainment
from trimtab.simulate.serving.policies import optimum as optimum_module
from trimtab.simulate.serving.policies.clover import Clover, Evaluation
from trimtab.simulate.serving.policies.fixed_peak import fixed_peak
from trimtab.simulate.serving.policies.hpa import Behavior, from_pods, from_total
from trimtab.simulate.serving.policies.hpa_cpu import hpa_cpu
from trimtab.simulate.serving.policies.infaas import Infaas
from trimtab.simulate.serving.policies.keda_rate import keda_rate
from trimtab.simulate.serving.policies.optimum import Planned, Schedule, find_optimum, fluid_bound_usd
from trimtab.simulate.serving.policies.wva import StateQueue, Wva, highest_rate, parameters
from trimtab.simulate.serving.policy import Desired, Observation, OptionState
from trimtab.simulate.serving.requests import Requests
from trimtab.simulate.serving.sizing import smallest_constant


def seen(now: float, rate: float, *, ready: int = 1, starting: int = 0, utilization: float = 0.0) -> Observation:
    whole = np.full(10, 500)
    return Observation(
        now_seconds=now,
        window_seconds=15.0,
        requests_per_second=rate,
        rates=np.full(30, rate),
        interval_seconds=10.0,
        concurrency=rate,
        waiting=0,
        options=(OptionState(ready, starting, utilization), OptionState(0, 0, 0.0)),
        latency_seconds=None,
        late_share=0.0,
        recent=Requests(np.zeros(10), whole, whole),
        lengths=(np.full(30, 500.0), np.full(30, 500.0)),
        grams_per_kwh=0.0,
    )


class TestHpa:
    """Examples of the Kubernetes documentation, and of its controller's own tests."""

    def test_twice_the_value_doubles_and_half_of_it_halves(self) -> None:
        # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled"
        assert from_pods(0.2, 3, 0, 0.1) == 6
        assert from_pods(0.05, 4, 0, 0.1) == 2

    @pytest.mark.parametrize("ratio", [0.91, 0.95, 1.0, 1.05, 1.09])
    def test_within_the_tolerance_nothing_changes(self, ratio: float) -> None:
        assert from_pods(ratio * 0.5, 7, 0, 0.5) == 7
        assert from_total(ratio * 7 * 2.0, 7, 2.0) == 7

    def test_counts_are_rounded_up(self) -> None:
        # The controller's test "scale up": three pods at a mean of 500m of 1000m requested, target 30 %.
        assert from_pods(0.5, 3, 0, 0.3) == 5
        # "scale down": five pods at 28 %, target 50 %.
        assert from_pods(0.28, 5, 0, 0.5) == 3

    def test_pods_that_are_not_ready_dampen_the_way_up_only(self) -> None:
        # The controller's test "scale up with unready pods": one of three not ready, 500m and 700m, target 30 %.
        assert from_pods(0.6, 2, 1, 0.3) == 4
        # Two of three not ready at 400m: 133m in the mean, under the target: nothing changes.
        assert from_pods(0.4, 1, 2, 0.3) == 3
        # On the way down only ready pods count.
        assert from_pods(0.1, 4, 1, 0.3) == 2

    def test_up_by_double_or_four_in_fifteen_seconds(self) -> None:
        assert Behavior(1).limit(15.0, 1, 100) == 5
        assert Behavior(10).limit(15.0, 10, 100) == 20
        behavior = Behavior(10)
        assert behavior.limit(15.0, 10, 15) == 15
        assert behavior.limit(20.0, 15, 100) == 20
        assert behavior.limit(35.0, 20, 100) == 40

    def test_down_to_the_highest_recommendation_of_five_minutes(self) -> None:
        behavior = Behavior(8)
        assert [behavior.limit(now, 8, 4) for now in (15.0, 150.0, 300.0)] == [8, 8, 8]
        assert behavior.limit(315.0, 8, 3) == 4
        assert behavior.limit(330.0, 4, 3) == 4

    def test_never_below_one(self) -> None:
        behavior = Behavior(1)
        assert behavior.limit(400.0, 1, 0) == 1

    def test_policies_read_their_metric(self) -> None:
        assert hpa_cpu(0, 2, 9, 0.5).decide(seen(15.0, 1.0, ready=2, utilization=1.0)) == {0: 4}
        assert keda_rate(0, 2, 9, 2.0).decide(seen(15.0, 9.0, ready=2)) == {0: 5}
        assert keda_rate(0, 2, 3, 2.0).decide(seen(15.0, 9.0, ready=2)) == {0: 3}
        assert keda_rate(0, 2, 9, 2.0).start() == {0: 2}


class TestInfaas:
    """Cheapest fitting variant, slack on the way up, patience on the way down."""

    def test_takes_the_cheapest_fleet_for_the_load(self) -> None:
        # Small replicas are cheaper for little load, large ones for much.
        policy = {rate: Infaas({0: 1.0, 1: 10.0}, [1.0, 8.0], rate, 10.0).start() for rate in (0.5, 9.0)}
        assert policy == {0.5: {0: 1}, 9.0: {1: 1}}

    def test_scales_up_within_five_percent_of_what_it_carries(self) -> None:
        policy = Infaas({0: 1.0}, [1.0], 1.8, 10.0)
        assert policy.start() == {0: 2}
        assert policy.decide(seen(5.0, 1.89)) == {0: 2}
        assert policy.decide(seen(10.0, 1.92)) == {0: 3}

    def test_scales_down_after_twenty_seconds_one_at_a_time(self) -> None:
        policy = Infaas({0: 1.0}, [1.0], 3.5, 10.0)
        assert policy.start() == {0: 4}
        counts = [policy.decide(seen(now, 0.5))[0] for now in np.arange(5.0, 75.0, 5.0)]
        assert counts == [4, 4, 4, 4, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2]

    def test_changes_the_variant_when_another_is_cheaper_for_the_risen_load(self) -> None:
        policy = Infaas({0: 1.0, 1: 10.0}, [1.0, 8.0], 0.5, 10.0)
        assert policy.decide(seen(5.0, 9.4)) == {1: 1}


class TestWva:
    """The queue with state-dependent rates, and the sizing by it."""

    @pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
    def test_one_server_is_m_m_1(self, load: float) -> None:
        queue = StateQueue(np.ones(1))
        blocked = load**11 * (1 - load) / (1 - load**12)
        wait, in_service = queue.solve(load)
        count = np.arange(12)
        share = load**count * (1 - load) / (1 - load**12)
        waiting = float((share * np.maximum(count - 1, 0)).sum())
        assert wait == pytest.approx(waiting / (load * (1 - blocked)))
        assert in_service == pytest.approx(1 - share[0])

    def test_a_batch_that_costs_no_time_never_waits(self) -> None:
        # As many servers as fit: each request is served at once and alone in its time.
        queue = StateQueue(np.ones(50))
        wait, in_service = queue.solve(5.0)
        assert wait == pytest.approx(0.0, abs=1e-9)
        assert in_service == pytest.approx(5.0, rel=1e-6)

    def test_parameters_of_a_linear_profile_are_found(self) -> None:
        speed = TokenSpeed((100, 300), (0.03, 0.05), (1, 11), (0.02, 0.04), 16)
        assert parameters(speed) == pytest.approx((0.02, 1e-4, 0.018, 0.002))

    def test_a_tighter_target_leaves_a_lower_rate(self) -> None:
        way = option(TokenSpeed((100, 1000), (0.05, 0.4), (1, 16), (0.03, 0.05), 16))
        rates = [highest_rate(way, 500, 100, target, 0.95) for target in (0.1, 0.5, 1.0, 5.0)]
        assert rates[0] == 0.0
        assert 0.0 < rates[1] < rates[2] < rates[3]

    def test_replicas_are_the_load_over_that_rate(self) -> None:
        way = option(BatchSpeed((1,), (0.1,), 1))
        most = highest_rate(way, 1, 1, 1.0, 0.95)
        policy = Wva([way], [0], 1.0, 0.95, seen(0.0, 1.0).recent, 3.5 * most)
        assert policy.start() == {0: 4}
        assert policy.decide(seen(60.0, 5.5 * most, ready=4)) == {0: 6}

    def test_a_change_of_accelerator_must_pay_for_its_penalty(self) -> None:
        here, there = option(BatchSpeed((1,), (0.1,), 1)), option(BatchSpeed((1,), (0.1,), 1))
        first = seen(0.0, 1.0).recent
        for price, chosen in ((0.95, 0), (0.7, 1)):
            policy = Wva([here, there], [0, 1], 1.0, 0.95, first, 1.0)
            policy._options = [here, replace(there, usd_per_hour=here.usd_per_hour * price)]
            assert list(policy.decide(seen(60.0, 1.0))) == [chosen]


class TestClover:
    """Its objective and its annealing."""

    @staticmethod
    def policy(evaluate: Callable[[Desired], Evaluation], grams: float = 250.0) -> Clover:
        ways = (
            option(single(0.1, 0.0), accuracy=0.9),
            option(single(0.05, 0.0), accuracy=0.8),
            option(single(0.05, 0.0), accuracy=0.8, units=2.0),
        )
        return Clover(ways, [0, 1, 2], (0, 4), 1.0, evaluate, 10.0, grams, seed=1)

    @staticmethod
    def evaluation(fleet: Desired, joules: float) -> Evaluation:
        small = sum(count for index, count in fleet.items() if index) / sum(fleet.values())
        return Evaluation(100.0 - joules * small, 0.9 - 0.1 * small, 0.5)

    def test_the_objective_is_that_of_the_paper(self) -> None:
        policy = self.policy(lambda fleet: self.evaluation(fleet, 40.0))
        score = policy.score(Evaluation(50.0, 0.81, 0.5))
        assert score == pytest.approx(0.5 * (1 - 50 / 100) - 0.5 * 0.1)

    def test_takes_small_variants_when_they_save_carbon_and_accurate_ones_when_not(self) -> None:
        saving = self.policy(lambda fleet: self.evaluation(fleet, 60.0)).start()
        assert saving.get(0, 0) < 2
        none = self.policy(lambda fleet: self.evaluation(fleet, -5.0)).start()
        assert none == {0: 4}

    def test_never_a_mix_beyond_the_target(self) -> None:
        def slow(fleet: Desired) -> Evaluation:
            found = self.evaluation(fleet, 60.0)
            return replace(found, latency_seconds=2.0) if fleet.get(0, 0) < 4 else found

        assert self.policy(slow).start() == {0: 4}

    def test_all_accelerators_are_used(self) -> None:
        fleets: list[Desired] = []

        def evaluate(fleet: Desired) -> Evaluation:
            fleets.append(fleet)
            return self.evaluation(fleet, 40.0)

        self.policy(evaluate)
        units = [sum(count * (2.0 if index == 2 else 1.0) for index, count in fleet.items()) for fleet in fleets]
        assert len(fleets) > 3
        assert units == [4.0] * len(fleets)


def bench(requests: Requests, *ways: ServingOption, slo: float = 1.0, quantile: float = 0.9) -> Bench:
    return Bench(requests, ways, Setting(slo_seconds=slo, quantile=quantile))


def two_levels(low: float, high: float, seconds: float = 240.0) -> Requests:
    """Poisson arrivals whose rate rises and falls again."""
    first = poisson(low, int(low * seconds))
    second = poisson(high, int(high * seconds), seed=2)
    third = poisson(low, int(low * seconds), seed=3)
    times = np.concatenate([first.seconds, second.seconds + seconds, third.seconds + 2 * seconds])
    times.sort()
    whole = np.ones(len(times), dtype=np.int64)
    return Requests(times, whole, whole)


class TestFixedPeak:
    """The most accurate variant, as few replicas as attain the target."""

    def test_takes_the_most_accurate_at_the_smallest_count_that_attains(self) -> None:
        fast = option(single(0.1, 0.0), accuracy=0.7, usd_per_hour=0.1)
        best = option(single(0.5, 0.0), accuracy=0.9, usd_per_hour=5.0)
        contest = bench(two_levels(2.0, 6.0), fast, best)
        ((index, count),) = fixed_peak(contest, [0, 1]).start().items()
        assert index == 1
        assert contest.attained(contest.constant(1, count))
        assert not contest.attained(contest.constant(1, count - 1))


class TestOptimum:
    """The schedule attains the target, and costs no more than what else does."""

    def test_lies_between_the_bound_and_the_best_fixed_fleet(self) -> None:
        contest = bench(two_levels(2.0, 8.0), option(single(0.5, 0.0), start_seconds=30.0))
        found = find_optimum(contest, [0])
        count, attained = smallest_constant(contest, 0)
        assert attained
        assert found.attained
        assert attainment(found.run, 1.0) >= 0.9
        fixed = float(contest.constant(0, count).usd.sum())
        assert fluid_bound_usd(contest, [0]) <= float(found.run.usd.sum()) < 0.8 * fixed

    def test_replicas_are_ordered_as_long_before_as_they_take_to_start(self) -> None:
        contest = bench(two_levels(2.0, 8.0, 60.0), option(single(0.5, 0.0), start_seconds=25.0))
        length = 18
        count = np.array([2] * 8 + [5] * 4 + [1] * 6)
        planned = Planned(contest, Schedule(np.zeros(length, dtype=np.int64), count))
        held = [planned.start(), *(planned.decide(seen(0.0, 0.0)) for _ in range(length - 1))]
        assert [fleet[0] for fleet in held] == [2] * 5 + [5] * 7 + [1] * 6

    @given(
        st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=3, max_size=3),
        st.floats(0.01, 2.0),
        st.floats(0.0, 60.0),
    )
    def test_the_schedule_is_the_cheapest_of_all_sequences(
        self, misses: list[list[int]], price: float, start: float
    ) -> None:
        ways = (option(single(0.5, 0.0), start_seconds=start), option(single(0.1, 0.0), usd_per_hour=6.0))
        contest = bench(poisson(1.0, 40), *ways)
        states = [(0, 1), (0, 2), (1, 1)]
        costs = optimum_module._Costs(contest, states)
        penalty = price * 0.01 * np.array(misses, dtype=np.float64)

        def cost(path: tuple[int, ...]) -> float:
            held = sum(costs.hold[state] + penalty[state, step] for step, state in enumerate(path))
            return float(held + sum(costs.change[a, b] for a, b in itertools.pairwise(path)))

        found = optimum_module._schedule(states, costs, penalty)
        chosen = tuple(states.index((int(o), int(c))) for o, c in zip(found.option, found.count, strict=True))
        best = min(cost(path) for path in itertools.product(range(3), repeat=4))
        assert math.isclose(cost(chosen), best, rel_tol=1e-12)
