"""The raw samples that the ledger accounts for, joined to workloads: results of a window's queries as a Reading."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from trimtab.ledger.booking import milliseconds
from trimtab.ledger.cumulative import Cumulative
from trimtab.ledger.meter import ExpectedPod, NodeMeter, PodMeter, Reading
from trimtab.observe.meter_nodes import node_meters, node_of, points
from trimtab.observe.meter_queries import INFERRED, POD_WATTS, TRAINED, Results
from trimtab.observe.meter_windows import Window, patience_seconds, workloads
from trimtab.observe.series import Series
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.rates import offers, units_per_replica
from trimtab.plan.snapshot import HardwareState, Snapshot

PodKey = tuple[str, str]
"""Namespace and name of a pod."""


@dataclass(frozen=True)
class WindowReading:
    """A window and what was read for it."""

    window: Window
    reading: Reading


@dataclass(frozen=True)
class _Holder:
    """Whose a pod is."""

    account: str
    hardware_class: str
    node: str = ""


def read_window(window: Window, results: Results, snapshot: Snapshot, settings: ObserveSettings) -> WindowReading:
    """The results of a window's queries, joined."""
    holders = _holders(snapshot, [*results.pods, *results.own])
    classes = _node_classes(snapshot, holders)
    start = milliseconds(window.read_start)
    pods = _pods(results, holders, snapshot, _Births(results, start, settings), frozenset(classes))
    nodes = _nodes(results, classes, snapshot, pods)
    simulated = {h.meta.name for h in snapshot.hardware if h.spec.simulated}
    reading = Reading(
        start=start,
        end=milliseconds(window.read_end),
        pulse=_pulse(nodes, pods),
        nodes=tuple(nodes),
        pods=tuple(pods),
        expected=_expected(snapshot, simulated),
        expected_nodes={h.meta.name: h.node_names for h in snapshot.hardware if h.meta.name not in simulated},
        patience_ms=round(1000 * patience_seconds(settings)),
        revisit=window.revisit,
    )
    return WindowReading(window, reading)


def _key(series: Series) -> PodKey:
    return series.label("namespace"), series.label("pod")


def _holders(snapshot: Snapshot, labelled: Iterable[Series]) -> dict[PodKey, _Holder]:
    """Whose each pod is, by the labels of what was scraped, and by what is there now."""
    found = {
        _key(one): _Holder(
            f"{one.label('workload_kind')}/{one.label('namespace')}/{one.label('workload')}",
            one.label("hardware_class"),
        )
        for one in labelled
    }
    for kind, state in workloads(snapshot):
        for pod in state.pods:
            account = f"{kind}/{state.meta.key}"
            found[state.meta.namespace, pod.name] = _Holder(account, pod.hardware_class, pod.node)
    return found


def _node_classes(snapshot: Snapshot, holders: Mapping[PodKey, _Holder]) -> dict[str, str]:
    """The class of each node: that of the pods on it, else the first that selects it."""
    classes = {node: h.meta.name for h in reversed(snapshot.hardware) for node in h.node_names}
    return classes | {one.node: one.hardware_class for one in holders.values() if one.node}


class _Births:
    """Puts the beginning before a pod's first sample: when it started, its counters stood at zero."""

    def __init__(self, results: Results, start: int, settings: ObserveSettings) -> None:
        self._start = start
        self._soon = round(1000 * settings.meter_lag_seconds)
        self._pulse = sorted({round(at * 1000) for one in (*results.nodes, *results.cpu) for at, _ in one.points})

    def begun(self, counted: list[tuple[int, int]], began: int | None) -> list[tuple[int, int]]:
        """The curve with its beginning, where that lies in what was read.

        A pod that was scraped late is counted from where the darkness before its first sample began: what was booked
        before that is closed.
        """
        if began is None or not counted or not self._start <= began < counted[0][0]:
            return counted
        first = counted[0][0]
        if first - began > self._soon:
            times = self._pulse[bisect_left(self._pulse, began) : bisect_right(self._pulse, first)]
            steps = [(b - a, a) for a, b in pairwise([began, *times])]
            began = max(steps)[1] if steps else began
        return [(began, 0), *counted]


