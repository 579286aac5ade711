"""Joins what exporters of power say to nodes and pods, by the labels that each of them really publishes.

- dcgm-exporter: `Hostname` is the node; a pod that holds the device is `exported_namespace`/`exported_pod` (as scraped
  without honor_labels, when `namespace`/`pod` are the exporter's own), else `namespace`/`pod`. A device has the same
  figure on several series: one for each MIG instance (`GPU_I_ID`, `GPU_I_PROFILE`) and, with virtual GPUs on, one for
  each pod that shares it (`vgpu`). They are one device (`UUID`), which is counted once.
- Kepler: `node_name`; before 0.10 `instance` (or `exported_instance`).
- node-exporter: `instance`, or `node` where the scrape says it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from trimtab.api.hardware import PowerSource
from trimtab.ledger.cumulative import Cumulative
from trimtab.ledger.errors import DCGM_ENERGY as ENERGY_SOURCE
from trimtab.ledger.errors import DCGM_POWER as POWER_SOURCE
from trimtab.ledger.errors import KEPLER, RAPL
from trimtab.ledger.meter import WHOLE_DEVICE, DeviceMeter, DeviceShare, NodeMeter
from trimtab.observe.meter_queries import (
    DCGM_ACTIVE,
    DCGM_ENERGY,
    DCGM_POWER,
    KEPLER_NODE,
    NODE_CPU,
    RAPL_NODE,
)
from trimtab.observe.series import Series

_NODE_LABELS: Final = ("node", "node_name", "kubernetes_node", "Hostname", "nodename", "exported_instance", "instance")
_ZONES: Final = ("package", "dram")
"""Of RAPL: what lies in no other zone. `core` and `uncore` are parts of `package`, `psys` holds them all."""
_PROFILE: Final = re.compile(r"(?:(\d+)c\.)?(\d+)g\.")
_MIG_SLICES: Final = {"A30": 4}
_USUAL_SLICES: Final = 7

Merge = Callable[[Iterable[int]], int]


def node_of(series: Series, known: frozenset[str]) -> str:
    """The node that a series is about: the first of its labels that names one; empty when none does."""
    for label in _NODE_LABELS:
        value = series.label(label)
        if value in known:
            return value
        host = value.rsplit(":", 1)[0]
        if host in known:
            return host
    return ""


def pod_of(series: Series) -> str:
    """`namespace/name` of the pod that a series is about, not of the exporter's; empty without one."""
    for space, name in (
        ("exported_namespace", "exported_pod"), ("pod_namespace", "pod_name"), ("namespace", "pod"),
    ):  # fmt: skip
        if series.label(name):
            return f"{series.label(space)}/{series.label(name)}"
    return ""


def points(series: Iterable[Series], scale: int, merge: Merge = max) -> list[tuple[int, int]]:
    """One curve of several series in whole units by time (ms); what they say of one instant is merged."""
    known = list(series)
    if len(known) == 1:
        return [(round(at * 1000), round(value * scale)) for at, value in known[0].points]
    found: dict[int, list[int]] = defaultdict(list)
    for one in known:
        for at, value in one.points:
            found[round(at * 1000)].append(round(value * scale))
    return [(at, merge(found[at])) for at in sorted(found)]


def summed(parts: Sequence[Cumulative]) -> Cumulative | None:
    """The sum of several counters, each with its own resets, over the time that all of them cover."""
    if len(parts) < 2:
        return parts[0] if parts else None
    first, last = max(p.first for p in parts), min(p.last for p in parts)
    times = sorted({at for p in parts for at in p.times if first <= at <= last})
    if not times:
        return None
    totals = [0]
    grown = [p.increases(times) for p in parts]
    for step in zip(*grown, strict=True):
        totals.append(totals[-1] + sum(step))
    return Cumulative(tuple(times), tuple(totals))


def node_meters(
    nodes: Iterable[Series],
    devices: Iterable[Series],
    classes: Mapping[str, str],
    pinned: Mapping[str, PowerSource],
    sharing: Mapping[str, int],
    holders: Mapping[str, Mapping[str, int]],
) -> list[NodeMeter]:
    """The meters of every node.

    Args:
        nodes: Series of whole nodes.
        devices: Series of accelerators.
        classes: The hardware class of each node.
        pinned: The source of power that a class pins.
        sharing: Thousandths of the class's resource that a node of the class offers.
        holders: By node, the pods of workloads there, with the thousandths of the resource that each holds.
    """
    known = frozenset(classes)
    by_node: dict[str, list[Series]] = defaultdict(list)
    for one in nodes:
        by_node[node_of(one, known)].append(one)
    by_device: dict[str, list[Series]] = defaultdict(list)
    for one in devices:
        by_device[node_of(one, known)].append(one)
    meters = []
    for node in sorted((by_node.keys() | by_device.keys()) - {""}):
        name = classes[node]
        pin = pinned.get(name, PowerSource.AUTO)
        host, source = _host(by_node[node], pin)
        meters.append(
            NodeMeter(
                node,
                name,
                Cumulative.counter(points([s for s in by_node[node] if s.name == NODE_CPU], 10**9)),
                host,
                source,
                _devices(by_device[node], sharing.get(name, 0), holders.get(node, {}))
                if pin in (PowerSource.AUTO, PowerSource.DCGM)
                else (),
            )
        )
    return meters


