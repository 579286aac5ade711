"""The best batch for each scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.elastic.goodput import GoodputModel, GradientNoise, progress_speeds
from trimtab.plan.elastic.limits import BatchLimits, split_batch
from trimtab.plan.elastic.throughput import StepModel

LIMITS = BatchLimits(initial=128, maximum=4096, local_minimum=32, local_maximum=1024)
STEPS = StepModel(0.03, 0.0005, 0.1, 0.001, 0.02, 0.001, 1.5)


@given(replicas=st.integers(1, 64), batch=st.integers(128, 4096))
def test_a_split_keeps_the_batch_within_its_limits(replicas: int, batch: int) -> None:
    split = split_batch(batch, replicas, LIMITS)
    assert split.local <= LIMITS.local_maximum
    assert split.batch_size(replicas) <= LIMITS.maximum
    if replicas * LIMITS.local_minimum <= batch <= LIMITS.maximum - 2 * replicas * split.passes:
        assert split.batch_size(replicas) >= batch, "rounded up, not down"


def test_one_replica_accumulates_twice_above_the_initial_batch() -> None:
    assert split_batch(129, 1, LIMITS).passes == 2
    assert split_batch(128, 1, LIMITS).passes == 1
    assert split_batch(512, 2, LIMITS).passes == 1


def test_noisy_gradients_make_large_batches_worth_it() -> None:
    counts = np.array([16])
    several = np.array([True])
    noisy = GoodputModel(STEPS, GradientNoise(1.0, 100.0), LIMITS).best_batches(several, counts)
    clear = GoodputModel(STEPS, GradientNoise(1.0, 0.01), LIMITS).best_batches(several, counts)
    assert noisy.local[0] * noisy.passes[0] > clear.local[0] * clear.passes[0]
    assert noisy.goodput[0] > clear.goodput[0]


@given(
    square=st.floats(1e-6, 1e3),
    variance=st.floats(1e-6, 1e3),
    replicas=st.integers(1, 64),
    batch=st.integers(128, 4096),
)
def test_no_batch_beats_the_best_by_more_than_the_grid(
    square: float, variance: float, replicas: int, batch: int
) -> None:
    model = GoodputModel(STEPS, GradientNoise(square, variance), LIMITS)
    best = model.best_batches(np.array([replicas > 4]), np.array([replicas])).goodput[0]
    split = split_batch(max(batch, 32 * replicas), replicas, LIMITS)
    size = split.batch_size(replicas)
    seconds = STEPS.step_seconds(replicas > 4, replicas, np.array(split.local), np.array(split.passes))
    goodput = size / float(seconds) * float(model.noise.efficiency(np.array(size / LIMITS.initial)))
    if split.local >= LIMITS.local_minimum:
        assert goodput <= best * 1.05


def test_speeds_stop_where_replicas_have_too_little_to_do() -> None:
    model = GoodputModel(STEPS, GradientNoise(1.0, 1.0), BatchLimits(128, 256, 32, 1024))
    speeds = progress_speeds(model, np.array([0, 1, 8, 12]), 4)
    assert speeds[0] == speeds[3] == 0.0
    assert speeds[1] > 0 < speeds[2]


def test_a_fixed_batch_is_no_faster_than_the_best() -> None:
    model = GoodputModel(STEPS, GradientNoise(1.0, 5.0), LIMITS)
    counts = np.array([0, 1, 2, 4, 8, 16])
    fixed, free = progress_speeds(model, counts, 4, fixed_batch=4096), progress_speeds(model, counts, 4)
    assert np.all(fixed <= free * 1.02)
    assert fixed[1:] == pytest.approx(free[1:], rel=0.9)
