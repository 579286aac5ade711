"""Raw meter readings, as they come from Prometheus: the input of the ledger."""

from datetime import datetime

from trimtab.plan.snapshot import Fact


class Sample(Fact):
    """One scraped value."""

    at: datetime
    value: float


class PodMeter(Fact):
    """The samples of one pod. Each series also holds the last sample at or before the interval's start, where there
    is one.
    """

    pod: str
    hardware_class: str
    cpu_seconds: tuple[Sample, ...] = ()
    """Cumulative CPU time (`pod_cpu_usage_seconds_total` of the kubelet)."""
    watts: tuple[Sample, ...] = ()
    """Power, where a meter publishes it (`trimtab_power_watts`)."""
    simulated: bool = False
    started_at: datetime | None = None
    """When the pod started, where it is still known."""


class MeterReading(Fact):
    """All pods of one workload over one interval."""

    key: str
    """`namespace/name` of the workload."""
    start: datetime
    """Where the last account ended."""
    end: datetime
    """Every sample up to here has been scraped."""
    pods: tuple[PodMeter, ...] = ()
