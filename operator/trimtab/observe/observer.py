"""Takes Snapshots: joins the cache, Prometheus, Triton and the carbon sources into the world at one instant."""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import cast

from trimtab.api.carbon import CARBON_SOURCE
from trimtab.api.hardware import HARDWARE_CLASS
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, KubeError, NotFound
from trimtab.kube.paths import DEPLOYMENTS, JOBS, Resource, collection
from trimtab.observe.assemble import (
    Children,
    policy_states,
    scaler_states,
    serving_states,
    training_states,
    variant_states,
)
from trimtab.observe.cache import LISTED, WATCHED, ClusterCache, ClusterView
from trimtab.observe.carbon_sources import CarbonSources
from trimtab.observe.facts import WORKLOAD_LABEL, KindFact, NodeFact, PodFact, Rejected
from trimtab.observe.hardware import hardware_states
from trimtab.observe.hardware_figures import Instances, InstanceTables, with_figures
from trimtab.observe.idleness import WAITING_QUERY, idleness, may_sleep, requests_query
from trimtab.observe.idleness import windows as idle_windows
from trimtab.observe.load_history import interval_seconds
from trimtab.observe.meter import WindowReading, read_window
from trimtab.observe.meter_queries import Results, queries
from trimtab.observe.meter_windows import carbon_since, windows
from trimtab.observe.projection import NODES, PODS
from trimtab.observe.prometheus import Prometheus, PrometheusError
from trimtab.observe.rollout_evidence import evidence_queries, rollout_intervals, running
from trimtab.observe.series import by_workload
from trimtab.observe.serving_reader import ServingReader
from trimtab.observe.settings import ObserveSettings
from trimtab.observe.training_metrics import training_metrics, training_query
from trimtab.observe.triton import Loaded, Server, TritonVersions
from trimtab.plan.serving_facts import ServingMetrics
from trimtab.plan.snapshot import CarbonState, HardwareState, MetricsHealth, ServingState, Snapshot, TrainingState
from trimtab.tables import TableError

logger = logging.getLogger(__name__)

_SELECTORS = {JOBS: WORKLOAD_LABEL, DEPLOYMENTS: WORKLOAD_LABEL}
_NO_PROMETHEUS = "no Prometheus address is set: nothing can be scaled by load or metered"


