"""Sizes of fleets and targets of baselines, from load tests: each baseline is tuned as well as it can be.

A baseline's target (utilization, concurrency, rate, capacity) is that of a load test at the edge of the latency target,
times a headroom: the largest of `HEADROOMS` with which the policy attains the target on the trace itself. That is
hindsight which a user does not have; it makes the comparison at equal attainment, and is in the baselines' favour.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.simulate.serving.bench import Bench
from trimtab.simulate.serving.engine import Run, attainment
from trimtab.simulate.serving.policy import Policy

HEADROOMS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3)
_MOST_REPLICAS = 4096


@dataclass(frozen=True)
class Tuned:
    """A baseline at the headroom that was found for it."""

    run: Run
    headroom: float
    attained: bool


def tune(bench: Bench, make: Callable[[float], Policy]) -> Tuned:
    """The run of a policy at the largest headroom with which it attains the target; where none does, the best one.

    Args:
        bench: The comparison.
        make: The policy for a headroom.
    """
    best: Tuned | None = None
    for headroom in HEADROOMS:
        run = bench.run(make(headroom))
        if bench.attained(run):
            # Less of it costs more, as a rule: the first that attains the target is the cheapest that does.
            return Tuned(run, headroom, attained=True)
        slo_seconds = bench.setting.slo_seconds
        if best is None or attainment(run, slo_seconds) > attainment(best.run, slo_seconds):
            best = Tuned(run, headroom, attained=False)
    assert best is not None
    return best


def cheapest_to_scale(bench: Bench, candidates: Sequence[int]) -> int:
    """The option that costs least when its count follows the load minute by minute, each sized by load test."""

    def usd(index: int) -> float:
        test = bench.load_test(index)
        if test is None:
            return math.inf
        counts = np.maximum(np.ceil(bench.minute_rates() / test.requests_per_second), 1.0)
        return float(np.mean(counts)) * bench.options[index].usd_per_hour

    return min(candidates, key=lambda index: (usd(index), index))


def count_for(bench: Bench, option: int, requests_per_second: float, headroom: float = 1.0) -> int:
    """Replicas for a rate, by load test; one where the target is out of the option's reach."""
    test = bench.load_test(option)
    if test is None:
        return 1
    return max(math.ceil(requests_per_second / (test.requests_per_second * headroom) - 1e-9), 1)


def smallest_constant(bench: Bench, option: int) -> tuple[int, bool]:
    """The smallest fixed count that attains the target on the trace, and whether any does."""
    low = max(math.ceil(bench.mean_rate * bench.work_seconds(option)), 1)
    high = low
    if not bench.feasible(option):
        return count_for(bench, option, bench.peak_rate()), False
    while not bench.attained(bench.constant(option, high)):
        low, high = high + 1, high * 2
        if high > _MOST_REPLICAS:
            return high, False
    while low < high:
        middle = (low + high) // 2
        if bench.attained(bench.constant(option, middle)):
            high = middle
        else:
            low = middle + 1
    return high, True
