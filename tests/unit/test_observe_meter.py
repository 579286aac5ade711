"""Which stretches the meter reads, and how what exporters publish is joined to nodes and pods."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import hardware, serving, training
from trimtab.api.common import UsageGap
from trimtab.api.hardware import HardwareClassStatus, NodeUsage, PowerSource
from trimtab.handlers.accounting import book_all
from trimtab.observe.meter import WindowReading, read_window
from trimtab.observe.meter_nodes import node_meters
from trimtab.observe.meter_queries import Results, queries
from trimtab.observe.meter_windows import Window, windows
from trimtab.observe.series import Series
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import HardwareState, Snapshot, WorkloadPod

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SETTINGS = ObserveSettings()
END = NOW - timedelta(seconds=30)
"""25 s behind, on the grid."""


def usage(until: datetime, **more: object) -> dict[str, object]:
    return {"usage": {"accountedUntil": until.isoformat(), **more}}


def series(name: str, points: list[tuple[float, float]], **labels: str) -> Series:
    return Series({"__name__": name, **labels}, tuple((NOW.timestamp() + t, v) for t, v in points))


def grown(name: str, rate: float, start: float = -200, end: float = 0, **labels: str) -> Series:
    times = [start + 5 * i for i in range(int((end - start) // 5) + 1)]
    return series(name, [(t, rate * (t - start)) for t in times], **labels)


def of_workloads(found: list[Window]) -> list[list[str]]:
    return [[due.account for due in one.dues if "Workload" in due.account] for one in found]


def test_accounts_are_read_up_to_where_all_scrapes_are_in() -> None:
    snapshot = Snapshot(
        taken_at=NOW, training=(training("a"),), serving=(serving(1, status=usage(END - timedelta(seconds=10))),)
    )
    (due,) = windows(snapshot, SETTINGS)
    assert {one.end for one in due.dues} == {END}
    assert [one.account for one in due.dues] == ["TrainingWorkload/demo/a", "ServingWorkload/demo/digits-serving"]
    assert due.dues[0].start == snapshot.training[0].meta.created_at
    assert due.dues[1].start == END - timedelta(seconds=10)
    assert due.read_end == NOW, "samples after the interval tell whether it is closed"
    assert due.read_start <= due.dues[0].start - timedelta(seconds=150)


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
    for _ in range(12 * 200):
        states = tuple(training(name, status=usage(when)) for name, when in until.items())
        due = windows(Snapshot(taken_at=NOW, training=states), SETTINGS)
        assert len(due) <= SETTINGS.meter_windows_a_pass
        if not due:
            break
        for one in due:
            for stretch in one.dues:
                name = stretch.account.rsplit("/", 1)[1]
                assert stretch.start == until[name]
                assert stretch.start < stretch.end <= END
                assert (stretch.end - stretch.start).total_seconds() <= SETTINGS.meter_window_seconds
                until[name] = stretch.end
    assert all(when == END for when in until.values())


def test_a_gap_after_which_samples_came_is_read_again_and_before_anything_else() -> None:
    gap = UsageGap(start=END - timedelta(seconds=90), end=END - timedelta(seconds=60))
    raw = usage(END - timedelta(seconds=20), gaps=[gap.to_manifest()])
    again, due = windows(Snapshot(taken_at=NOW, training=(training("a", status=raw),)), SETTINGS)
    assert (again.dues[0].gap, again.revisit) == (gap, True)
    assert again.read_start <= gap.start - timedelta(seconds=150)
    assert due.dues[0].start == END - timedelta(seconds=20)
    still = usage(gap.end, gaps=[gap.to_manifest()])
    (only,) = windows(Snapshot(taken_at=NOW, training=(training("a", status=still),)), SETTINGS)
    assert not only.revisit, "a gap that still grows is not read"


def test_the_number_of_queries_does_not_grow_with_pods() -> None:
    one = windows(Snapshot(taken_at=NOW, training=(training("a"),)), SETTINGS)
    many = windows(Snapshot(taken_at=NOW, training=tuple(training(f"a{i}") for i in range(300))), SETTINGS)
    assert len(one) == len(many) == 1
    assert len(queries(one[0]).all()) == len(queries(many[0]).all()) == 7
    asked = queries(one[0])
    assert asked.cpu.startswith('pod_cpu_usage_seconds_total{namespace=~"demo"}[')
    assert "nv_inference_count" in asked.own


CPU = hardware().model_copy(update={"node_names": ("n1",)})


def world(*pods: WorkloadPod, **facts: object) -> Snapshot:
    state = training("digits", pods=pods)
    return Snapshot(**{"taken_at": NOW, "training": (state,), "hardware": (CPU,), **facts})  # type: ignore[arg-type]


def read(results: Results, snapshot: Snapshot | None = None) -> WindowReading:
    given = snapshot or world()
    (window,) = windows(given, SETTINGS)
    return read_window(window, results, given, SETTINGS)


def up(pod: str, workload: str = "digits", kind: str = "TrainingWorkload") -> Series:
    labels = {"namespace": "demo", "pod": pod, "workload": workload, "workload_kind": kind}
    return series("up", [(0, 1.0)], hardware_class="local-cpu", **labels)


def test_pods_are_told_apart_by_what_was_scraped_and_by_what_is_there() -> None:
    here = WorkloadPod(name="here", hardware_class="local-cpu", node="n1", created_at=NOW, started_at=END)
    cpu = [
        grown("pod_cpu_usage_seconds_total", 0.5, namespace="demo", pod=name, node="n1")
        for name in ("here", "gone", "foreign", "served")
    ]
    found = read(Results(pods=[up("gone"), up("served", "digits", "ServingWorkload")], cpu=cpu), world(here)).reading
    assert [(one.pod, one.account, one.node) for one in found.pods] == [
        ("demo/gone", "TrainingWorkload/demo/digits", "n1"),
        ("demo/here", "TrainingWorkload/demo/digits", "n1"),
        ("demo/served", "ServingWorkload/demo/digits", "n1"),
    ]


def test_a_pod_is_counted_from_its_start_and_requests_by_what_was_scraped() -> None:
    cpu = [grown("pod_cpu_usage_seconds_total", 0.5, -80, namespace="demo", pod="p", node="n1")]
    starts = [series("", [(0, NOW.timestamp() - 90)], namespace="demo", pod="p")]
    requests = [
        series("kube_pod_container_resource_requests", [(-80, 0.5), (-40, 0.5), (-20, 1.0)], namespace="demo", pod="p",
               container=name, resource="cpu")
        for name in ("a", "b")
    ]  # fmt: skip
    (meter,) = read(Results(pods=[up("p")], cpu=cpu, starts=starts, requests=requests)).reading.pods
    assert meter.cpu is not None
    assert meter.cpu.first == round((NOW.timestamp() - 90) * 1000)
    assert [units for _, units in meter.units] == [1000, 2000]


def test_power_meters_of_one_pod_add_up_and_two_scrapes_of_a_counter_do_not() -> None:
    labels = {"namespace": "demo", "pod": "p", "workload": "digits", "workload_kind": "TrainingWorkload",
              "hardware_class": "v100", "simulated": "true"}  # fmt: skip
    watts = [series("trimtab_power_watts", [(-10, w), (0, w)], gpu=str(w), **labels) for w in (100, 50)]
    cpu = [grown("pod_cpu_usage_seconds_total", 1.0, -60, namespace="demo", pod="p", job=job) for job in "ab"]
    (meter,) = read(Results(own=watts, cpu=cpu)).reading.pods
    assert meter.energy is not None
    assert meter.energy.totals[-1] == 150 * 10 * 10**6
    assert meter.cpu is not None
    assert meter.cpu.totals[-1] == 60 * 10**9
    assert meter.simulated


# --- Devices, as dcgm-exporter publishes them -------------------------------------------------------------------------

GPU = hardware(
    "gpu", resourceName="nvidia.com/gpu", capacity_units=4.0, units_per_node=4.0,
    power={"idleWatts": "60", "peakWatts": "400", "acceleratorIdleWatts": "10", "acceleratorPeakWatts": "70"},
).model_copy(update={"node_names": ("g1",)})  # fmt: skip


def dcgm(name: str, rate: float, pod: str = "", uuid: str = "GPU-1", **labels: str) -> Series:
    """As scraped without honor_labels: the exporter's own pod is `pod`, the holder `exported_pod`."""
    holder = {"exported_namespace": "demo", "exported_pod": pod, "exported_container": "main"} if pod else {}
    fixed = {"Hostname": "g1", "UUID": uuid, "gpu": "0", "namespace": "gpu-operator", "pod": "nvidia-dcgm-exporter-8k2"}
    if name == "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION":
        return grown(name, rate * 1000, **fixed, **holder, **labels)
    return series(name, [(t, rate) for t in range(-200, 1, 5)], **fixed, **holder, **labels)