class Observer:
    """Observes for the decision loop. All methods but the cache's belong to one thread at a time."""

    def __init__(
        self,
        cache: ClusterCache,
        kube: KubeClient,
        prometheus: Prometheus | None,
        triton: TritonVersions,
        settings: ObserveSettings,
    ) -> None:
        self.cache = cache
        self._kube = kube
        self._prometheus = prometheus
        self._triton = triton
        self._settings = settings
        self._carbon = CarbonSources(
            kube, settings.carbon_refresh_seconds, prometheus.url if prometheus else "", settings.tables_directory
        )
        self._figures, self._figures_problem = InstanceTables(settings.tables_directory), ""
        self._reported: frozenset[Rejected] = frozenset()
        self._serving = ServingReader(settings)
        self._others_listed_at: datetime | None = None
        self._others_failed: dict[str, str] = {}

    def relist(self, now: datetime) -> None:
        """List every watched resource into the cache, which prunes what was deleted unseen.

        Raises:
            KubeError: when a resource could not be listed; the others have been.
        """
        failed: KubeError | None = None
        for resource in WATCHED:
            try:
                self._list(resource, now)
            except KubeError as error:
                failed = failed or error
        self._list_others(now)
        if failed is not None:
            raise failed

    def _list_others(self, now: datetime) -> None:
        """List the kinds of others. They only serve to say conflicts: that one fails holds up nothing."""
        self._others_listed_at = now
        for resource in LISTED:
            said = ""
            try:
                self._list(resource, now)
            except NotFound:
                self.cache.clear(resource, now)
            except KubeError as error:
                said = str(error)
                if isinstance(error, Forbidden):
                    self.cache.clear(resource, now)
            if said and said != self._others_failed.get(resource.plural):
                logger.warning("conflicts with %s cannot be seen: %s", resource.plural, said)
            self._others_failed[resource.plural] = said

    def _list(self, resource: Resource, now: datetime) -> None:
        listed = self._kube.list(collection(resource), label_selector=_SELECTORS.get(resource, ""))
        self.cache.replace(resource, listed.items, listed.resource_version, at=now)

    def snapshot(self, now: datetime) -> Snapshot:
        """The world at `now`. What cannot be reached is said in the Snapshot; it is never an error."""
        since = self._others_listed_at
        if since is None or (now - since).total_seconds() >= self._settings.others_list_seconds:
            self._list_others(now)
        view = self.cache.view()
        self._report(view.rejected)
        children = Children(view)
        training, serving = training_states(view, children), serving_states(view, children)
        serving = self._with_versions(serving)
        health, message = MetricsHealth.OK, ""
        if self._prometheus is None:
            health, message = MetricsHealth.NOT_CONFIGURED, _NO_PROMETHEUS
        else:
            try:
                training = self._with_training_metrics(self._prometheus, training, now)
                fresh = self._serving.whole(self._prometheus, serving, now)
                serving = tuple(one.model_copy(update={"metrics": fresh.get(one.meta.key)}) for one in serving)
                serving = self._with_rollouts(self._prometheus, serving, now)
                serving = self._with_idleness(self._prometheus, serving, now)
            except PrometheusError as error:
                health, message = MetricsHealth.UNREACHABLE, str(error)
                training = tuple(one.model_copy(update={"metrics": None}) for one in training)
        policies, hardware = policy_states(view), self._hardware(view)
        return Snapshot(
            taken_at=now,
            metrics_health=health,
            metrics_message=message,
            metrics_stale_seconds=self._settings.metrics_stale_seconds,
            hardware=hardware,
            carbon=self._carbon_states(view, carbon_since((*training, *serving), policies, hardware, now), now),
            policies=policies,
            training=training,
            serving=serving,
            variants=variant_states(view, children),
            scalers=scaler_states(view),
        )

    def serving_metrics(self, snapshot: Snapshot, now: datetime) -> dict[str, ServingMetrics]:
        """Fresh metrics of the Snapshot's serving workloads, by `namespace/name`: one cheap look between passes.

        Empty when Prometheus cannot be asked: nothing may be concluded then.
        """
        if self._prometheus is None:
            return {}
        try:
            return self._serving.present(self._prometheus, snapshot.serving, now)
        except PrometheusError as error:
            logger.warning("no look at serving metrics: %s", error)
            return {}

    def waiting(self, snapshot: Snapshot, now: datetime) -> frozenset[str]:
        """Keys of the Snapshot's services for which a connection waits: one cheap look between passes."""
        if self._prometheus is None or not any(may_sleep(one) for one in snapshot.serving):
            return frozenset()
        try:
            found = by_workload(self._prometheus.query(WAITING_QUERY, now))
        except PrometheusError as error:
            logger.warning("no look at who waits: %s", error)
            return frozenset()
        return frozenset(key for key, series in found.items() if any((one.last or 0.0) > 0.0 for one in series))

    def readings(self, snapshot: Snapshot) -> list[WindowReading]:
        """What the meter says for all accounts that are open, of workloads, budgets and classes.

        A window that cannot be read is left out whole: its accounts stay where they are, and a later pass reads it.
        """
        if self._prometheus is None:
            return []
        readings: list[WindowReading] = []
        for window in windows(snapshot, self._settings):
            try:
                found = [self._prometheus.query(promql, window.read_end) for promql in queries(window).all()]
            except PrometheusError as error:
                logger.warning("the meter stays at its last reading: %s", error)
                break
            readings.append(read_window(window, Results(*found), snapshot, self._settings))
        return readings

    def close(self) -> None:
        """Close connections to Prometheus, Triton and the sources of carbon intensity."""
        self._carbon.close()
        self._triton.close()
        if self._prometheus is not None:
            self._prometheus.close()

    def _report(self, rejected: Iterable[Rejected]) -> None:
        """Say once of each object that it cannot be read, and what is wrong with it."""
        present = frozenset(rejected)
        for one in sorted(present - self._reported, key=lambda one: (one.resource, one.key)):
            logger.warning("%s %s is left out of all decisions: %s", one.resource, one.key, one.message)
        self._reported = present

    def _with_training_metrics(
        self, prometheus: Prometheus, states: tuple[TrainingState, ...], now: datetime
    ) -> tuple[TrainingState, ...]:
        if not states:
            return states
        series = by_workload(prometheus.query(training_query(self._settings.training_window_seconds), now))
        return tuple(
            one.model_copy(
                update={
                    "metrics": training_metrics(series.get(one.meta.key, ()), frozenset(pod.name for pod in one.pods))
                }
            )
            for one in states
        )

    def _with_rollouts(
        self, prometheus: Prometheus, states: tuple[ServingState, ...], now: datetime
    ) -> tuple[ServingState, ...]:
        interval = interval_seconds(self._settings.scrape_interval_seconds)
        promql = evidence_queries(states, interval, now)
        found = {counter: by_workload(prometheus.query(one, now)) for counter, one in promql.items()}

        def of(state: ServingState) -> ServingState:
            series = {counter: by_key.get(state.meta.key, []) for counter, by_key in found.items()}
            return state.model_copy(update={"rollout_intervals": rollout_intervals(state, series, interval)})

        return tuple(of(one) if running(one) is not None else one for one in states) if found else states

    def _with_idleness(
        self, prometheus: Prometheus, states: tuple[ServingState, ...], now: datetime
    ) -> tuple[ServingState, ...]:
        if not any(may_sleep(one) for one in states):
            return states
        waiting = by_workload(prometheus.query(WAITING_QUERY, now))
        requests = {span: by_workload(prometheus.query(requests_query(span), now)) for span in idle_windows(states)}
        return tuple(
            one.model_copy(update={"idleness": idleness(one, waiting, requests)}) if may_sleep(one) else one
            for one in states
        )

    def _with_versions(self, states: tuple[ServingState, ...]) -> tuple[ServingState, ...]:
        servers = {
            (one.meta.key, pod.name): Server(pod.ip, one.spec.model)
            for one in states
            for pod in one.pods
            if pod.ip and pod.phase == "Running" and not pod.deleting
        }
        loaded = self._triton.loaded(servers.values())
        versions = {key: loaded[server] for key, server in servers.items()}
        return tuple(
            one.model_copy(
                update={
                    "pods": tuple(
                        pod.model_copy(update=_loaded(versions.get((one.meta.key, pod.name)))) for pod in one.pods
                    )
                }
            )
            for one in states
        )

    def _hardware(self, view: ClusterView) -> tuple[HardwareState, ...]:
        nodes = list(cast(Iterable[NodeFact], view.facts[NODES]))
        states = hardware_states(
            cast(Iterable[KindFact], view.facts[HARDWARE_CLASS.plural]),
            nodes,
            cast(Iterable[PodFact], view.facts[PODS]),
        )
        return with_figures(states, nodes, self._instances())

    def _instances(self) -> Instances:
        """Prices and watts by instance type. A broken override is said, and the package's own figures are used."""
        try:
            return self._figures.read()
        except TableError as error:
            if str(error) != self._figures_problem:
                logger.warning("the tables' overrides are left out: %s", error)
            self._figures_problem = str(error)
            return self._figures.packaged()

    def _carbon_states(self, view: ClusterView, since: datetime, now: datetime) -> tuple[CarbonState, ...]:
        return self._carbon.states(cast(Iterable[KindFact], view.facts[CARBON_SOURCE.plural]), since, now)


def _loaded(found: Loaded | None) -> dict[str, object]:
    """What a pod's server said of itself, as its fields; nothing is known of one that was not asked."""
    known = found or Loaded()
    return {"loaded_version": known.version, "loaded_settings": known.settings}