def _host(series: Sequence[Series], pin: PowerSource) -> tuple[Cumulative | None, str]:
    """CPU packages and memory: by Kepler, else by node-exporter."""
    for source, names, pins in (
        (KEPLER, KEPLER_NODE, (PowerSource.AUTO, PowerSource.DCGM, PowerSource.KEPLER)),
        (RAPL, RAPL_NODE, (PowerSource.AUTO, PowerSource.DCGM, PowerSource.RAPL)),
    ):
        if pin not in pins:
            continue
        counters = [Cumulative.counter(points([one], 10**6)) for one in series if one.name in names and _counts(one)]
        total = summed([one for one in counters if one is not None])
        if total is not None and len(total.times) > 1:
            return total, source
    return None, ""


def _counts(series: Series) -> bool:
    """Whether it is of a zone that is in no other zone."""
    zone = series.label("zone")
    return not zone or zone.startswith(_ZONES)


def _devices(series: Sequence[Series], offered: int, holders: Mapping[str, int]) -> tuple[DeviceMeter, ...]:
    by_uuid: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        by_uuid[one.label("UUID") or one.label("uuid") or one.label("gpu")].append(one)
    slots = max(1, round(offered / 1000 / len(by_uuid))) if by_uuid else 1
    labelled = {pod_of(one) for one in series}
    unlabelled = {pod: units for pod, units in holders.items() if pod not in labelled}
    found = []
    for uuid in sorted(by_uuid):
        meter, source = _energy(by_uuid[uuid])
        if meter is None:
            continue
        shares = _shares(by_uuid[uuid], source, slots)
        if slots > 1 and unlabelled:
            # dcgm-exporter names one pod of those that share a device: share all devices of the node among all.
            parts = {pod: WHOLE_DEVICE * units // max(1, offered) for pod, units in sorted(holders.items())}
            shares = [DeviceShare(pod, part, meter) for pod, part in parts.items()]
        found.append(DeviceMeter(uuid, meter, source, tuple(shares)))
    return tuple(found)


def _energy(series: Sequence[Series]) -> tuple[Cumulative | None, str]:
    """The device's own energy: its counter (mJ), else its power (W) over time."""
    counted = Cumulative.counter(points([one for one in series if one.name == DCGM_ENERGY], 1000))
    if counted is not None and len(counted.times) > 1:
        return counted, ENERGY_SOURCE
    drawn = points([one for one in series if one.name == DCGM_POWER], 10**6, _mean)
    return Cumulative.power(drawn), POWER_SOURCE


def _mean(values: Iterable[int]) -> int:
    known = list(values)
    return sum(known) // len(known)


def _shares(series: Sequence[Series], source: str, slots: int) -> list[DeviceShare]:
    """Who holds which part of a device, by the labels of its series."""
    name = DCGM_ENERGY if source == ENERGY_SOURCE else DCGM_POWER
    active = {_part(one): one for one in series if one.name == DCGM_ACTIVE}
    shares = []
    for one in sorted((s for s in series if s.name == name), key=_part):
        pod, instance, _ = _part(one)
        if not pod and not instance:
            continue  # The whole device, held by nobody.
        busy = active.get(_part(one))
        shares.append(
            DeviceShare(
                pod,
                _slices(one) if instance else WHOLE_DEVICE // slots,
                Cumulative(tuple(round(at * 1000) for at, _ in one.points), (0,) * len(one.points)),
                Cumulative.power(points([busy], 10**6)) if busy is not None else None,
            )
        )
    return shares


def _part(series: Series) -> tuple[str, str, str]:
    return pod_of(series) if _has_holder(series) else "", series.label("GPU_I_ID"), series.label("vgpu")


def _has_holder(series: Series) -> bool:
    """Without a pod that holds it, a device's series still has the exporter's own pod as scraped."""
    return bool(series.label("exported_pod") or series.label("pod_name")) or "dcgm" not in series.label("pod")


def _slices(series: Series) -> int:
    """The share of a MIG instance in its device, by slices of compute (`3g.20gb` has 3 of 7; `1c.3g.20gb` has 1)."""
    profile = _PROFILE.match(series.label("GPU_I_PROFILE"))
    model = series.label("modelName")
    total = next((n for name, n in _MIG_SLICES.items() if name in model), _USUAL_SLICES)
    return WHOLE_DEVICE * int(profile[1] or profile[2]) // total if profile else WHOLE_DEVICE // total
