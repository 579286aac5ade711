"""Readings as Prometheus series, with the labels that a scrape of the pods themselves would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trimtab_workloads.simulated.progress import Reading

_LABELS = ("namespace", "pod", "workload", "workload_kind", "hardware_class", "simulated")
_SERIES = (
    ("trimtab_training_progress_samples", "Samples done by the workload (simulated)"),
    ("trimtab_training_total_samples", "Samples to do by the workload (simulated)"),
    ("trimtab_training_samples_per_second", "Samples a second of this pod, by its profile (simulated)"),
    ("trimtab_power_watts", "Power of this pod's accelerators, by its profile (simulated)"),
)


class Exporter(Collector):
    """Exports the latest readings; the series of pods that are gone end with them."""

    def __init__(self) -> None:
        self.readings: Sequence[Reading] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called at each scrape."""
        readings = self.readings
        families = [GaugeMetricFamily(name, text, labels=_LABELS) for name, text in _SERIES]
        for reading in readings:
            pod = reading.pod
            labels = (pod.namespace, pod.name, pod.workload, "TrainingWorkload", pod.hardware_class, "true")
            values = (reading.progress_samples, pod.total_samples, reading.samples_per_second, reading.watts)
            for family, value in zip(families, values, strict=True):
                family.add_metric(labels, value)
        yield from families
