"""Builds the observer and the actuator from the settings."""

from typing import Any

from trimtab.apply.actuator import Actuator
from trimtab.apply.settings import ApplySettings, Images
from trimtab.apply.triton import TritonControl
from trimtab.handlers.settings import Settings
from trimtab.kube.client import KubeClient
from trimtab.kube.paths import Resource
from trimtab.observe.cache import WATCHED, ClusterCache
from trimtab.observe.observer import Observer
from trimtab.observe.prometheus import Prometheus
from trimtab.observe.settings import ObserveSettings
from trimtab.observe.triton import TritonVersions


def build_observer(settings: Settings, kube: KubeClient, cache: ClusterCache) -> Observer:
    """The reading side."""
    scrape = settings.scrape_seconds
    chosen = ObserveSettings(
        scrape_interval_seconds=scrape,
        rate_window_seconds=max(8.0, 3 * scrape),
        training_window_seconds=max(20.0, 12 * scrape),
        metrics_stale_seconds=settings.metrics_stale_seconds,
        meter_lag_seconds=15.0 + 2 * scrape,
        tables_directory=settings.tables_directory,
    )
    triton = TritonVersions(chosen.triton_port, chosen.triton_timeout_seconds, chosen.triton_parallel)
    prometheus = (
        Prometheus(settings.prometheus_url, chosen.prometheus_timeout_seconds) if settings.prometheus_url else None
    )
    return Observer(cache, kube, prometheus, triton, chosen)


def build_actuator(settings: Settings, kube: KubeClient, cache: ClusterCache) -> Actuator:
    """The writing side. What it writes goes into the cache at once: no pass decides on what is already changed."""
    images = Images(
        train=settings.train_image,
        optimize=settings.optimize_image,
        serve=settings.serve_image,
        serve_nvidia=settings.serve_nvidia_image,
    )
    chosen = ApplySettings(images=images, usage_write_seconds=settings.loop_seconds)

    def remember(resource: Resource, written: dict[str, Any]) -> None:
        if resource in WATCHED:
            cache.put(resource, written)

    return Actuator(kube, TritonControl(), chosen, on_written=remember)
