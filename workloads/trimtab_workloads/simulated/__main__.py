"""`python3 -m trimtab_workloads.simulated`: the exporter and finisher of pods on simulated nodes."""

from __future__ import annotations

import time

from kubernetes.client import ApiException
from prometheus_client import start_http_server
from prometheus_client.registry import REGISTRY
from urllib3.exceptions import HTTPError

from trimtab_workloads.common.entry import EXIT_OK, run_entry_point
from trimtab_workloads.common.log import log
from trimtab_workloads.common.stop import StopRequest
from trimtab_workloads.simulated.cluster import Cluster
from trimtab_workloads.simulated.config import SimulatedConfig
from trimtab_workloads.simulated.exporter import Exporter
from trimtab_workloads.simulated.progress import Progress, SimulatedPod, UnknownProfileError


def run(config: SimulatedConfig) -> int:
    """Looks, advances, exports and marks until SIGTERM; returns the exit status."""
    stop = StopRequest().install()
    cluster = Cluster.connect(config.node_selector, config.pod_selector)
    progress = Progress(config.profiles, config.speedup, config.scaling_efficiency)
    exporter = Exporter()
    REGISTRY.register(exporter)
    server, _ = start_http_server(config.metrics_port)
    log("started", metrics_port=server.server_port, profiles=len(config.profiles))
    while not stop.requested:
        try:
            _look(cluster, progress, exporter)
        except (ApiException, HTTPError) as error:
            # The API server comes back; the next look makes up for the time that this one missed.
            log("cluster_unreachable", error=f"{type(error).__name__}: {error}")
        stop.wait(config.interval_seconds)
    return EXIT_OK


def _look(cluster: Cluster, progress: Progress, exporter: Exporter) -> None:
    pods = [pod for pod in cluster.running_pods() if _has_profile(cluster, progress, pod)]
    exporter.readings = progress.advance(pods, time.monotonic())
    for reading in exporter.readings:
        if reading.done:
            cluster.mark_done(reading.pod)


def _has_profile(cluster: Cluster, progress: Progress, pod: SimulatedPod) -> bool:
    try:
        progress.profile_of(pod)
    except UnknownProfileError as error:
        cluster.complain(f"{pod.namespace}/{pod.name}", str(error))
        return False
    return True


if __name__ == "__main__":
    run_entry_point(SimulatedConfig, run)
