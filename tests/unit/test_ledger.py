"""What was spent is counted once and adds up exactly, whatever happens in between."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ledgers import KEY, at, booked, counter, ms, node, pod, reading, steady
from tests.unit.worlds import hardware
from trimtab.api.common import FigureSource, Usage
from trimtab.api.quantity import ExactSum, format_sum, nanos_of, parse_sum
from trimtab.ledger.account import advance, closed_part, revisit
from trimtab.ledger.amounts import Amount, of_usage
from trimtab.ledger.booking import Booked, book, edges_between
from trimtab.ledger.cumulative import Cumulative, apportion
from trimtab.ledger.meter import ExpectedPod, PodMeter, Reading
from trimtab.plan.snapshot import HardwareState


def settled(given: Booked, start: float, end: float, usage: Usage | None = None) -> Usage:
    return advance(usage or Usage(), given, (KEY,), at(start), at(end))


def test_energy_cost_and_carbon_of_a_pod_with_half_a_core() -> None:
    """Half a core of two for an hour at full use: a quarter of the node's price, idle power and dynamic power."""
    cpu = steady(0.5, -200, 3800, 60)
    usage = settled(booked(reading([node(cpu)], [pod("a", cpu)], -200, 3800), 0, 3600), 0, 3600)
    assert usage.cost_usd == pytest.approx(0.10 * 0.25)
    assert usage.energy_watt_hours == pytest.approx(10 * 0.25 + 40 * 0.25)
    assert usage.idle_watt_hours == pytest.approx(10 * 0.25)
    assert usage.carbon_grams == pytest.approx(12.5 / 1000 * 100)
    assert usage.replica_seconds == 3600
    assert usage.source is FigureSource.MODELLED
    assert usage.energy_error is not None
    assert usage.energy_error.percent > 0
    assert usage.accounted_until == at(3600)
    assert usage.gaps == ()


samples = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 8_000_000_000)), min_size=3, max_size=40)


