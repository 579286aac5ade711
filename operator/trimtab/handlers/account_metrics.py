"""Accounts as metrics: true counters, which never go back and are never counted twice.

A workload's series show what its status holds, without what may still be corrected; so they go on at the same value
after a restart, and rate() and increase() are exact. Sums over namespaces, teams and models outlive the workloads in
them; they count from zero when the operator starts, which rate() takes for the reset that it is. What was written to
status between the last scrape and a restart is missing there, and only there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trimtab.api.common import Usage
from trimtab.ledger.account import closed_part
from trimtab.ledger.amounts import Amount, of_usage
from trimtab.plan.snapshot import ServingState, Snapshot, TrainingState

MOST_NAMES: Final = 200
"""Names of one dimension that have a series of their own; what comes after them is counted as `other`."""
OTHER: Final = "other"
TEAM_LABELS: Final = ("trimtab.dev/team", "app.kubernetes.io/part-of")
"""Labels of a workload that name its team, the first that is there."""

_LABELS: Final = ("namespace", "workload", "kind")
_JOULES: Final = 3600.0 / 1e9
_FIGURES: Final = (
    ("energy_watt_hours", _JOULES, "Energy so far, the site's overhead included", "trimtab_workload_energy_joules",
     "trimtab_spent_energy_joules"),
    ("cost_usd", 1e-9, "Cost so far", "trimtab_workload_cost_usd", "trimtab_spent_cost_usd"),
    ("carbon_grams", 1e-9, "Carbon so far (gCO2e)", "trimtab_workload_carbon_grams", "trimtab_spent_carbon_grams"),
)  # fmt: skip
_SAVED: Final = (
    ("cost_usd", "Cost", "trimtab_workload_saved_cost_usd"),
    ("energy_watt_hours", "Energy (Wh)", "trimtab_workload_saved_energy_watt_hours"),
    ("carbon_grams", "Carbon (gCO2e)", "trimtab_workload_saved_carbon_grams"),
)


def model_of(state: TrainingState | ServingState) -> str:
    """The model that a workload trains or serves; empty when nothing names it."""
    if isinstance(state, ServingState):
        return state.spec.model
    if state.spec.torch is not None:
        return state.spec.torch.model
    return state.spec.work.model if state.spec.work is not None else ""


def team_of(state: TrainingState | ServingState) -> str:
    """The team that a workload belongs to by its labels; empty without one."""
    return next((state.meta.labels[label] for label in TEAM_LABELS if state.meta.labels.get(label)), "")


class AccountMetrics(Collector):
    """Publishes the accounts of the last Snapshot, and the sums that grew with them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._snapshot: Snapshot | None = None
        self._since: datetime | None = None
        self._seen: dict[str, Amount] = {}
        self._sums: dict[tuple[str, str], Amount] = defaultdict(Amount)
        registry.register(self)

    def publish(self, snapshot: Snapshot) -> None:
        """Take over the accounts of a Snapshot, as they stand in status: what was written, and not what may yet fail
        to be.
        """
        since = self._since = self._since or snapshot.taken_at
        seen = {}
        for _, state in _workloads(snapshot):
            if state.status.usage is None:
                continue
            now = seen[state.meta.uid] = closed_part(state.status.usage)
            before = self._seen.get(state.meta.uid)
            if before is None:
                # What was spent before this process began was counted by the one before.
                before = Amount() if state.meta.created_at >= since else now
            self._grow(state, now.minus(before))
        self._seen, self._snapshot = seen, snapshot

    def _grow(self, state: TrainingState | ServingState, grown: Amount) -> None:
        for by, name in (("namespace", state.meta.namespace), ("team", team_of(state)), ("model", model_of(state))):
            if name:
                key = (by, name)
                known = key in self._sums or sum(1 for one, _ in self._sums if one == by) < MOST_NAMES
                counted = key if known else (by, OTHER)
                self._sums[counted] = self._sums[counted].plus(grown)

    def collect(self) -> Iterator[Metric]:
        """Prometheus's hook."""
        snapshot = self._snapshot
        if snapshot is None:
            return
        usages = [
            ((state.meta.namespace, state.meta.name, kind), state.status.usage)
            for kind, state in _workloads(snapshot)
            if state.status.usage is not None
        ]
        closed = [(labels, closed_part(usage)) for labels, usage in usages]
        for attribute, scale, text, name, _ in _FIGURES:
            yield _counter(name, f"{text}, as in status", _LABELS, closed, attribute, scale)
        text = "Samples trained or inferences made in what is accounted for, as in status"
        yield _counter("trimtab_workload_work_items", text, _LABELS, closed, "work_items", 1e-9)
        yield from _gauges(usages)
        sums = sorted(self._sums.items())
        for attribute, scale, text, _, name in _FIGURES:
            text = f"{text} by namespace, team or model, since the operator started"
            yield _counter(name, text, ("by", "name"), sums, attribute, scale)
        yield from _nodes(snapshot)


def _counter(
    name: str,
    text: str,
    labels: Sequence[str],
    amounts: Iterable[tuple[Sequence[str], Amount]],
    attribute: str,
    scale: float,
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, amount in amounts:
        family.add_metric(values, getattr(amount, attribute) * scale)
    return family


def _workloads(snapshot: Snapshot) -> list[tuple[str, TrainingState | ServingState]]:
    return [
        *(("TrainingWorkload", one) for one in snapshot.training),
        *(("ServingWorkload", one) for one in snapshot.serving),
    ]


def _gauges(usages: Iterable[tuple[tuple[str, str, str], Usage]]) -> Iterator[Metric]:
    known = list(usages)
    estimate = GaugeMetricFamily(
        "trimtab_workload_open_estimate_joules", "Energy that is estimated and may still be corrected", labels=_LABELS
    )
    for labels, usage in known:
        still = of_usage(usage).minus(closed_part(usage))
        estimate.add_metric(labels, still.energy_watt_hours * _JOULES)
    yield estimate
    for name, text, metric in _SAVED:
        saved = GaugeMetricFamily(metric, f"{text} less than the baseline: negative is more", labels=_LABELS)
        for labels, usage in known:
            if usage.savings is not None:
                saved.add_metric(labels, getattr(usage.savings, name))
        yield saved


def _nodes(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("hardware_class", "source")
    whole = CounterMetricFamily("trimtab_nodes_energy_joules", "Energy of a class's nodes so far", labels=labels)
    nobody = CounterMetricFamily(
        "trimtab_nodes_unattributed_energy_joules", "The part of it that no workload held or used", labels=labels
    )
    for hardware in snapshot.hardware:
        usage = hardware.status.usage
        if usage is not None:
            amount, values = closed_part(usage), (hardware.meta.name, usage.power_source)
            whole.add_metric(values, amount.energy_watt_hours * _JOULES)
            nobody.add_metric(values, amount.unattributed_watt_hours * _JOULES)
    yield whole
    yield nobody
