"""The application model against the measurements it is made of."""

import numpy as np
import pytest

from tests.simulate.elastic.workloads import APPLICATIONS, PAPER_CLUSTER, applications
from trimtab.plan.elastic.fit import fit_steps
from trimtab.plan.elastic.throughput import StepSample
from trimtab.simulate.elastic.application import Application
from trimtab.simulate.elastic.ideal import ideal
from trimtab.simulate.elastic.policies import pollux_fit
from trimtab.simulate.elastic.policies.optimus import UNSCALABLE

SCALABLE = tuple(name for name in APPLICATIONS if name not in UNSCALABLE)
"""Steps of ncf are overhead only; it is kept on one GPU and its steps are not predicted."""


@pytest.fixture(params=APPLICATIONS)
def application(request: pytest.FixtureRequest) -> Application:
    return applications()[request.param]


def test_measured_placements_are_met_exactly(application: Application) -> None:
    for placement, trace in list(application.trace.placements.items())[::7]:
        time = application.step_time(placement, int(trace.local_batch[0]))
        assert time.step_seconds == pytest.approx(trace.step_seconds[0])
        assert time.sync_seconds == pytest.approx(trace.sync_seconds[0])


def test_rotated_nodes_are_the_same_ring(application: Application) -> None:
    local = application.limits.local_minimum
    assert application.step_time((4, 2, 1), local) == application.step_time((2, 1, 4), local)


def test_scales_that_were_measured_by_count_are_met_exactly(application: Application) -> None:
    scaling = application.trace.scaling
    row = int(np.flatnonzero((scaling.nodes == 8) & (scaling.replicas == 32))[0])
    time = application.step_time((4,) * 8, int(scaling.local_batch[row]))
    assert time.step_seconds == pytest.approx(scaling.step_seconds[row])


def test_what_was_not_measured_is_said(application: Application) -> None:
    too_much = int(max(trace.local_batch[-1] for trace in application.trace.placements.values())) + 1
    with pytest.raises(ValueError, match=f"traces of {application.name}"):
        application.step_time((4,), too_much)
    with pytest.raises(ValueError, match="not traced at a batch"):
        application.gradient_statistics(application.limits.maximum + 1, 0)


def test_convergence_is_met_at_each_traced_batch(application: Application) -> None:
    """Steps of a traced run, each worth its gain, add up to the progress of the run (the estimates are a run's own)."""
    for trace in application.trace.convergence[:2]:
        steps = np.diff(trace.steps[: application.epochs], prepend=0.0)
        progress = float(steps @ application.gains(trace.batch_size))
        assert progress == pytest.approx(application.total_progress, rel=0.15)


@pytest.mark.parametrize("name", SCALABLE)
@pytest.mark.parametrize("fit", [fit_steps, pollux_fit.fit_steps])
def test_a_fit_to_half_of_the_measurements_predicts_the_rest(fit, name: str) -> None:  # type: ignore[no-untyped-def]
    """Both fits, on placements of one to four full nodes; the measurements of yolov3 jump by a third between
    batches."""
    application = applications()[name]
    samples = []
    for placement in ((1,), (2,), (4,), (4, 4), (4, 4, 4), (4, 4, 4, 4)):
        trace = application.trace.placements[tuple(placement)]
        for local in trace.local_batch:
            time = application.step_time(tuple(placement), int(local))
            samples.append(
                StepSample(len(placement), sum(placement), int(local), time.compute_seconds, time.step_seconds)
            )
    model = fit(samples[::2])
    errors = [
        abs(
            np.log(
                float(model.step_seconds(s.nodes > 1, s.replicas, np.array(s.local_batch), np.array(1)))
                / s.step_seconds
            )
        )
        for s in samples[1::2]
    ]
    assert float(np.median(errors)) < 0.2


def test_nothing_is_faster_than_the_ideal(application: Application) -> None:
    best = ideal(application, PAPER_CLUSTER)
    limits = application.limits
    progress = np.diff(application.epoch_progress, prepend=0.0)
    local = limits.local_maximum
    time = application.step_time((1,), local)
    alone = float(progress @ (time.step_seconds / application.gains(max(local, limits.initial))))
    assert best.fastest_seconds <= best.least_gpu_seconds <= alone * 1.0000001