def joules_by_workload(
    devices: list[Series], pods: dict[str, str], state: HardwareState = GPU, units: int = 1
) -> dict[str, float]:
    """Watts by pod's workload, and of nobody, over the newest minute; pods as pod name to class resource held."""
    states = tuple(
        training(
            name, resources={"cpu": "1", "accelerators": units},
            pods=(WorkloadPod(name=name, hardware_class="gpu", node="g1", phase="Running", created_at=NOW,
                              started_at=NOW - timedelta(seconds=200)),),
            status=usage(END - timedelta(seconds=60)),
        )
        for name in pods
    )  # fmt: skip
    status = HardwareClassStatus(usage=NodeUsage(accounted_until=END - timedelta(seconds=60)))
    snapshot = world(hardware=(state.model_copy(update={"status": status}),), training=states)
    cpu = [grown("pod_cpu_usage_seconds_total", 0.0, namespace="demo", pod=name, node="g1") for name in pods]
    (window,) = windows(snapshot, SETTINGS)
    books = book_all(snapshot, [read_window(window, Results(cpu=cpu, devices=devices), snapshot, SETTINGS)])
    (_, booked) = books.windows[0]
    watts = {}
    for key, cells in booked.cells.items():
        assert not any(booked.open[key]), key
        name = key.rsplit("/", 1)[1]
        watts[name] = sum(c.energy_watt_hours for c in cells) / 1e9 * 60
    watts["nobody"] = sum(c.unattributed_watt_hours for c in booked.cells["HardwareClass/gpu"]) / 1e9 * 60
    assert sum(v for k, v in watts.items() if k != "gpu") == pytest.approx(watts["gpu"]), "adds up to the node"
    return watts


