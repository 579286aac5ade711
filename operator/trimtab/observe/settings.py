"""How the world is observed: the figures that an installation may change."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObserveSettings:
    """Times and limits of observing. All times are in seconds."""

    scrape_interval_seconds: float = 5.0
    """How often Prometheus scrapes the workloads; the chart sets both."""
    rate_window_seconds: float = 15.0
    """Window over which serving rates are taken: three scrapes, so that one lost scrape leaves two."""
    training_window_seconds: float = 60.0
    """Window over which the speed of a training is taken: long enough for several of its steps."""
    metrics_stale_seconds: float = 60.0
    """Metrics older than this are stale: the planner then holds what runs."""
    prometheus_timeout_seconds: float = 5.0
    """Longest that one query may take."""
    meter_lag_seconds: float = 25.0
    """How long after an instant all its samples are in Prometheus.

    Two scrape intervals, and the 15 s by which the kubelet's own CPU figures may be late.
    """
    meter_lookback_seconds: float = 150.0
    """How far before an interval its last sample is looked for: beyond the longest hole that the ledger bridges."""
    meter_window_seconds: float = 600.0
    """Longest interval read for a workload in one pass; after an outage the meter catches up in such steps."""
    meter_windows_a_pass: int = 8
    """Most different intervals read in one pass, so that catching up never holds up deciding."""
    meter_revisit_minutes: int = 10
    """Gaps that could not be closed soon after their end are read again in every minute that this divides."""
    carbon_refresh_seconds: float = 30.0
    """A carbon trace is read again from its ConfigMap at most this often, and so are tables."""
    tables_directory: str = ""
    """Where files that replace rows of the package's tables are; empty means that there are none."""
    others_list_seconds: float = 30.0
    """KEDA's and the Vertical Pod Autoscaler's objects are listed this often."""
    triton_port: int = 8001
    """gRPC port of the serving pods."""
    triton_timeout_seconds: float = 1.0
    """Longest that one serving pod is waited for."""
    triton_parallel: int = 16
    """Serving pods asked at the same time."""
