"""The ledger is settled from what stands in status: a pass that is repeated comes to the same sums."""

from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from tests.unit.worlds import NOW, carbon, hardware, serving, snapshot, training
from trimtab.api.common import Usage
from trimtab.handlers.accounting import settle_all
from trimtab.handlers.exporter import Exporter
from trimtab.ledger.meter import MeterReading, PodMeter, Sample
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import Snapshot

KEY = "TrainingWorkload/demo/digits"


def reading(start: datetime, seconds: int, cores: float = 0.5) -> MeterReading:
    samples = tuple(
        Sample(at=start + timedelta(seconds=at), value=1000 + cores * at) for at in range(0, seconds + 1, 10)
    )
    pod = PodMeter(pod="digits-0", hardware_class="local-cpu", cpu_seconds=samples, started_at=start)
    return MeterReading(key="demo/digits", start=start, end=start + timedelta(seconds=seconds), pods=(pod,))


def world(usage: Usage | None = None) -> Snapshot:
    state = training()
    state = state.model_copy(update={"status": state.status.model_copy(update={"usage": usage})})
    return snapshot(training=(state,), hardware=(hardware(),), carbon=(carbon("ES", 100.0, 100.0),))


def test_a_pass_repeated_before_the_status_was_written_comes_to_the_same_sums() -> None:
    readings = {KEY: reading(NOW, 120)}
    once, again = settle_all(world(), readings), settle_all(world(), readings)
    assert once == again
    usage = once[KEY]
    assert usage.accounted_until == NOW + timedelta(seconds=120)
    assert usage.energy_watt_hours > 0
    assert usage.cost_usd > 0


def test_two_intervals_add_up_to_the_whole() -> None:
    whole = settle_all(world(), {KEY: reading(NOW, 120)})[KEY]
    first = settle_all(world(), {KEY: reading(NOW, 60)})[KEY]
    second = settle_all(world(first), {KEY: reading(NOW + timedelta(seconds=60), 60)})[KEY]
    assert second.accounted_until == whole.accounted_until
    assert abs(second.cost_usd - whole.cost_usd) < 1e-9
    assert abs(second.energy_watt_hours - whole.energy_watt_hours) < 1e-9
    assert abs(second.replica_seconds - whole.replica_seconds) < 1e-9


def test_without_a_reading_there_is_no_account_to_write() -> None:
    assert settle_all(world(Usage(cost_usd=1.0)), {}) == {}
    assert settle_all(world(), {"ServingWorkload/demo/digits": reading(NOW, 60)}) == {}, "a namesake of another kind"


def test_the_exporter_forgets_workloads_that_are_gone() -> None:
    registry = CollectorRegistry()
    exporter = Exporter(registry)
    labels = {"namespace": "demo", "workload": "digits-serving", "kind": "ServingWorkload"}
    full = snapshot(serving=(serving(2),))
    exporter.publish(full, plan(full), 5.0)
    assert registry.get_sample_value("trimtab_serving_latency_target_milliseconds", labels) == 200
    assert registry.get_sample_value("trimtab_snapshot_objects", {"kind": "serving"}) == 1
    empty = snapshot()
    exporter.publish(empty, plan(empty), 6.0)
    assert registry.get_sample_value("trimtab_serving_latency_target_milliseconds", labels) is None
    assert registry.get_sample_value("trimtab_snapshot_objects", {"kind": "serving"}) == 0
    assert registry.get_sample_value("trimtab_last_pass_timestamp_seconds") == 6.0
