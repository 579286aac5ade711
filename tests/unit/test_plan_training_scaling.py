"""Speed by replicas: declared, then learned as the workload runs."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW, job, training
from trimtab.plan.snapshot import TrainingMetrics, TrainingState, WorkloadPod
from trimtab.plan.training.scaling import ScalingCurve, learned_scaling, scaling_curve


def running(rate: float, replicas: int = 2, age: float = 120.0, **facts: object) -> TrainingState:
    pods = tuple(
        WorkloadPod(name=f"p{i}", ready=True, created_at=NOW - timedelta(seconds=age),
                    started_at=NOW - timedelta(seconds=age))
        for i in range(replicas)
    )  # fmt: skip
    metrics = TrainingMetrics(samples_per_second=rate, observed_at=NOW - timedelta(seconds=1))
    return training(job=job(replicas=replicas, ready=replicas), pods=pods, metrics=metrics, **facts)


def recorded(*points: tuple[str, int, float]) -> dict[str, object]:
    scaling = [{"hardwareClass": c, "replicas": k, "samplesPerSecond": str(v)} for c, k, v in points]
    return {"progress": {"completedSamples": 0, "totalSamples": 10, "scaling": scaling}}


def test_a_single_known_point_scales_in_proportion() -> None:
    assert ScalingCurve({2: 50.0}).samples_per_second(6) == pytest.approx(150.0)


@given(serial=st.floats(0.001, 0.5), one=st.floats(0.1, 1e5), asked=st.integers(1, 64))
def test_amdahls_law_is_found_again_from_three_points(serial: float, one: float, asked: int) -> None:
    def law(k: int) -> float:
        return one * k / (1 + serial * (k - 1))

    curve = ScalingCurve({k: law(k) for k in (1, 2, 8)})
    assert curve.samples_per_second(asked) == pytest.approx(law(asked), rel=1e-3)


def test_what_was_measured_is_stronger_than_what_was_declared_and_gives_it_its_height() -> None:
    profiles = [
        {"hardwareClass": "local-cpu", "samplesPerSecond": "100"},
        {"hardwareClass": "local-cpu", "replicas": 4, "samplesPerSecond": "300"},
    ]
    curve = scaling_curve(running(rate=50.0, replicas=1, profiles=profiles, minReplicas=1, maxReplicas=4), "local-cpu")
    assert curve is not None
    assert curve.samples_per_second(1) == pytest.approx(50.0)
    assert curve.samples_per_second(4) == pytest.approx(150.0)


def test_a_measurement_is_kept_and_moves_slowly() -> None:
    state = running(rate=80.0, status=recorded(("local-cpu", 2, 100.0), ("other", 1, 7.0)))
    learned = {(p.hardware_class, p.replicas): p.samples_per_second for p in learned_scaling(state, NOW)}
    assert learned == {("other", 1): 7.0, ("local-cpu", 2): pytest.approx(95.0)}


@pytest.mark.parametrize("case", ["young", "suspended", "part of the gang", "no metrics"])
def test_nothing_is_learned_while_the_rate_is_not_that_of_the_whole_gang(case: str) -> None:
    state = running(rate=80.0, age=5.0 if case == "young" else 120.0)
    if case == "suspended":
        state = state.model_copy(update={"job": job(suspended=True, ready=2)})
    if case == "part of the gang":
        state = state.model_copy(update={"job": job(ready=1)})
    if case == "no metrics":
        state = state.model_copy(update={"metrics": None})
    assert learned_scaling(state, NOW) == ()
