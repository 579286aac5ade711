"""What Prometheus reads from a rank."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.registry import REGISTRY

_STEP_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 10.0)
_CHECKPOINT_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class RankMetrics:
    """What every rank exports about its own work."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.samples = Counter(
            "trimtab_training_samples_total", "Sample visits trained by this rank since it started", registry=registry
        )
        self.step_seconds = Histogram(
            "trimtab_training_step_seconds",
            "Time of an optimizer step by phase: data, compute, communication",
            ["phase"],
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self.world_size = Gauge("trimtab_training_world_size", "Ranks that train together", registry=registry)


class TrainingMetrics:
    """What rank 0 exports about the training as a whole."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.progress = Gauge(
            "trimtab_training_progress_samples", "Sample visits done, over all resumes", registry=registry
        )
        self.total = Gauge("trimtab_training_total_samples", "Sample visits to do", registry=registry)
        self.loss = Gauge("trimtab_training_loss", "Mean training loss of the last step", registry=registry)
        self.accuracy = Gauge(
            "trimtab_training_accuracy", "Share of held-out samples classified rightly", registry=registry
        )
        self.last_checkpoint = Gauge(
            "trimtab_training_last_checkpoint_samples",
            "Sample visits that the newest checkpoint holds",
            registry=registry,
        )
        self.checkpoint_seconds = Histogram(
            "trimtab_training_checkpoint_seconds",
            "Time to write a checkpoint to disk, during which training waits",
            buckets=_CHECKPOINT_BUCKETS,
            registry=registry,
        )


def serve(port: int) -> int:
    """Serves the process's metrics; returns the port, which differs from the argument when that is 0."""
    server, _ = start_http_server(port)
    return int(server.server_port)
