"""Reads what Prometheus says of all serving workloads: the present, and what is remembered of the last hour."""

import logging
from collections.abc import Sequence
from datetime import datetime

from trimtab.observe.lateness import LatenessMemory, lateness_query, step_seconds
from trimtab.observe.load_history import LoadMemory, interval_seconds
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.series import at_time, by_workload
from trimtab.observe.serving_metrics import serving_metrics, serving_query
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.serving_facts import ServingMetrics
from trimtab.plan.snapshot import ServingState

logger = logging.getLogger(__name__)

Metrics = dict[str, ServingMetrics]
"""By `namespace/name`; a workload of which nothing usable is known is not in it."""


class ServingReader:
    """A constant number of queries for all workloads. What it remembers is only what it need not ask again.

    To be used by one thread at a time.
    """

    def __init__(self, settings: ObserveSettings) -> None:
        self._settings = settings
        self._loads = LoadMemory(interval_seconds(settings.scrape_interval_seconds))
        self._lateness = LatenessMemory(step_seconds(settings.scrape_interval_seconds))
        self._problem = ""

    def present(self, prometheus: Prometheus, states: Sequence[ServingState], now: datetime) -> Metrics:
        """What the servers say now.

        Raises:
            PrometheusError: when it cannot be asked.
        """
        # Asked also when there is nothing to serve: it is how an outage is seen before it hurts.
        window_seconds = self._settings.rate_window_seconds
        settle_seconds = window_seconds + 2 * self._settings.scrape_interval_seconds
        series = by_workload(prometheus.query(serving_query(window_seconds), now))
        found = {
            one.meta.key: serving_metrics(series.get(one.meta.key, ()), one.spec, one.pods, now, settle_seconds)
            for one in states
        }
        return {key: metrics for key, metrics in found.items() if metrics is not None}

    def whole(self, prometheus: Prometheus, states: Sequence[ServingState], now: datetime) -> Metrics:
        """The same, with the load of the last hour and how many of its requests were late.

        Raises:
            PrometheusError: when it cannot be asked.
        """
        metrics = self._with_load(prometheus, states, self.present(prometheus, states, now), now)
        self._read_lateness(prometheus, states, now)
        return {key: one.model_copy(update={"late": self._lateness.share(key)}) for key, one in metrics.items()}

    def _with_load(
        self, prometheus: Prometheus, states: Sequence[ServingState], fresh: Metrics, now: datetime
    ) -> Metrics:
        memory = self._loads
        specs = {one.meta.key: one.spec for one in states if one.meta.key in fresh}
        promql = memory.query(specs.values(), now)
        if promql is None:
            return fresh
        memory.take(by_workload(prometheus.query(promql, now)), now)
        return {
            key: metrics.model_copy(
                update={
                    "recent_requests_per_second": memory.rates(key, specs[key], now),
                    "recent_interval_seconds": memory.interval,
                }
            )
            for key, metrics in fresh.items()
        }

    def _read_lateness(self, prometheus: Prometheus, states: Sequence[ServingState], now: datetime) -> None:
        """Without it the planner takes what is just allowed: that holds up nothing."""
        memory = self._lateness
        read = memory.due(states, now.timestamp(), self._settings.scrape_interval_seconds)
        if read is None:
            return
        try:
            found = prometheus.query(lateness_query(memory.step, read.steps), at_time(read.end_seconds))
        except PrometheusError as error:
            memory.failed(now.timestamp())
            if str(error) != self._problem:
                logger.warning("the share of late requests stays as it was read last: %s", error)
            self._problem = str(error)
            return
        memory.take(read, states, by_workload(found))
        self._problem = ""