@given(samples, st.lists(st.integers(0, 60), max_size=8), st.integers(0, 40))
def test_however_the_intervals_are_cut_the_sum_is_the_same(
    steps: list[tuple[int, int]], cuts: list[int], reset: int
) -> None:
    """Cut at any cells, settled from status each time, with a reset of the counter: the same to the last digit."""
    t, value, points = 0, 5_000_000_000, []
    for index, (seconds, grown) in enumerate(steps):
        points.append((ms(t), value))
        t, value = t + seconds, value + grown
        if index == reset:
            value = 0
    cpu = Cumulative.counter(points)
    assert cpu is not None
    end = t // 10 * 10
    if end == 0:
        return
    given = reading([node(cpu)], [pod("a", cpu, started=ms(-500))], -150, t)
    whole = settled(booked(given, 0, end), 0, end)
    status = Usage().to_manifest()
    for a, b in pairwise(sorted({0, end, *(c * 10 for c in cuts if c * 10 < end)})):
        usage = settled(booked(given, a, b), a, b, Usage.model_validate(status))
        status = usage.to_manifest()
    assert {k: v for k, v in status.items() if k != "gaps"} == {
        k: v for k, v in whole.to_manifest().items() if k != "gaps"
    } or whole.gaps, "only open ends may differ, and they are corrected"
    again = Usage.model_validate(status)
    assert closed_part(again) == closed_part(whole)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 900), st.integers(-10, 90), st.integers(5, 60)), max_size=6),
    st.integers(0, 2000),
    st.booleans(),
)
def test_the_shares_of_a_node_add_up_to_it_exactly(
    pods: list[tuple[int, int, int, int]], cores_milli: int, measured: bool
) -> None:
    """Pods of several workloads that come and go, of any size, on a node whose meter is read or modelled."""
    whole = steady(cores_milli / 1000)
    meters = [
        pod(f"p{i}", steady(min(1.9, size / 1000), start, start + life), f"TrainingWorkload/demo/w{who}",
            units=((ms(-60), size), (ms(start + life / 2), size * 2)))
        for i, (who, size, start, life) in enumerate(pods)
    ]  # fmt: skip
    host = steady(13.7, scale=10**6) if measured else None
    given = reading([node(whole, host=host, host_source="RAPL" if measured else "")], meters, -60, 200)
    books = booked(given, 0, 120)
    for cell in range(12):
        parts = sum(books.cells[key][cell].energy_watt_hours for key in books.cells if not key.startswith("Hardware"))
        total = books.cells["HardwareClass/local-cpu"][cell]
        assert parts + total.unattributed_watt_hours == total.energy_watt_hours
        assert total.unattributed_watt_hours >= 0
        if measured:
            assert abs(total.energy_watt_hours - 13.7 * 10 / 3600 * 1e9) <= 1


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**9), max_size=9))
def test_parts_add_up_and_are_fair(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == (total if sum(weights) else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert sum(weights) == 0 or abs(part - total * weight / sum(weights)) <= 1 + total / 1e15


def test_idle_power_is_paid_by_what_is_held_and_does_not_vanish_from_a_busy_node() -> None:
    """kepler#2465: with idle as what use leaves over, a node at full use has none. Half of a node is held by a pod that
    sleeps beside one that works: it pays for half of the idle power all the same."""
    busy, asleep = steady(2.0), steady(0.0)
    meters = [pod("busy", busy, "TrainingWorkload/demo/busy"), pod("asleep", asleep)]
    given = reading([node(busy, host=steady(50.0, scale=10**6), host_source="Kepler")], meters, -60, 200)
    books = booked(given, 0, 100, units={KEY: 1000, "TrainingWorkload/demo/busy": 1000})
    idle = sum(cell.energy_watt_hours for cell in books.cells[KEY])
    assert idle == pytest.approx(50.0 * 0.2 * 0.5 * 100 / 3600 * 1e9, rel=1e-6)


def test_a_meter_of_cpus_does_not_stand_for_accelerators_that_nobody_meters() -> None:
    """kepler#923 the other way round: without the GPU's own meter its energy must not vanish."""
    gpu = hardware("gpu", resourceName="nvidia.com/gpu", power={"idleWatts": "100", "peakWatts": "500"})
    node_on, meter = steady(0.5), pod("a", steady(0.5), hardware_class="gpu")
    host = steady(20.0, scale=10**6)
    given = reading([node(node_on, hardware_class="gpu", host=host, host_source="RAPL")], [meter], -60, 200)
    usage = settled(booked(given, 0, 100, {"gpu": gpu}, {KEY: 2000}), 0, 100)
    assert usage.power_source == "Model by holding"
    assert usage.energy_watt_hours == pytest.approx((100 + 400 * 0.488) * 100 / 3600)
    assert usage.energy_error is not None
    assert usage.energy_error.percent > 100


def test_an_account_is_not_continued_from_the_wrong_instant() -> None:
    with pytest.raises(ValueError, match="account ends at"):
        settled(booked(reading([], [], -60, 60), 0, 20), 0, 20, Usage(accounted_until=at(10)))


def one_hole(first: float, last: float, start: float, end: float, revisits: bool = False) -> Reading:
    """Samples every 5 s, but none between two instants; what is asked for lies between `start` and `end`."""
    times = [t for t in range(-300, 900, 5) if (t <= first or t >= last) and start <= t <= end]
    cpu = counter([(t, (t + 300) * 0.5) for t in times]) if times else None
    pods = [pod("a", cpu, started=ms(-1000))] if cpu else []
    expected = {KEY: (ExpectedPod("demo/a", "n1", ms(-1000)),)}
    return reading(
        [node(cpu)] if cpu else [], pods, start, end, expected=expected,
        expected_nodes={"local-cpu": ("n1",)}, revisit=revisits,
    )  # fmt: skip


def test_a_hole_is_estimated_marked_and_corrected_when_its_end_is_seen() -> None:
    usage = settled(booked(one_hole(95, 400, -150, 120), 0, 100), 0, 100)
    (gap,) = usage.gaps
    assert (gap.start, gap.end) == (at(90), at(100))
    assert usage.estimated_watt_hours == gap.energy_watt_hours > 0
    assert gap.energy_watt_hours == pytest.approx(12.5 * 10 / 3600)
    # Nothing is scraped for long: the gap grows at the rate it had, in one piece.
    usage = settled(booked(one_hole(95, 400, -50, 320), 100, 300), 100, 300, usage)
    usage = settled(booked(one_hole(95, 400, 150, 500), 300, 480), 300, 480, usage)
    (gap,) = usage.gaps
    assert (gap.start, gap.end) == (at(90), at(400))
    assert usage.unmetered_seconds == pytest.approx(310, abs=1)
    books = booked(one_hole(95, 400, -60, 550, revisits=True), 90, 400)
    usage = revisit(usage, books, (KEY,), gap)
    assert usage.gaps == ()
    never_cut = settled(booked(one_hole(95, 400, -150, 700), 0, 480), 0, 480)
    assert of_usage(usage) == of_usage(never_cut)
    assert usage.energy_watt_hours == pytest.approx(12.5 * 480 / 3600)
    assert 0 < usage.estimated_watt_hours < usage.energy_watt_hours, "over the hole it is known as a whole only"
    with pytest.raises(ValueError, match="no gap"):
        revisit(usage, books, (KEY,), gap)


def test_status_holds_eight_gaps_at_most_and_estimates_of_the_others_stay() -> None:
    usage = Usage(accounted_until=at(0))
    for n in range(10):
        begin = n * 20
        books = Booked((ms(begin), ms(begin + 10), ms(begin + 20)))
        books.cells[KEY] = [Amount(energy_watt_hours=7), Amount()]
        books.open[KEY] = [False, True]
        usage = settled(books, begin, begin + 20, usage)
    assert len(usage.gaps) == 8
    assert len(str(usage.to_manifest())) < 5000
    assert of_usage(usage).energy_watt_hours == 10 * 14


def test_a_counter_that_was_reset_goes_on_from_zero() -> None:
    cpu = counter([(-5, 45), (0, 50), (10, 52), (20, 3), (30, 3)])
    usage = settled(booked(reading([], [pod("a", cpu)], -60, 30), 0, 20), 0, 20)
    assert usage.energy_watt_hours * 3600 == pytest.approx(20 * 10 * 0.25 + 40 * (2 + 3) / 2)


def test_a_resize_counts_from_when_it_was_scraped() -> None:
    cpu = steady(0.0)
    resized = pod("a", cpu, units=((ms(-60), 500), (ms(50), 1000)))
    books = booked(reading([node(cpu)], [resized], -60, 200), 0, 100)
    assert sum(cell.cost_usd for cell in books.cells[KEY]) == pytest.approx(
        0.10 / 3600 * (50 * 0.25 + 50 * 0.5) * 1e9, rel=1e-6
    )


def test_a_simulated_pod_is_charged_by_its_profile_and_says_so() -> None:
    gpu: HardwareState = hardware("v100", simulated=True, resourceName="nvidia.com/gpu", units_per_node=1.0)
    meter = PodMeter(KEY, "demo/g", "", "v100", energy=steady(250.0, -60, 3700, 20, 10**6), simulated=True)
    books = book(
        reading([], [meter], -60, 3700), edges_between(ms(0), ms(3600)), [KEY], {"v100": gpu}, {"v100": {KEY: 1000}},
        lambda *_: 100.0,
    )  # fmt: skip
    usage = settled(books, 0, 3600)
    assert usage.energy_watt_hours == pytest.approx(250.0)
    assert usage.cost_usd == pytest.approx(0.10)
    assert usage.source is FigureSource.SIMULATED


def test_a_class_that_is_gone_leaves_its_time_unmetered() -> None:
    usage = settled(booked(reading([], [pod("a", steady(0.1))], -60, 200), 0, 60, classes={}), 0, 60)
    assert usage.unmetered_seconds == 60
    assert usage.energy_watt_hours == 0


def test_figures_of_one_item_come_from_the_work_that_was_counted() -> None:
    worker = pod("a", steady(0.5), work=steady(20.0, scale=1000))
    usage = settled(booked(reading([node(steady(0.5))], [worker], -60, 200), 0, 100), 0, 100)
    assert usage.work_items == 2000
    assert usage.watt_hours_per_item == pytest.approx(usage.energy_watt_hours / 2000)
    assert usage.cost_usd_per_item == pytest.approx(usage.cost_usd / 2000)


@given(st.integers(-(10**22), 10**22))
def test_sums_keep_every_digit_in_status(nanos: int) -> None:
    text = format_sum(ExactSum.of(nanos))
    assert nanos_of(parse_sum(text)) == nanos
    usage = Usage(energy_watt_hours=ExactSum.of(nanos))
    assert of_usage(Usage.model_validate_json(usage.model_dump_json())).energy_watt_hours == nanos


def test_a_status_of_before_is_read_as_it_was_meant() -> None:
    old = {
        "energyWattHours": "0.21532682", "costUSD": "0.001073602", "carbonGrams": "0.07", "replicaSeconds": "12.5",
        "unmeteredSeconds": "130", "accountedUntil": at(0).isoformat(), "source": "modelled",
    }  # fmt: skip
    usage = settled(booked(reading([], [], -60, 60), 0, 10), 0, 10, Usage.model_validate(old))
    assert usage.source is FigureSource.MODELLED
    assert usage.power_source == "Model"
    assert closed_part(usage).energy_watt_hours == 215_326_820
