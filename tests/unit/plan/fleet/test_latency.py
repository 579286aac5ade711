"""The latency model against exact queues, a simulation, and a real Triton server."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plan.fleet.queue_reference import simulate
from trimtab.plan.fleet.curves import Curves, stack
from trimtab.plan.fleet.latency import busy_share, fewest_replicas, latency_seconds
from trimtab.plan.fleet.profiles import BatchProfile, Profile, TokenProfile

TRITON = Path(__file__).parents[3] / "data" / "triton_model_analyzer" / "vgg19_libtorch_request_rate.csv"


def one(value: float) -> np.ndarray:
    return np.array([value], dtype=np.float64)


def predicted(
    profile: Profile, rate: float, replicas: float = 1.0, quantile: float = 0.95, pooled: bool = False
) -> float:
    return float(latency_seconds(stack([profile]), one(rate), one(replicas), one(quantile), pooled)[0])


@pytest.mark.parametrize("quantile", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("load", [0.2, 0.5, 0.7, 0.9, 0.95])
def test_without_batching_and_with_exponential_times_it_is_near_the_exact_mm1_queue(
    quantile: float, load: float
) -> None:
    profile = BatchProfile((1,), (1.0,), variability=1.0, tail_ratio=-math.log(1.0 - quantile))
    exact = -math.log(1.0 - quantile) / (1.0 - load)
    assert predicted(profile, load, quantile=quantile) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("replicas", [4, 16])
@pytest.mark.parametrize("load", [0.85, 0.95])
def test_with_a_shared_queue_it_is_near_the_exact_mmc_queue(replicas: int, load: float) -> None:
    """Erlang's C formula: the wait is exponential with mean 1 / (c (1 - u)) for those who wait at all."""
    offered = replicas * load
    terms = [offered**k / math.factorial(k) for k in range(replicas)]
    last = offered**replicas / math.factorial(replicas) / (1.0 - load)
    waits = last / (sum(terms) + last)
    wait = math.log(waits / 0.01) / (replicas * (1.0 - load))
    deterministic = BatchProfile((1,), (1.0,), variability=1.0, tail_ratio=1.0)
    estimate = predicted(deterministic, offered, replicas, 0.99, pooled=True) - 1.0
    assert estimate == pytest.approx(wait, rel=0.35)


