"""The operator with a past of the load: a step is followed at once, without a wild overshoot, and back again."""

from datetime import timedelta

import numpy as np
import pytest

from tests.unit.worlds import NOW, hardware, load, serving, serving_pod, snapshot, variant
from trimtab.plan.decisions import ServingDecision
from trimtab.plan.planner import plan

STATUS = {"activeVariant": "fp32", "variants": [{"name": "fp32", "version": 1}]}


def decide(rates: list[float], replicas: int, low_for: timedelta | None = None) -> ServingDecision:
    """One workload (100 requests/s are the most that a replica carries) with this past, an interval every 10 s."""
    status = dict(STATUS, lowSince=(NOW - low_for).isoformat()) if low_for else STATUS
    metrics = load(rates[-1], recent_requests_per_second=tuple(rates), recent_interval_seconds=10.0)
    state = serving(
        replicas, status, variants=["fp32"], metrics=metrics, maxReplicas=100,
        pods=tuple(serving_pod(f"pod-{i}") for i in range(replicas)),
    )  # fmt: skip
    built = variant("fp32", 0.99, 100.0)
    world = snapshot(
        hardware=(hardware(capacity_units=100.0, units_per_node=8.0),), variants=(built,), serving=(state,)
    )
    return plan(world).serving[0]


def around(level: float, intervals: int, seed: int = 0) -> list[float]:
    counts = np.random.default_rng(seed).poisson(level * 10.0, intervals)
    return [float(count) / 10.0 for count in counts]


def test_a_steady_past_asks_for_what_the_present_rate_alone_does() -> None:
    alone = decide([60.0], 1)
    assert alone.replicas == decide(around(60.0, 30), 1).replicas


@pytest.mark.parametrize("since", [1, 2, 3, 5, 10, 20])
def test_a_step_up_is_followed_at_once_and_never_by_much_more_than_it_needs(since: int) -> None:
    needed = decide([600.0], 1).replicas
    stepped = decide(around(40.0, 30 - since) + around(600.0, since), 1).replicas
    assert 0.95 * needed <= stepped <= 1.3 * needed + 1


def test_after_a_step_down_and_the_stabilization_the_replicas_go() -> None:
    needed = decide([40.0], 1).replicas
    past = around(600.0, 15) + around(40.0, 15)
    assert decide(past, 10).replicas == 10
    assert decide(around(40.0, 30), 10, timedelta(minutes=6)).replicas == needed
    assert decide(past, 10, timedelta(minutes=6)).replicas < 10


def test_a_single_spike_long_ago_does_not_keep_replicas() -> None:
    past = [*around(40.0, 10), 900.0, *around(40.0, 19)]
    assert decide(past, 1).replicas <= decide([40.0], 1).replicas + 1
