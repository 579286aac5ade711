"""The operator's own metrics, for Prometheus, alerts and dashboards."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trimtab.api.common import Rate
from trimtab.api.training import TrainingAction
from trimtab.handlers.account_metrics import AccountMetrics
from trimtab.handlers.budget_metrics import BudgetMetrics
from trimtab.plan.decisions import Plan
from trimtab.plan.snapshot import Snapshot

_LABELS = ("namespace", "workload", "kind")


class Exporter:
    """Gauges that are set anew after each pass: a workload that is gone leaves no series behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pass_seconds = Histogram(
            "trimtab_pass_seconds",
            "Time of one pass of the decision loop, by phase",
            ["phase"],
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )
        self.last_pass = Gauge("trimtab_last_pass_timestamp_seconds", "When the last pass ended", registry=registry)
        self.apply_errors = Counter(
            "trimtab_apply_errors", "Objects that could not be applied in a pass", registry=registry
        )
        self._objects = Gauge("trimtab_snapshot_objects", "Objects in the Snapshot", ["kind"], registry=registry)
        self._accounts = AccountMetrics(registry)
        self._budgets = BudgetMetrics(registry)
        self._gauges = {
            name: Gauge(f"trimtab_{name}", text, _LABELS, registry=registry)
            for name, text in (
                ("workload_cost_usd_per_hour", "Cost of running as decided"),
                ("workload_carbon_grams_per_hour", "Carbon of running as decided (gCO2e/h)"),
                ("workload_power_watts", "Power of running as decided"),
                ("serving_latency_target_milliseconds", "Latency target"),
                ("serving_latency_milliseconds", "The target's percentile, of the slowest replica"),
                ("serving_replicas", "Replicas decided on"),
                ("training_progress_ratio", "Share of the work done"),
            )
        }

    def publish(self, snapshot: Snapshot, plan: Plan, ended_at_seconds: float) -> None:
        """Set all gauges from one pass."""
        self.last_pass.set(ended_at_seconds)
        for kind in ("training", "serving", "variants", "policies", "hardware", "carbon"):
            self._objects.labels(kind).set(len(getattr(snapshot, kind)))
        self._accounts.publish(snapshot)
        self._budgets.publish(plan)
        for gauge in self._gauges.values():
            gauge.clear()
        for job in plan.training:
            if job.action is TrainingAction.RUN:
                self._rates(job.key, "TrainingWorkload", job.rate)
        for served in plan.serving:
            self._rates(served.key, "ServingWorkload", served.rate)
        self._training(snapshot)
        self._serving(snapshot, plan)

    def _set(self, name: str, key: str, kind: str, value: float | None) -> None:
        if value is not None:
            namespace, _, workload = key.partition("/")
            self._gauges[name].labels(namespace, workload, kind).set(value)

    def _rates(self, key: str, kind: str, rate: Rate | None) -> None:
        if rate is not None:
            self._set("workload_cost_usd_per_hour", key, kind, rate.cost_usd_per_hour)
            self._set("workload_carbon_grams_per_hour", key, kind, rate.carbon_grams_per_hour)
            self._set("workload_power_watts", key, kind, rate.power_watts)

    def _training(self, snapshot: Snapshot) -> None:
        for state in snapshot.training:
            progress = state.status.progress
            if progress and progress.total_samples:
                ratio = progress.completed_samples / progress.total_samples
                self._set("training_progress_ratio", state.meta.key, "TrainingWorkload", ratio)

    def _serving(self, snapshot: Snapshot, plan: Plan) -> None:
        replicas = {decision.key: decision.replicas for decision in plan.serving}
        for state in snapshot.serving:
            key, kind = state.meta.key, "ServingWorkload"
            self._set("serving_latency_target_milliseconds", key, kind, state.spec.targets.latency.milliseconds)
            self._set("serving_latency_milliseconds", key, kind, state.metrics.latency_ms if state.metrics else None)
            self._set("serving_replicas", key, kind, replicas.get(key))
