"""Which intervals the meter reads, and what it makes of the samples."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import serving, training
from trimtab.ledger.meter import MeterReading
from trimtab.observe.meter import Account, Window, queries, read_window, windows
from trimtab.observe.series import Series
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import Snapshot, WorkloadPod

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SETTINGS = ObserveSettings()
END = NOW - timedelta(seconds=25)


def usage(until: datetime) -> dict[str, object]:
    return {"usage": {"accountedUntil": until.isoformat()}}


def at(seconds: float) -> float:
    return (END + timedelta(seconds=seconds)).timestamp()


def series(*points: tuple[float, float], **labels: str) -> Series:
    return Series({"namespace": "demo", **labels}, tuple((at(when), value) for when, value in points))


def window(start: float = -60, *pods: WorkloadPod, key: str = "TrainingWorkload/demo/digits") -> Window:
    account = Account(key, END + timedelta(seconds=start), END, pods)
    return Window(END, (account,), timedelta(seconds=150))


def up(pod: str, workload: str = "digits", kind: str = "TrainingWorkload") -> Series:
    return series((0, 1.0), pod=pod, workload=workload, workload_kind=kind, hardware_class="local-cpu")


def read(given: Window, pods: list[Series], cpu: list[Series], watts: list[Series] | None = None) -> MeterReading:
    return read_window(given, pods, cpu, watts or [], frozenset({"v100"}))[given.accounts[0].key]


def test_accounts_are_read_up_to_where_all_scrapes_are_in() -> None:
    snapshot = Snapshot(
        taken_at=NOW, training=(training("a"),), serving=(serving(1, status=usage(END - timedelta(seconds=10))),)
    )
    (due,) = windows(snapshot, SETTINGS)
    assert due.end == END
    assert [account.key for account in due.accounts] == [
        "TrainingWorkload/demo/a",
        f"ServingWorkload/{snapshot.serving[0].meta.key}",
    ]
    assert due.accounts[0].start == snapshot.training[0].meta.created_at
    assert due.accounts[1].start == END - timedelta(seconds=10)


def test_what_is_accounted_for_already_is_not_read_again() -> None:
    snapshot = Snapshot(taken_at=NOW, training=(training("a", status=usage(END)),))
    assert windows(snapshot, SETTINGS) == []


def test_a_finished_training_is_read_until_its_last_samples_are_in() -> None:
    def finished(ago: timedelta, until: datetime) -> Snapshot:
        status = {**usage(until), "completionTime": (NOW - ago).isoformat()}
        return Snapshot(taken_at=NOW, training=(training("a", status=status),))

    assert windows(finished(timedelta(minutes=1), NOW - timedelta(minutes=1)), SETTINGS)
    assert not windows(finished(timedelta(hours=2), NOW - timedelta(hours=1)), SETTINGS)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.timedeltas(timedelta(0), timedelta(hours=12)), min_size=1, max_size=12))
def test_catching_up_covers_every_instant_once_and_ends(behind: list[timedelta]) -> None:
    until = {f"w{i}": (END - each).replace(microsecond=0) for i, each in enumerate(behind)}
    first = dict(until)
    passes = 0
    while True:
        states = tuple(training(name, status=usage(when)) for name, when in until.items())
        due = windows(Snapshot(taken_at=NOW, training=states), SETTINGS)
        assert len(due) <= SETTINGS.meter_windows_a_pass
        if not due:
            break
        for one in due:
            for account in one.accounts:
                name = account.key.rsplit("/", 1)[1]
                assert account.start == until[name]
                assert account.start < account.end <= END
                assert (account.end - account.start).total_seconds() <= SETTINGS.meter_window_seconds
                until[name] = account.end
        passes += 1
        assert passes < 12 * 200
    assert all(when == END for when in until.values())
    assert first.keys() == until.keys()


def test_queries_reach_back_to_the_sample_before_the_oldest_account() -> None:
    asked = queries(window(-60))
    assert asked.cpu == 'pod_cpu_usage_seconds_total{namespace=~"demo"}[210000ms]'
    assert "[210000ms]" in asked.watts


def test_a_reading_has_the_last_sample_before_its_interval_and_none_after_it() -> None:
    cpu = [series((-130, 1), (-65, 2), (-60, 3), (-30, 4), (0, 5), (10, 6), pod="p")]
    reading = read(window(-60), [up("p")], cpu)
    (meter,) = reading.pods
    assert [sample.value for sample in meter.cpu_seconds] == [3, 4, 5]
    assert (reading.key, reading.start, reading.end) == ("demo/digits", END - timedelta(seconds=60), END)
    assert meter.hardware_class == "local-cpu"


def test_pods_are_told_apart_by_what_was_scraped_and_by_what_is_there() -> None:
    here = WorkloadPod(name="here", hardware_class="local-cpu", created_at=NOW, started_at=END - timedelta(seconds=40))
    cpu = [series((-30, 1), (0, 2), pod=name) for name in ("here", "gone", "foreign", "served")]
    scraped = [up("gone"), up("served", "digits", "ServingWorkload")]
    reading = read(window(-60, here), scraped, cpu)
    assert [(meter.pod, meter.started_at) for meter in reading.pods] == [("gone", None), ("here", here.started_at)]


def test_a_pod_without_samples_in_the_interval_is_left_out() -> None:
    assert read(window(-60), [up("p")], [series((-100, 1), (-80, 2), pod="p")]).pods == ()


def test_power_meters_of_one_pod_add_up_and_two_scrapes_of_a_counter_do_not() -> None:
    labels = {"pod": "p", "workload": "digits", "workload_kind": "TrainingWorkload", "hardware_class": "v100"}
    watts = [series((-10, 100), (0, 110), gpu="0", **labels), series((-10, 50), (0, 60), gpu="1", **labels)]
    cpu = [series((-10, 7), (0, 8), pod="p", job="a"), series((-10, 7), (-5, 7.5), (0, 8), pod="p", job="b")]
    (meter,) = read(window(-60), [], cpu, watts).pods
    assert [sample.value for sample in meter.watts] == [150, 170]
    assert [sample.value for sample in meter.cpu_seconds] == [7, 7.5, 8]
    assert meter.simulated


@pytest.mark.parametrize(("label", "simulated"), [("true", True), ("false", False)])
def test_simulated_power_is_marked(label: str, simulated: bool) -> None:
    labels = {"pod": "p", "workload": "digits", "workload_kind": "TrainingWorkload", "hardware_class": "a100"}
    (meter,) = read(window(-60), [], [], [series((-10, 1), (0, 1), simulated=label, **labels)]).pods
    assert meter.simulated is simulated


@settings(deadline=None)
@given(st.lists(st.integers(1, 599), max_size=6, unique=True))
def test_however_an_interval_is_cut_the_counter_is_counted_once(cuts: list[int]) -> None:
    points = tuple((float(t), float((t + 600) ** 2 % 977 + t * 10 + 9000)) for t in range(-640, 1, 5))
    points = tuple((t, max(v for _, v in points[: i + 1])) for i, (t, v) in enumerate(points))
    edges = [-600, *(cut - 600 for cut in sorted(cuts)), 0]
    counted = 0.0
    for start, end in pairwise(edges):
        account = Account(
            "TrainingWorkload/demo/digits", END + timedelta(seconds=start), END + timedelta(seconds=end), ()
        )
        one = Window(account.end, (account,), timedelta(seconds=150))
        meters = read_window(one, [up("p")], [series(*points, pod="p")], [], frozenset())[account.key].pods
        counted += sum(b.value - a.value for meter in meters for a, b in pairwise(meter.cpu_seconds))
    by_time = dict(points)
    assert counted == pytest.approx(by_time[0] - by_time[-600])
