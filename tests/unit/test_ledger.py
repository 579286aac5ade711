"""What was spent is counted once, whatever happens in between."""

import math
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW, hardware
from trimtab.api.common import FigureSource, Usage
from trimtab.ledger.account import settle
from trimtab.ledger.meter import MeterReading, PodMeter, Sample
from trimtab.plan.snapshot import HardwareState

CLASSES = {"local-cpu": hardware()}


def flat(zone: str, start: datetime, end: datetime) -> float:
    return 100.0


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def cpu_pod(name: str, values: list[tuple[float, float]], started: float | None = None) -> PodMeter:
    samples = tuple(Sample(at=at(t), value=v) for t, v in values)
    return PodMeter(
        pod=name, hardware_class="local-cpu", cpu_seconds=samples, started_at=None if started is None else at(started)
    )


def reading(start: float, end: float, *pods: PodMeter) -> MeterReading:
    return MeterReading(key="TrainingWorkload/demo/x", start=at(start), end=at(end), pods=pods)


def window(pod: PodMeter, start: float, end: float) -> PodMeter:
    """What Prometheus would give for (start, end]: the samples inside, and the last one before."""
    inside = [s for s in pod.cpu_seconds if at(start) < s.at <= at(end)]
    before = [s for s in pod.cpu_seconds if s.at <= at(start)][-1:]
    return pod.model_copy(update={"cpu_seconds": (*before, *inside)})


def test_energy_cost_and_carbon_of_a_pod_with_half_a_core() -> None:
    """Half a core of two for an hour at full use: a quarter of the node's price, idle power and dynamic power."""
    values = [(t * 60.0, t * 30.0) for t in range(61)]
    usage = settle(Usage(), reading(0, 3600, cpu_pod("a", values)), 0.5, CLASSES, flat)
    assert usage.cost_usd == pytest.approx(0.10 * 0.25)
    assert usage.energy_watt_hours == pytest.approx(10 * 0.25 + 40 * 0.25)
    assert usage.carbon_grams == pytest.approx(12.5 / 1000 * 100)
    assert usage.replica_seconds == pytest.approx(3600)
    assert usage.source is FigureSource.MODELLED
    assert usage.accounted_until == at(3600)


@given(
    steps=st.lists(st.floats(0, 2.0), min_size=3, max_size=40),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    started=st.floats(0.0, 1.0),
)
def test_however_the_intervals_are_cut_the_sum_is_the_same(steps: list[float], cuts: list[int], started: float) -> None:
    times = [5.0 * (i + 1) for i in range(len(steps))]
    totals = [sum(steps[: i + 1]) for i in range(len(steps))]
    pod = cpu_pod("a", list(zip(times, totals, strict=True)), started)
    end = times[-1] + 5
    whole = settle(Usage(), reading(0, end, pod), 0.5, CLASSES, flat)
    edges = sorted({0.0, end, *(float(c) for c in cuts if c < end)})
    cut = Usage()
    for a, b in pairwise(edges):
        # A restart in between: only what stands in status is remembered.
        cut = Usage.model_validate(cut.model_dump())
        cut = settle(cut, reading(a, b, window(pod, a, b)), 0.5, CLASSES, flat)
    assert cut.energy_watt_hours == pytest.approx(whole.energy_watt_hours, abs=1e-8)
    assert cut.replica_seconds == pytest.approx(whole.replica_seconds, abs=1e-6)
    assert cut.cost_usd == pytest.approx(whole.cost_usd, abs=1e-8)


@given(shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6), busy=st.floats(0, 1))
def test_the_shares_of_a_full_node_add_up_to_the_node(shares: list[float], busy: float) -> None:
    total = sum(shares)
    units = [2.0 * s / total for s in shares]
    energy = sum(
        settle(
            Usage(), reading(0, 60, cpu_pod(f"p{i}", [(0, 0), (60, 60 * busy * u)])), u, CLASSES, flat
        ).energy_watt_hours
        for i, u in enumerate(units)
    )
    assert energy == pytest.approx((10 + 40 * busy) / 60)


def test_an_account_is_not_continued_from_the_wrong_instant() -> None:
    before = Usage(accounted_until=at(10))
    with pytest.raises(ValueError, match="account ends at"):
        settle(before, reading(0, 20), 0.5, CLASSES, flat)


def test_a_hole_in_the_samples_is_said_and_not_guessed() -> None:
    usage = settle(Usage(), reading(0, 1000, cpu_pod("a", [(0, 0), (1000, 100)])), 0.5, CLASSES, flat)
    assert usage.unmetered_seconds == 1000
    assert usage.replica_seconds == 0
    assert usage.energy_watt_hours == pytest.approx(40 * 50 / 3600), "the counter's increase is known, and counted"


def test_an_old_pod_whose_samples_were_lost_is_not_counted_from_its_birth() -> None:
    pod = cpu_pod("a", [(5000, 900), (5010, 905)], started=0)
    usage = settle(Usage(), reading(4990, 5010, pod), 0.5, CLASSES, flat)
    assert usage.energy_watt_hours * 3600 == pytest.approx(10 * 10 * 0.25 + 40 * 5 / 2)
    assert usage.unmetered_seconds == 130


def test_a_counter_that_was_reset_goes_on_from_zero() -> None:
    usage = settle(Usage(), reading(0, 20, cpu_pod("a", [(0, 50), (10, 52), (20, 3)])), 0.5, CLASSES, flat)
    assert usage.energy_watt_hours * 3600 == pytest.approx(20 * 10 * 0.25 + 40 * (2 + 3) / 2)


def test_a_simulated_pod_is_charged_by_its_profile_and_says_so() -> None:
    gpu: HardwareState = hardware("v100", simulated=True, resourceName="nvidia.com/gpu", units_per_node=1.0)
    samples = tuple(Sample(at=at(t), value=250.0) for t in range(0, 3601, 60))
    pod = PodMeter(pod="g", hardware_class="v100", watts=samples, simulated=True)
    usage = settle(Usage(), reading(0, 3600, pod), 1.0, {"v100": gpu}, flat)
    assert usage.energy_watt_hours == pytest.approx(250.0)
    assert usage.cost_usd == pytest.approx(0.10)
    assert usage.source is FigureSource.SIMULATED


def test_a_class_that_is_gone_leaves_its_time_unmetered() -> None:
    usage = settle(Usage(), reading(0, 60, cpu_pod("a", [(0, 0), (60, 6)])), 0.5, {}, flat)
    assert usage.unmetered_seconds == 60
    assert math.isclose(usage.energy_watt_hours, 0.0)