def _pods(
    results: Results, holders: Mapping[PodKey, _Holder], snapshot: Snapshot, births: _Births, nodes: frozenset[str]
) -> list[PodMeter]:
    cpu, own = _grouped(results.cpu), _grouped(results.own)
    started = {_key(one): round(one.points[-1][1] * 1000) for one in results.starts}
    requested = _grouped(results.requests)
    hardware = {h.meta.name: h for h in snapshot.hardware}
    for _, state in workloads(snapshot):
        for pod in state.pods:
            if pod.started_at is not None:
                started.setdefault((state.meta.namespace, pod.name), milliseconds(pod.started_at))
    meters = []
    for key in sorted(holders.keys() & (cpu.keys() | own.keys())):
        holder, mine = holders[key], own.get(key, [])
        watts = [one for one in mine if one.name == POD_WATTS]
        counted = points(cpu.get(key, ()), 10**9)
        began = started.get(key)
        counted = births.begun(counted, began)
        node = holder.node or next((found for one in cpu.get(key, ()) if (found := node_of(one, nodes))), "")
        place = hardware.get(holder.hardware_class)
        meter = PodMeter(
            account=holder.account,
            pod="/".join(key),
            node=node,
            hardware_class=holder.hardware_class,
            cpu=Cumulative.counter(counted),
            energy=Cumulative.power(points(watts, 10**6, sum)),
            work=_work(mine, began, births),
            started=began,
            units=_units(requested.get(key, ()), place) if place is not None else (),
            simulated=any(one.label("simulated") == "true" for one in watts),
        )
        if meter.presence is not None:
            meters.append(meter)
    return meters


def _grouped(series: Iterable[Series]) -> dict[PodKey, list[Series]]:
    grouped: dict[PodKey, list[Series]] = defaultdict(list)
    for one in series:
        grouped[_key(one)].append(one)
    return grouped


def _work(series: Iterable[Series], began: int | None, births: _Births) -> Cumulative | None:
    """Thousandths of samples or inferences; the counters of several models or versions add up."""
    found = [one for one in series if one.name in (TRAINED, INFERRED)]
    return Cumulative.counter(births.begun(points(found, 1000, sum), began))


def _units(series: Iterable[Series], hardware: HardwareState) -> tuple[tuple[int, int], ...]:
    """Thousandths of the class's resource that a pod holds over time, by its scraped requests; empty without any."""
    resource = "".join(c if c.isalnum() else "_" for c in hardware.spec.resource_name)
    found = [one for one in series if one.label("resource") == resource]
    # HAMi says in percent which part of each accelerator's cores a pod may use.
    cores = {at: value for one in series if one.label("resource") == "nvidia_com_gpucores" for at, value in one.points}
    changes: list[tuple[int, int]] = []
    for at, units in points(found, 1000, sum):
        percent = cores.get(at / 1000) if resource != "cpu" else None
        held = units if percent is None else round(units * percent / 100)
        if not changes or changes[-1][1] != held:
            changes.append((at, held))
    return tuple(changes)


def _nodes(
    results: Results, classes: Mapping[str, str], snapshot: Snapshot, pods: Iterable[PodMeter]
) -> list[NodeMeter]:
    declared = declared_units(snapshot)
    holders: dict[str, dict[str, int]] = defaultdict(dict)
    for pod in pods:
        units = pod.units[-1][1] if pod.units else declared.get(pod.hardware_class, {}).get(pod.account, 0)
        holders[pod.node][pod.pod] = units
    return node_meters(
        results.nodes,
        results.devices,
        classes,
        {h.meta.name: h.spec.power.source for h in snapshot.hardware},
        {h.meta.name: round(h.units_per_node * 1000) for h in snapshot.hardware},
        holders,
    )


def _pulse(nodes: Iterable[NodeMeter], pods: Iterable[PodMeter]) -> Cumulative | None:
    """When anything was scraped."""
    series = [meter for node in nodes for meter in node.meters]
    series += [one for pod in pods for one in (pod.cpu, pod.energy) if one is not None]
    times = sorted({at for one in series for at in one.times})
    return Cumulative(tuple(times), (0,) * len(times)) if times else None


def _expected(snapshot: Snapshot, simulated: set[str]) -> dict[str, tuple[ExpectedPod, ...]]:
    """Pods that run now, and whose samples must come. On simulated nodes none is sure to."""
    return {
        f"{kind}/{state.meta.key}": tuple(
            ExpectedPod(f"{state.meta.namespace}/{pod.name}", pod.node, milliseconds(pod.started_at))
            for pod in state.pods
            if pod.phase == "Running" and pod.started_at is not None and pod.hardware_class not in simulated
        )
        for kind, state in workloads(snapshot)
    }


def declared_units(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """By class, then by account: thousandths of the class's resource that a replica holds by its workload's spec."""
    found: dict[str, dict[str, int]] = {}
    for hardware in snapshot.hardware:
        found[hardware.meta.name] = {
            f"{kind}/{state.meta.key}": round(1000 * units_per_replica(state.spec.resources, hardware))
            if offers(state.spec.resources, hardware)
            else round(1000 * state.spec.resources.cpu)
            for kind, state in workloads(snapshot)
        }
    return found
