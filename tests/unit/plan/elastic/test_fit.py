"""The fit of step times to what a job has measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.elastic.fit import fit_steps
from trimtab.plan.elastic.throughput import StepModel, StepSample

CONFIGURATIONS = [(1, 1), (1, 2), (1, 4), (2, 8), (4, 16), (8, 32)]


def measured(model: StepModel, nodes: int, replicas: int, local: int) -> StepSample:
    compute = float(model.compute_seconds(local))
    step = float(model.step_seconds(nodes > 1, replicas, np.array(local), np.array(1)))
    return StepSample(nodes, replicas, local, compute, step)


def predicted(model: StepModel, sample: StepSample) -> float:
    return float(model.step_seconds(sample.nodes > 1, sample.replicas, np.array(sample.local_batch), np.array(1)))


@given(
    compute=st.floats(0.01, 1.0),
    each=st.floats(1e-4, 1e-2),
    between=st.floats(0.01, 1.0),
    growth=st.floats(1e-4, 1e-2),
    within=st.floats(0.001, 0.5),
)
def test_recovers_step_times_that_follow_the_model(
    compute: float, each: float, between: float, growth: float, within: float
) -> None:
    truth = StepModel(compute, each, between, growth, within, growth, 1.0)
    samples = [measured(truth, nodes, replicas, local) for nodes, replicas in CONFIGURATIONS for local in (8, 32)]
    model = fit_steps(samples)
    for sample in samples:
        assert predicted(model, sample) == pytest.approx(sample.step_seconds, rel=0.05)


def test_takes_what_was_never_measured_for_good() -> None:
    model = fit_steps([StepSample(1, 1, 16, 0.2, 0.21)])
    assert float(model.exchange_seconds(True, 16)) < 1e-6
    assert float(model.compute_seconds(32)) == pytest.approx(0.3), "half of a pass is taken for constant"


def test_takes_nodes_for_no_better_connected_than_gpus_within_one() -> None:
    model = fit_steps([StepSample(1, 1, 16, 0.2, 0.2), StepSample(1, 4, 16, 0.2, 0.3)])
    assert float(model.exchange_seconds(True, 8)) > float(model.exchange_seconds(False, 4)) > 0.09


@pytest.mark.parametrize(
    "sample", [StepSample(1, 1, 8, 0.0, 0.1), StepSample(1, 1, 8, 0.2, 0.1), StepSample(1, 1, 8, float("nan"), 0.1)]
)
def test_refuses_times_that_cannot_be(sample: StepSample) -> None:
    with pytest.raises(ValueError, match="longer than"):
        fit_steps([sample])


def test_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_steps([])