PROFILES = {
    "batching gains much": BatchProfile((1, 32), (1.0, 4.1), max_batch=32, variability=0.0),
    "batching gains some": BatchProfile((1, 8), (1.0, 2.4), max_batch=8, variability=0.0),
    "batching gains little": BatchProfile((1, 8), (1.0, 6.6), max_batch=8, variability=0.0),
    "times vary": BatchProfile((1, 8), (1.0, 2.4), max_batch=8, variability=0.05, tail_ratio=1.55),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize(("replicas", "pooled"), [(1, False), (4, True)])
@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_with_batching_it_is_near_a_simulation_and_rather_above(
    name: str, replicas: int, pooled: bool, load: float
) -> None:
    profile = PROFILES[name]
    rate = load * replicas * profile.max_batch / profile.seconds[-1]
    measured = float(np.quantile(simulate(profile, rate, replicas, pooled, 25_000, seed=1), 0.99))
    ratio = predicted(profile, rate, replicas, 0.99, pooled) / measured
    assert 0.8 < ratio < 1.45


def _triton() -> list[tuple[int, float, float, float]]:
    """(largest batch, rate asked for, rate served, p99 in seconds) of the single-instance configurations with batching.

    The default configuration (128) has no dynamic batcher: it served as the one with batches of 1.
    """
    with TRITON.open() as file:
        rows = [r for r in csv.DictReader(file) if r["Instance Group"] == "1:GPU" and r["Max Batch Size"] != "128"]
    return [
        (
            int(r["Max Batch Size"]),
            float(r["Request Rate"]),
            float(r["Throughput (infer/sec)"]),
            float(r["p99 Latency (ms)"]) / 1000.0,
        )
        for r in rows
    ]


def _triton_profile(largest: int) -> BatchProfile:
    """Profile of VGG19 from what was served at the highest rate, where every batch is full, and the tail at the lowest.

    At the highest rates the client kept four requests in flight (throughput times latency says so), so that batches of
    up to four were filled.
    """
    rows = _triton()
    served = {b: max(rows, key=lambda r: (r[0] == b, r[1]))[2] for b in (1, 2, 4) if b <= largest}
    seconds = [b / served[b] for b in sorted(served)]
    quiet = min((r for r in rows if r[0] == largest), key=lambda r: r[1])[3]
    return BatchProfile(
        tuple(sorted(served)), tuple(seconds), max_batch=largest, variability=0.0, tail_ratio=quiet / seconds[0]
    )


def test_it_knows_which_rates_a_real_triton_keeps_up_with() -> None:
    rows = _triton()
    assert len(rows) == 26
    for largest, asked, served, _ in rows:
        keeps_up = served > 0.93 * asked or asked == 32.0
        expected = math.isfinite(predicted(_triton_profile(largest), asked, quantile=0.99))
        # 16 and 32 requests a second were served as 14.7 and 36.0: the client's clock, not the server.
        assert keeps_up == expected or asked == 16.0, f"batches of {largest} at {asked}/s: served {served}/s"


@pytest.mark.parametrize(("largest", "asked", "measured"), [(b, a, p99) for b, a, _, p99 in _triton() if a <= 128.0])
def test_it_is_near_the_p99_of_a_real_triton_or_above(largest: int, asked: float, measured: float) -> None:
    """Above where the load is high: arrivals are taken as Poisson, the client held back with four in flight."""
    assert 0.75 < predicted(_triton_profile(largest), asked, quantile=0.99) / measured < (1.25 if asked < 128 else 1.8)


@pytest.mark.parametrize("largest", [1, 2, 4])
def test_saturated_triton_answers_as_fast_as_its_full_batches_follow_each_other(largest: int) -> None:
    """With four requests in flight, the last waits for 4 / b batches: no queueing, so this checks the profile alone."""
    saturated = [p99 for b, asked, _, p99 in _triton() if b == largest and asked >= 512.0]
    curves = stack([_triton_profile(largest)])
    assert saturated == pytest.approx(
        [4.0 / largest * float(curves.execution.at(one(largest))[0])] * len(saturated), rel=0.05
    )


profiles = st.builds(
    lambda first, gain, size, spread, tail: BatchProfile(
        (1, size) if size > 1 else (1,),
        (first, first * (1.0 + gain * (size - 1))) if size > 1 else (first,),
        max_batch=size,
        variability=spread,
        tail_ratio=tail,
    ),
    st.floats(0.001, 0.1),
    st.floats(0.0, 1.0),
    st.integers(1, 64),
    st.floats(0.0, 1.0),
    st.floats(1.0, 3.0),
)


@given(profile=profiles, load=st.floats(0.0, 1.2), more=st.floats(0.0, 0.3), pooled=st.booleans())
def test_latency_grows_with_load_and_is_infinite_beyond_capacity(
    profile: BatchProfile, load: float, more: float, pooled: bool
) -> None:
    capacity = 3.0 * profile.max_batch / profile.seconds[-1]
    low = predicted(profile, load * capacity, 3.0, 0.95, pooled)
    high = predicted(profile, (load + more) * capacity, 3.0, 0.95, pooled)
    assert low <= high * (1.0 + 1e-9)
    assert math.isinf(low) == (load >= 1.0) or load == pytest.approx(1.0)


@given(profile=profiles, rate=st.floats(0.0, 5000.0), more=st.floats(0.0, 500.0), pooled=st.booleans())
def test_the_fewest_replicas_are_enough_one_less_is_not_and_more_load_needs_no_fewer(
    profile: BatchProfile, rate: float, more: float, pooled: bool
) -> None:
    bound = 5.0 * profile.seconds[-1] * profile.tail_ratio

    def fewest(load: float) -> float:
        return float(fewest_replicas(stack([profile]), one(load), one(bound), one(0.95), pooled, one(500.0))[0])

    count = fewest(rate)
    if math.isfinite(count):
        assert predicted(profile, rate, count, 0.95, pooled) <= bound
        assert count == 1.0 or predicted(profile, rate, count - 1.0, 0.95, pooled) > bound
    assert count <= fewest(rate + more)


@given(profile=profiles, load=st.floats(0.05, 0.95), replicas=st.integers(2, 30))
def test_a_balancer_that_knows_who_is_idle_is_never_slower(profile: BatchProfile, load: float, replicas: int) -> None:
    rate = load * replicas * profile.max_batch / profile.seconds[-1]
    assert predicted(profile, rate, replicas, 0.95, True) <= predicted(profile, rate, replicas, 0.95, False) * 1.001


def llm(slots: int = 16) -> TokenProfile:
    return TokenProfile(
        prefill_seconds=0.2, prefill_tail_seconds=0.5, prefill_variability=0.7, decode_batches=(1, 160),
        token_seconds=(0.03, 0.05), tokens_per_request=200.0, max_batch=slots,
    )  # fmt: skip


def test_a_language_model_is_bound_by_prefill_and_by_slots() -> None:
    """200 tokens at 30 ms and more hold a slot for over 6 s: 8 slots cannot carry 1.6 requests a second, 160 can."""
    assert math.isinf(predicted(llm(8), 1.6, quantile=0.99))
    assert predicted(llm(160), 1.6, quantile=0.99) < 2.0
    assert math.isinf(predicted(llm(10_000), 5.0, quantile=0.99))
    quiet = predicted(llm(), 0.01, quantile=0.99)
    assert quiet == pytest.approx(0.5, rel=0.05)


def test_a_language_model_is_busy_while_it_decodes() -> None:
    curves: Curves = stack([llm()])
    assert float(busy_share(curves, one(0.5), one(1.0), False)[0]) > 0.9
    assert float(busy_share(curves, one(0.0), one(1.0), False)[0]) == 0.0


@pytest.mark.parametrize(
    ("batches", "seconds"), [((), ()), ((2, 1), (0.1, 0.2)), ((1, 2), (0.1,)), ((1,), (math.nan,)), ((0,), (0.1,))]
)
def test_a_profile_that_is_none_is_refused(batches: tuple[int, ...], seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="profile"):
        stack([BatchProfile(batches, seconds)])
