"""The engine against queueing theory, and what must hold whatever the policy does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, Speed, TokenSpeed
from trimtab.simulate.serving.engine import Run, Setting, simulate
from trimtab.simulate.serving.policies.static import Static
from trimtab.simulate.serving.policy import Desired, Observation
from trimtab.simulate.serving.requests import Requests


def option(speed: Speed, **changes: float) -> ServingOption:
    figures: dict[str, float] = {
        "accuracy": 0.9, "usd_per_hour": 3.6, "idle_watts": 100.0, "busy_watts": 300.0, "decode_watts": 200.0,
        "start_seconds": 30.0,
    }  # fmt: skip
    return ServingOption("v", "h", speed=speed, **(figures | changes))  # type: ignore[arg-type]


def single(seconds: float, variability: float) -> BatchSpeed:
    return BatchSpeed(batches=(1,), seconds=(seconds,), max_batch=1, variability=variability)


def poisson(rate: float, count: int, seed: int = 1) -> Requests:
    gaps = np.random.default_rng(seed).exponential(1.0 / rate, count)
    tokens = np.ones(count, dtype=np.int64)
    return Requests(np.cumsum(gaps), tokens, tokens)


def at_fixed_rate(gap: float, count: int, prompt: int = 1, output: int = 1) -> Requests:
    whole = np.ones(count, dtype=np.int64)
    return Requests(np.arange(count) * gap, whole * prompt, whole * output)


SETTING = Setting(slo_seconds=1.0, quantile=0.95)


@pytest.mark.parametrize("utilization", [0.5, 0.8])
def test_wait_at_one_server_with_fixed_service_is_that_of_m_d_1(utilization: float) -> None:
    run = simulate(poisson(utilization, 60_000), [option(single(1.0, 0.0))], Static(0, 1), SETTING)
    expected = 1.0 + utilization / (2 * (1 - utilization))
    assert np.mean(run.latency_seconds) == pytest.approx(expected, rel=0.05)


def test_wait_at_one_server_follows_pollaczek_and_khinchine() -> None:
    utilization, variability = 0.7, 1.0
    run = simulate(poisson(utilization, 100_000), [option(single(1.0, variability))], Static(0, 1), SETTING)
    expected = 1.0 + utilization * (1 + variability) / (2 * (1 - utilization))
    assert np.mean(run.latency_seconds) == pytest.approx(expected, rel=0.06)


def test_prefills_of_a_language_model_are_a_queue_m_m_1() -> None:
    # Exponential prompt lengths and one token of output: prefills are all there is.
    requests = poisson(0.6, 80_000)
    prompts = np.maximum(np.random.default_rng(2).exponential(1000.0, len(requests)), 1).astype(np.int64)
    speed = TokenSpeed((1000,), (1.0,), (1,), (0.05,), max_batch=4)
    requests = Requests(requests.seconds, prompts, requests.output_tokens)
    proportional = TokenSpeed((1, 1000), (0.001, 1.0), (1,), (0.05,), max_batch=4)
    run = simulate(requests, [option(proportional)], Static(0, 1), SETTING)
    assert np.mean(run.latency_seconds) == pytest.approx(1 / (1 - 0.6), rel=0.05)
    assert speed.prefill(np.array([2000])) == pytest.approx([2.0])


def test_more_servers_behind_the_balancer_wait_less_than_apart() -> None:
    requests = poisson(3.2, 40_000)
    together = simulate(requests, [option(single(1.0, 0.0))], Static(0, 4), SETTING)
    apart = 1.0 + 0.8 / (2 * (1 - 0.8))
    assert np.mean(together.latency_seconds) < 0.6 * apart


def test_a_full_batch_is_executed_as_one() -> None:
    speed = BatchSpeed(batches=(1, 4), seconds=(1.0, 1.6), max_batch=4, overhead_seconds=0.5)
    seconds = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    ones = np.ones(5, dtype=np.int64)
    run = simulate(Requests(seconds, ones, ones), [option(speed)], Static(0, 1), SETTING)
    # The first is alone until 1.0; the other four end together at 2.6; half a second more on the way.
    assert run.latency_seconds == pytest.approx([1.5, 3.0, 2.9, 2.8, 2.7])


def test_the_batcher_holds_back_until_its_delay_or_a_full_batch() -> None:
    speed = BatchSpeed(batches=(1, 2), seconds=(1.0, 1.0), max_batch=2, queue_delay_seconds=0.3)
    seconds = np.array([0.0, 0.1, 5.0])
    ones = np.ones(3, dtype=np.int64)
    run = simulate(Requests(seconds, ones, ones), [option(speed)], Static(0, 1), SETTING)
    assert run.latency_seconds == pytest.approx([1.1, 1.0, 1.3])


def test_sequences_decode_together_and_a_prefill_stops_them() -> None:
    speed = TokenSpeed((100,), (1.0,), (1, 2), (0.1, 0.2), max_batch=2)
    requests = Requests(np.array([0.0, 1.5]), np.array([100, 100]), np.array([11, 11]))
    run = simulate(requests, [option(speed)], Static(0, 1), SETTING)
    # First: prefilled at 1, five tokens until 1.5. Second: prefilled from 1.5 to 2.5. Then both at 0.2 s a token: the
    # first ends at 3.5, the second has five left, alone at 0.1 s: 4.0.
    assert run.latency_seconds == pytest.approx([1.0, 1.0])
    assert run.drained_seconds == pytest.approx(4.0)


def test_a_request_waits_for_a_slot() -> None:
    speed = TokenSpeed((100,), (1.0,), (1,), (0.1,), max_batch=1)
    requests = Requests(np.array([0.0, 0.0]), np.array([100, 100]), np.array([11, 11]))
    run = simulate(requests, [option(speed)], Static(0, 1), SETTING)
    assert run.latency_seconds == pytest.approx([1.0, 3.0])


def test_cost_and_energy_are_those_of_the_time_held_and_worked() -> None:
    run = simulate(at_fixed_rate(2.0, 50), [option(single(1.0, 0.0))], Static(0, 2), SETTING)
    assert run.usd.sum() == pytest.approx(2 * 100 / 3600 * 3.6)
    assert run.joules.sum() == pytest.approx(2 * 100 * 100 + 50 * 1.0 * 200)
    assert run.replica_seconds.sum() == pytest.approx(200)


class Script:
    """Asks for a prepared fleet at each interval."""

    interval_seconds = 10.0

    def __init__(self, *fleets: Desired) -> None:
        self.fleets = list(fleets)
        self.seen: list[Observation] = []

    def start(self) -> Desired:
        return self.fleets[0]

    def decide(self, seen: Observation) -> Desired:
        self.seen.append(seen)
        return self.fleets[min(len(self.seen), len(self.fleets) - 1)]


def test_a_new_replica_is_paid_from_the_decision_and_serves_after_its_start() -> None:
    script = Script({0: 1}, {0: 2})
    run = simulate(at_fixed_rate(1.0, 100), [option(single(0.5, 0.0), start_seconds=35.0)], script, SETTING)
    assert [seen.options[0].ready for seen in script.seen] == [1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert run.replica_seconds.tolist() == pytest.approx([10] + [20] * 9)


def test_a_removed_replica_finishes_what_it_has() -> None:
    speed = TokenSpeed((100,), (1.0,), (1, 8), (0.5, 0.5), max_batch=8)
    script = Script({0: 2}, {0: 1})
    run = simulate(at_fixed_rate(9.0, 4, 100, 41), [option(speed)], script, SETTING)
    # Each request lasts 21 s: the first replica, told to go at 10 s, has its request until 21 s.
    assert run.ended == 4
    assert run.replica_seconds.tolist() == pytest.approx([20, 20, 11])


def test_a_change_of_option_never_leaves_the_service_without_replicas() -> None:
    options = [option(single(0.2, 0.0)), option(single(0.1, 0.0), start_seconds=25.0, accuracy=0.8)]
    script = Script({0: 2}, {1: 1})
    run = simulate(at_fixed_rate(1.0, 60), options, script, SETTING)
    assert np.isfinite(run.latency_seconds).all()
    assert run.option[:35].tolist() == [0] * 35
    assert run.option[36:].tolist() == [1] * 24
    assert run.switches == 1


def test_a_variant_that_a_running_replica_can_load_needs_no_new_replica() -> None:
    options = [option(single(0.2, 0.0)), option(single(0.1, 0.0), load_seconds=5.0)]
    run = simulate(at_fixed_rate(1.0, 40), options, Script({0: 2}, {1: 2}), SETTING)
    assert run.replica_seconds.tolist() == pytest.approx([20, 20, 20, 20])
    assert run.option.tolist() == [0] * 15 + [1] * 25


def test_without_a_replica_requests_wait_for_one() -> None:
    run = simulate(at_fixed_rate(1.0, 20), [option(single(0.1, 0.0))], Script({}, {0: 1}), SETTING)
    # Decided at 10 s, serving at 40 s.
    assert run.latency_seconds[0] == pytest.approx(40.1)
    assert np.isfinite(run.latency_seconds).all()


def test_an_observation_says_what_happened() -> None:
    script = Script({0: 1})
    simulate(at_fixed_rate(2.0, 40), [option(single(1.0, 0.0))], script, SETTING)
    seen = script.seen[2]
    assert seen.requests_per_second == pytest.approx(0.5)
    assert seen.rates == pytest.approx([0.5, 0.5, 0.5])
    assert seen.options[0].utilization == pytest.approx(0.5)
    assert seen.concurrency == pytest.approx(0.5)
    assert seen.latency_seconds == pytest.approx(1.0)


speeds = st.one_of(
    st.builds(
        lambda batch, instances, delay, variability: BatchSpeed(
            (1, batch + 1), (0.1, 0.3), batch + 1, delay, instances, variability, 0.01
        ),
        st.integers(1, 8), st.integers(1, 2), st.floats(0, 0.2), st.floats(0, 2),
    ),
    st.builds(lambda slots: TokenSpeed((10, 100), (0.05, 0.4), (1, 9), (0.01, 0.03), slots), st.integers(1, 9)),
)  # fmt: skip


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Requests, list[ServingOption], list[Desired]]:
    gaps = draw(st.lists(st.floats(0, 3), min_size=1, max_size=80))
    tokens = draw(st.lists(st.integers(1, 200), min_size=len(gaps), max_size=len(gaps)))
    speed = draw(speeds)
    options = [
        option(speed, start_seconds=draw(st.floats(0, 40)), load_seconds=draw(st.sampled_from([0.0, 3.0])))
        for _ in range(2)
    ]
    counts = st.integers(0, 3)
    fleets = draw(st.lists(st.fixed_dictionaries({0: counts, 1: counts}), min_size=1, max_size=10))
    whole = np.array(tokens, dtype=np.int64)
    return Requests(np.cumsum(gaps), whole, whole), options, [{0: 1}, *fleets, {0: 1}]


def run_scene(scene: tuple[Requests, list[ServingOption], list[Desired]]) -> Run:
    requests, options, fleets = scene
    return simulate(requests, options, Script(*fleets), SETTING)


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_every_request_ends_exactly_once_whatever_the_fleet_does(
    scene: tuple[Requests, list[ServingOption], list[Desired]],
) -> None:
    _, options, _ = scene
    run = run_scene(scene)
    answered = np.isfinite(run.latency_seconds)
    assert run.ended == answered.sum()
    assert ((run.option >= 0) == answered).all()
    assert (run.latency_seconds[answered] > 0).all()
    assert (run.usd >= 0).all()
    least, most = (pick(o.idle_watts for o in options) for pick in (min, max))
    assert run.joules.sum() >= least * run.replica_seconds.sum() * (1 - 1e-9)
    assert run.joules.sum() <= (most + 200.0) * run.replica_seconds.sum() * (1 + 1e-9)
    assert math.isclose(run.usd.sum(), run.replica_seconds.sum() * 3.6 / 3600, rel_tol=1e-9)


@given(scenes())
@settings(max_examples=30, deadline=None)
def test_the_same_seed_gives_the_same_run(scene: tuple[Requests, list[ServingOption], list[Desired]]) -> None:
    one, two = run_scene(scene), run_scene(scene)
    assert (one.latency_seconds == two.latency_seconds).all()
    assert (one.joules == two.joules).all()


def too_many(factor: float, seconds: float) -> Requests:
    """More than a server of one request a second can do for a while, then less."""
    first = np.arange(0.0, seconds, 1.0 / factor)
    after = np.arange(seconds, 6.0 * seconds, 2.0)
    arrivals = np.concatenate((first, after))
    ones = np.ones(len(arrivals), dtype=np.int64)
    return Requests(arrivals, ones, ones)


@pytest.mark.parametrize("speed", [single(1.0, 0.0), TokenSpeed((1, 2), (1.0, 1.0), (1, 2), (0.1, 0.1), 2)])
def test_late_requests_served_last_make_only_the_surplus_late(speed: Speed) -> None:
    requests = too_many(1.25, 200.0)
    in_order = simulate(requests, [option(speed)], Static(0, 1), Setting(4.0, 0.95))
    late_last = simulate(requests, [option(speed)], Static(0, 1), Setting(4.0, 0.95, queue_timeout_seconds=3.0))
    surplus = (1.25 - 1.0) * 200.0
    late = [int((run.latency_seconds > 4.0).sum()) for run in (in_order, late_last)]
    assert late[0] > 2.5 * surplus
    assert 0.7 * surplus < late[1] < 1.3 * surplus
    # Nothing is lost, and those few pay with their wait.
    assert np.isfinite(late_last.latency_seconds).all()
    assert late_last.latency_seconds.max() > in_order.latency_seconds.max()
    assert late_last.ended == in_order.ended == len(requests)
