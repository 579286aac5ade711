"""Settles the ledger for every workload of a Snapshot."""

from collections.abc import Mapping
from datetime import datetime

from trimtab.api.common import Resources, Usage
from trimtab.ledger.account import settle
from trimtab.ledger.meter import MeterReading
from trimtab.plan.intensity import mean_intensity, points_by_zone
from trimtab.plan.rates import offers, units_per_replica
from trimtab.plan.snapshot import HardwareState, Snapshot


def settle_all(snapshot: Snapshot, readings: Mapping[str, MeterReading]) -> dict[str, Usage]:
    """The account of each workload that has a reading, up to the reading's end.

    Each account starts from what stands in status: a restarted operator goes on from there, and a pass that is
    repeated before the status write was seen comes to the same sums.
    """
    series = points_by_zone(snapshot.carbon)
    hardware = {h.meta.name: h for h in snapshot.hardware}

    def intensity(zone: str, start: datetime, end: datetime) -> float | None:
        return mean_intensity(series.get(zone, ()), start, end)

    usages: dict[str, Usage] = {}
    workloads = [
        *(("TrainingWorkload", t.meta.key, t.spec.resources, t.status.usage) for t in snapshot.training),
        *(("ServingWorkload", s.meta.key, s.spec.resources, s.status.usage) for s in snapshot.serving),
    ]
    for kind, key, resources, before in workloads:
        reading = readings.get(f"{kind}/{key}")
        if reading is not None:
            units = _units(resources, hardware)
            usages[f"{kind}/{key}"] = settle(before or Usage(), reading, units, hardware, intensity)
    return usages


def _units(resources: Resources, hardware: Mapping[str, HardwareState]) -> float:
    """Units that a replica holds, of whichever classes can run it: CPU cores or accelerators."""
    fitting = (units_per_replica(resources, h) for h in hardware.values() if offers(resources, h))
    return next(fitting, resources.cpu)
