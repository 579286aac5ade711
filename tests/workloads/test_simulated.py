from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trimtab_workloads.simulated.config import Profile
from trimtab_workloads.simulated.exporter import Exporter
from trimtab_workloads.simulated.progress import Progress, SimulatedPod, UnknownProfileError

PROFILES = (
    Profile(model="resnet50", hardware_class="v100", samples_per_second=400, watts=250),
    Profile(model="resnet50", hardware_class="t4", samples_per_second=100, watts=70),
)
POD = SimulatedPod("research", "job-0", "job", "uid-1", "resnet50", "v100", 10_000, 1)


def gang(size, **changes):
    return [dataclasses.replace(POD, name=f"job-{i}", gang_size=size, **changes) for i in range(size)]


def test_progress_is_rate_times_time():
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=1)
    assert progress.advance([POD], 100.0)[0].progress_samples == 0
    reading = progress.advance([POD], 102.5)[0]
    assert (reading.progress_samples, reading.samples_per_second, reading.watts) == (1000, 400, 250)


def test_speedup_scales_the_work_and_not_the_power():
    progress = Progress(PROFILES, speedup=10, scaling_efficiency=1)
    progress.advance([POD], 0.0)
    reading = progress.advance([POD], 1.0)[0]
    assert (reading.progress_samples, reading.watts) == (4000, 250)


def test_a_gang_waits_for_all_its_pods_and_goes_at_the_pace_of_the_slowest():
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=0.9)
    pods = gang(2)
    progress.advance(pods[:1], 0.0)
    assert progress.advance(pods[:1], 10.0)[0] == dataclasses.replace(
        progress.advance(pods[:1], 10.0)[0], progress_samples=0, samples_per_second=0, watts=0
    )
    mixed = [pods[0], dataclasses.replace(pods[1], hardware_class="t4")]
    progress.advance(mixed, 20.0)
    readings = progress.advance(mixed, 21.0)
    assert [r.progress_samples for r in readings] == pytest.approx([180, 180])
    assert [r.watts for r in readings] == [250, 70]


def test_work_outlives_suspension_and_a_change_of_size():
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=1)
    progress.advance([POD], 0.0)
    progress.advance([POD], 5.0)
    assert progress.advance([], 6.0) == []
    assert progress.advance([], 600.0) == []
    resumed = [dataclasses.replace(pod, name=f"again-{pod.name}") for pod in gang(2)]
    assert {r.progress_samples for r in progress.advance(resumed, 601.0)} == {2000}
    assert {r.progress_samples for r in progress.advance(resumed, 602.0)} == {2800}


def test_done_is_done_and_draws_nothing():
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=1)
    progress.advance([POD], 0.0)
    reading = progress.advance([POD], 1000.0)[0]
    assert reading.done
    assert (reading.progress_samples, reading.samples_per_second, reading.watts) == (10_000, 0, 0)


@given(st.lists(st.tuples(st.floats(-5, 50), st.integers(0, 4)), max_size=30))
def test_progress_never_goes_back_nor_beyond_the_work(moves):
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=0.97)
    now, before = 0.0, 0.0
    for seconds, running in moves:
        now += seconds
        progress.advance(gang(4)[:running], now)
        after = progress.samples["uid-1"]
        assert before <= after <= POD.total_samples
        before = after


def test_a_pod_without_profile_is_named():
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=1)
    with pytest.raises(
        UnknownProfileError, match="research/job-0: no profile of model 'resnet50' on hardware class 'h100'"
    ):
        progress.profile_of(dataclasses.replace(POD, hardware_class="h100"))


def test_series_have_the_labels_of_the_pods_and_end_with_them():
    registry, exporter = CollectorRegistry(), Exporter()
    registry.register(exporter)
    progress = Progress(PROFILES, speedup=1, scaling_efficiency=1)
    exporter.readings = progress.advance([POD], 0.0)
    labels = {
        "namespace": "research",
        "pod": "job-0",
        "workload": "job",
        "workload_kind": "TrainingWorkload",
        "hardware_class": "v100",
        "simulated": "true",
    }
    assert registry.get_sample_value("trimtab_training_total_samples", labels) == 10_000
    assert registry.get_sample_value("trimtab_training_samples_per_second", labels) == 400
    assert registry.get_sample_value("trimtab_power_watts", labels) == 250
    exporter.readings = progress.advance([], 1.0)
    assert registry.get_sample_value("trimtab_power_watts", labels) is None