HOST_IDLE = 50.0
"""GPU's host: idle 60 - 10 W; its shares are by units."""


def test_time_slicing_counts_a_device_once_for_all_that_share_it() -> None:
    """dcgm-exporter#582, #587: with virtual GPUs every pod's series has the whole device's power."""
    devices = [dcgm("DCGM_FI_DEV_POWER_USAGE", 70.0, pod, vgpu=str(i)) for i, pod in enumerate("ab")]
    watts = joules_by_workload(devices, {"a": "", "b": ""})
    assert watts["gpu"] == pytest.approx(70.0 + HOST_IDLE)
    # Each of four slices: a quarter of what is idle; what was used is shared by the two that were there.
    assert [watts["a"], watts["b"]] == pytest.approx([10 / 4 + 60 / 2 + HOST_IDLE / 4] * 2)
    assert watts["nobody"] == pytest.approx(10 / 2 + HOST_IDLE / 2)


def test_pods_that_dcgm_does_not_name_hold_their_slices_all_the_same() -> None:
    """dcgm-exporter#307: of several pods on a time-sliced device only one has series."""
    watts = joules_by_workload([dcgm("DCGM_FI_DEV_POWER_USAGE", 70.0, "a")], {"a": "", "b": ""})
    assert watts["a"] == pytest.approx(watts["b"])
    assert watts["gpu"] == pytest.approx(70.0 + HOST_IDLE)


def test_mig_shares_by_slices_and_use_and_what_no_pod_holds_is_nobodys() -> None:
    """The device's energy stands on every instance (dcgm-exporter#257): it is counted once, not three times."""
    state = GPU.model_copy(update={"units_per_node": 3.0, "capacity_units": 3.0})
    profiles = (("a", "3g.20gb", "1", 0.8), ("b", "3g.20gb", "2", 0.2), ("", "1g.5gb", "9", 0.0))
    devices = [
        one
        for pod, profile, instance, busy in profiles
        for one in (
            dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 210.0, pod, GPU_I_ID=instance, GPU_I_PROFILE=profile),
            dcgm("DCGM_FI_PROF_GR_ENGINE_ACTIVE", busy, pod, GPU_I_ID=instance, GPU_I_PROFILE=profile),
        )
    ]
    watts = joules_by_workload(devices, {"a": "", "b": ""}, state)
    assert watts["gpu"] == pytest.approx(210.0 + HOST_IDLE)
    assert watts["a"] == pytest.approx(10 * 3 / 7 + 200 * 0.8 + HOST_IDLE / 3)
    assert watts["b"] == pytest.approx(10 * 3 / 7 + 200 * 0.2 + HOST_IDLE / 3)
    assert watts["nobody"] == pytest.approx(10 / 7 + HOST_IDLE / 3)


