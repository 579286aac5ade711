"""Entry point of the operator's image: `python3 -m trimtab.handlers`."""

import asyncio
import contextlib
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kopf
from kubernetes.config import ConfigException
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from trimtab.apply.actuator import Actuator
from trimtab.handlers.exporter import Exporter
from trimtab.handlers.logs import configure_logging
from trimtab.handlers.loop import ControlLoop
from trimtab.handlers.parts import build_actuator, build_observer
from trimtab.handlers.passes import PassCrashError, Passes
from trimtab.handlers.settings import Settings, SettingsError, settings_from
from trimtab.handlers.watching import add_login, kopf_settings, watch
from trimtab.handlers.webhooks import add_admission, present_world
from trimtab.kube.client import KubeClient
from trimtab.observe.cache import WATCHED, ClusterCache
from trimtab.plan.snapshot import Snapshot

logger = logging.getLogger("trimtab")


def utc_now() -> datetime:
    """The clock, read here and handed down: nothing below reads it by itself."""
    return datetime.now(UTC)


def add_probe(registry: kopf.OperatorRegistry, loop: ControlLoop, settings: Settings) -> None:
    """/healthz fails when no pass has ended for a long time: a hung loop is then restarted."""

    async def last_pass(**_: object) -> str:
        limit = timedelta(seconds=max(120.0, 12 * settings.loop_seconds))
        since = loop.last_pass_at or loop.started_at
        if utc_now() - since > limit:
            raise kopf.PermanentError(f"no pass of the decision loop has ended since {since.isoformat()}")
        return since.isoformat()

    kopf.on.probe(id="last-pass", registry=registry)(last_pass)


async def operate(settings: Settings, kube: KubeClient) -> None:
    """Run watchers and loop until either ends.

    Raises:
        PassCrashError: when a pass showed a bug.
    """
    metrics = CollectorRegistry()
    ProcessCollector(registry=metrics)
    exporter = Exporter(metrics)
    start_http_server(settings.metrics_port, registry=metrics)
    cache = ClusterCache()
    observer = build_observer(settings, kube, cache)
    actuator: Actuator = build_actuator(settings, kube, cache)
    passes = Passes(observer, actuator, exporter, Path(settings.snapshot_path))
    loop = ControlLoop(observer, passes, settings, utc_now)
    registry = kopf.OperatorRegistry()
    for resource in WATCHED:
        watch(registry, resource, cache, loop, utc_now)
    add_login(registry)
    add_probe(registry, loop, settings)
    chosen = kopf_settings(settings)

    def world() -> Snapshot | None:
        return present_world(passes, cache)

    beside = [
        asyncio.create_task(task) for task in add_admission(settings, registry, chosen, kube, world, utc_now, metrics)
    ]
    stop = asyncio.Event()
    watchers = asyncio.create_task(
        kopf.operator(
            registry=registry,
            settings=chosen,
            standalone=True,
            clusterwide=True,
            liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
            stop_flag=stop,
        )
    )
    deciding = asyncio.create_task(loop.run())
    await asyncio.wait({watchers, deciding, *beside}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    for task in (deciding, *beside):
        task.cancel()
    for task in (deciding, watchers, *beside):
        with contextlib.suppress(asyncio.CancelledError):
            await task


def main() -> None:
    """Start the operator; exit 2 on wrong settings or without a way to a cluster, 1 on a crash."""
    try:
        settings = settings_from(os.environ)
        configure_logging(settings.log_level, settings.log_format)
        kube = KubeClient.from_environment()
    except SettingsError as error:
        print(f"trimtab: {error}", file=sys.stderr)
        sys.exit(2)
    except ConfigException as error:
        print(f"trimtab: not in a cluster, and KUBECONFIG names no usable file: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        asyncio.run(operate(settings, kube))
    except PassCrashError as crash:
        logger.critical("%s", crash)
        sys.exit(1)


if __name__ == "__main__":
    main()