def test_use_decides_who_pays_for_what_was_used_not_only_what_was_asked_for() -> None:
    """opencost#3900: cost "by usage" that was requests all the same. Twice as busy pays twice for the use."""
    state = GPU.model_copy(update={"units_per_node": 2.0, "capacity_units": 2.0})
    devices = [
        dcgm(name, value, pod, GPU_I_ID=instance, GPU_I_PROFILE="3g.20gb")
        for pod, instance, busy in (("a", "1", 0.6), ("b", "2", 0.3))
        for name, value in (("DCGM_FI_DEV_POWER_USAGE", 100.0), ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", busy))
    ]
    watts = joules_by_workload(devices, {"a": "", "b": ""}, state)
    held = 10 * 3 / 7 + HOST_IDLE / 2
    assert watts["a"] - held == pytest.approx(2 * (watts["b"] - held))


def test_whole_devices_belong_to_who_holds_them_and_the_rest_to_nobody() -> None:
    state = GPU.model_copy(update={"units_per_node": 2.0, "capacity_units": 2.0})
    devices = [
        dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 200.0, "a", "GPU-1"),
        dcgm("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 40.0, "", "GPU-2"),
    ]
    watts = joules_by_workload(devices, {"a": ""}, state)
    assert watts["a"] == pytest.approx(200.0 + HOST_IDLE / 2)
    assert watts["nobody"] == pytest.approx(40.0 + HOST_IDLE / 2)


def test_a_fraction_of_a_gpu_is_held_as_hami_grants_it() -> None:
    """opencost#3828: `nvidia.com/gpu: 1` with 25 % of its cores is a quarter."""
    labels = {"namespace": "demo", "pod": "p", "container": "c"}
    requests = [
        series("kube_pod_container_resource_requests", [(-100, v), (0, v)], resource=resource, **labels)
        for resource, v in (("nvidia_com_gpu", 1.0), ("nvidia_com_gpucores", 25.0))
    ]
    pod = WorkloadPod(name="p", hardware_class="gpu", node="g1", created_at=NOW)
    cpu = [grown("pod_cpu_usage_seconds_total", 0.1, namespace="demo", pod="p")]
    found = read(Results(cpu=cpu, requests=requests), world(pod, hardware=(GPU,))).reading
    assert [units for _, units in found.pods[0].units] == [250]


# --- Kepler and node-exporter -----------------------------------------------------------------------------------------


def host_watts(found: list[Series], pin: PowerSource = PowerSource.AUTO) -> tuple[str, float]:
    cpu = grown("node_cpu_usage_seconds_total", 0.5, node="n1")
    (meter,) = node_meters([cpu, *found], [], {"n1": "c"}, {"c": pin}, {}, {})
    if meter.host is None:
        return meter.host_source, 0.0
    return meter.host_source, (meter.host.totals[-1] - meter.host.totals[0]) / 1e6 / 200


def kepler(zone: str, watts: float) -> Series:
    return grown("kepler_node_cpu_joules_total", watts, node_name="n1", zone=zone, path=f"/sys/{zone}")


def rapl(kind: str, watts: float, index: int = 0) -> Series:
    return grown(f"node_rapl_{kind}_joules_total", watts, instance="n1:9100", index=str(index))


def test_zones_that_lie_in_other_zones_are_not_counted_twice() -> None:
    zones = [
        kepler("package-0", 30),
        kepler("package-1", 32),
        kepler("dram", 4),
        kepler("core", 20),
        kepler("psys", 90),
    ]
    assert host_watts(zones) == ("Kepler", pytest.approx(66.0))


def test_kepler_before_0_10_has_a_metric_for_each_zone_and_idle_apart() -> None:
    old = [
        grown(f"kepler_node_{kind}_joules_total", watts, instance="n1", mode=mode)
        for kind, mode, watts in (("package", "idle", 20.0), ("package", "dynamic", 10.0), ("dram", "dynamic", 2.0))
    ]
    assert host_watts(old) == ("Kepler", pytest.approx(32.0))


def test_the_best_source_is_taken_and_a_class_may_pin_another() -> None:
    both = [kepler("package", 30), rapl("package", 29), rapl("package", 28, 1), rapl("dram", 3)]
    assert host_watts(both) == ("Kepler", pytest.approx(30.0))
    assert host_watts(both[1:]) == ("RAPL", pytest.approx(60.0))
    assert host_watts(both, PowerSource.RAPL) == ("RAPL", pytest.approx(60.0))
    assert host_watts(both, PowerSource.MODEL) == ("", 0.0)


def test_each_socket_may_be_reset_on_its_own() -> None:
    """RAPL counters wrap at different times (kepler#575): a fall of one must not look like energy of the other."""
    wrapped = series(
        "node_rapl_package_joules_total",
        [(t, (t + 200) * 30.0 if t < -100 else (t + 100) * 30.0) for t in range(-200, 1, 5)],
        instance="n1:9100", index="1",
    )  # fmt: skip
    source, watts = host_watts([rapl("package", 30), wrapped])
    assert source == "RAPL"
    assert watts == pytest.approx(60.0, rel=0.03)
