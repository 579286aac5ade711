"""Who pays for a node: its energy, cell by cell, split into what each pod held and used, and what is nobody's.

Idle power is paid by what is held, the rest by use; the parts add up to the node exactly, because every split is made
in whole numbers and what is nobody's is one of its parts. How much of a measured energy is idle comes from the class's
power curve: P(0) / P(utilization), so that it does not vanish from a busy node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trimtab.ledger.cumulative import Cumulative, apportion, rounded_ratio
from trimtab.ledger.meter import WHOLE_DEVICE, DeviceMeter, NodeMeter, PodMeter
from trimtab.ledger.power_model import (
    BUSY_ACCELERATOR_PPM,
    MILLION,
    host_curve,
    node_curve,
)
from trimtab.plan.snapshot import HardwareState


@dataclass(slots=True)
class PodCells:
    """One pod's part, cell by cell."""

    meter: PodMeter
    held_ms: list[int]
    unit_ms: list[int]
    """Thousandths of the class's resource x milliseconds held."""
    used: list[int]
    """CPU time in nanoseconds."""
    idle: list[int]
    """Energy for holding, in billionths of a watt-hour with the site's overhead."""
    dynamic: list[int]
    """Energy for use, in the same unit."""
    bridged: list[bool]
    """Whether the cell lies in a hole between two samples."""
    work: list[int]
    """Thousandths of samples or inferences."""


@dataclass(slots=True)
class NodeCells:
    """A whole node, cell by cell."""

    on_ms: list[int]
    energy: list[int]
    """Billionths of a watt-hour with the site's overhead."""
    idle: list[int]
    """The part of it that was drawn for being on."""
    pods: list[PodCells]
    sources: list[set[str]]
    """What its energy was read from, cell by cell."""
    bridged: list[bool]
    """Whether the cell lies in a hole of one of its meters."""

    def unattributed(self, cell: int) -> int:
        """What is nobody's of a cell."""
        return self.energy[cell] - sum(pod.idle[cell] + pod.dynamic[cell] for pod in self.pods)


MODEL, HELD_MODEL, OWN_METER = "Model", "Model by holding", "Pod"
"""Sources: the class's power curve by use; the same for accelerators of which only is known that they are held; and
power that is published for the pod itself."""


def at_meter(microjoules: int, hardware: HardwareState) -> int:
    """Energy of the hardware as what the site draws for it (PUE), in billionths of a watt-hour."""
    return rounded_ratio(microjoules * round(hardware.spec.pue * MILLION) * 10, 36 * MILLION)


def attribute(
    node: NodeMeter, pods: Sequence[PodMeter], edges: Sequence[int], hardware: HardwareState, declared: dict[str, int]
) -> NodeCells:
    """Split a node's energy.

    Args:
        node: The node's meters.
        pods: The pods of workloads on it.
        edges: Instants (ms) that bound the cells.
        hardware: Its class.
        declared: Thousandths of the class's resource that a pod of each account holds, where it was not scraped.
    """
    cells = len(edges) - 1
    mine = [_pod_cells(pod, edges, declared.get(pod.account, 0)) for pod in pods]
    result = NodeCells(
        _on(node, mine, edges),
        [0] * cells,
        [0] * cells,
        mine,
        [set() for _ in range(cells)],
        _bridged(node.meters, edges),
    )
    by_name = {one.meter.pod: one for one in mine}
    for device in node.devices:
        _device(device, by_name, edges, hardware, len(node.devices), result)
    host = [one for one in mine if one.meter.energy is None]
    _own_meters(mine, edges, hardware, result)
    if host or node.cpu is not None or node.host is not None:
        _host(node, host, edges, hardware, result)
    return result


def _pod_cells(pod: PodMeter, edges: Sequence[int], declared: int) -> PodCells:
    cells = len(edges) - 1
    presence = pod.presence
    held = presence.present(edges) if presence else [0] * cells
    used = pod.cpu.increases(edges) if pod.cpu else [0] * cells
    bridged = _bridged([presence] if presence else [], edges)
    work = pod.work.increases(edges) if pod.work else [0] * cells
    units = _unit_ms(pod, held, edges, declared)
    return PodCells(pod, held, units, used, [0] * cells, [0] * cells, bridged, work)


def _bridged(meters: Sequence[Cumulative], edges: Sequence[int]) -> list[bool]:
    """Which cells a hole between two samples touches."""
    holes = [hole for meter in meters for hole in meter.holes()]
    return [any(a < right and left < b for a, b in holes) for left, right in pairwise(edges)]


def _unit_ms(pod: PodMeter, held: list[int], edges: Sequence[int], declared: int) -> list[int]:
    """What it holds x how long; a resize counts from the instant at which it was scraped."""
    presence = pod.presence
    if not pod.units or presence is None:
        return [ms * declared for ms in held]
    amounts = []
    for left, right in pairwise(edges):
        start, end = max(left, presence.first), min(right, presence.last)
        total = 0
        for index, (since, units) in enumerate(pod.units):
            until = pod.units[index + 1][0] if index + 1 < len(pod.units) else end
            begin = start if index == 0 else max(start, since)
            total += units * max(0, min(end, until) - begin)
        amounts.append(total)
    return amounts


def _on(node: NodeMeter, pods: list[PodCells], edges: Sequence[int]) -> list[int]:
    """How long the node was on: by its own series, or else by the pods on it."""
    if node.cpu is not None:
        return node.cpu.present(edges)
    if node.host is not None:
        return node.host.present(edges)
    on = [max((device.energy.present(edges)[i] for device in node.devices), default=0) for i in range(len(edges) - 1)]
    return [max([ms, *(pod.held_ms[i] for pod in pods)]) for i, ms in enumerate(on)]


def _own_meters(pods: list[PodCells], edges: Sequence[int], hardware: HardwareState, result: NodeCells) -> None:
    for pod in pods:
        if pod.meter.energy is not None:
            for cell, grown in enumerate(pod.meter.energy.increases(edges)):
                energy = at_meter(grown, hardware)
                pod.dynamic[cell] += energy
                result.energy[cell] += energy
                if energy:
                    result.sources[cell].add(OWN_METER)


def _host(
    node: NodeMeter, pods: list[PodCells], edges: Sequence[int], hardware: HardwareState, result: NodeCells
) -> None:
    """The node without its accelerators, where those measure themselves; else all of it."""
    shape = host_curve(hardware) if node.devices else node_curve(hardware)
    by_use = hardware.spec.resource_name == "cpu" or bool(node.devices)
    # A meter of CPUs says nothing of accelerators that nobody meters: then the curve stands for the whole node.
    host = node.host if by_use else None
    measured = host.increases(edges) if host is not None else []
    counted = node.cpu.increases(edges) if node.cpu is not None else [0] * len(result.on_ms)
    if shape is None and host is None:
        return  # The accelerators are all that is known of it.
    for cell, on in enumerate(result.on_ms):
        used = max(counted[cell], sum(pod.used[cell] for pod in pods))
        utilization = _use_ppm(used, on, hardware) if by_use else _held_ppm(pods, cell, on, hardware)
        if host is not None and host.covers(edges[cell], edges[cell + 1]):
            microjoules = measured[cell]
            result.sources[cell].add(node.host_source)
        else:
            microjoules = shape.at(utilization) * on if shape is not None else 0
            result.sources[cell].update((MODEL if by_use else HELD_MODEL,) if on else ())
        energy = at_meter(microjoules, hardware)
        result.energy[cell] += energy
        idle = energy * shape.idle // max(1, shape.at(utilization)) if shape is not None else 0
        result.idle[cell] += idle
        _by_holding(idle, pods, cell, on, hardware)
        _by_use(energy - idle, used, pods, cell, by_use)


def _use_ppm(used_ns: int, on_ms: int, hardware: HardwareState) -> int:
    offered = round(hardware.cpu_cores_per_node * 1000) * on_ms * 1000
    return used_ns * MILLION // offered if offered > 0 else 0


def _held_ppm(pods: list[PodCells], cell: int, on_ms: int, hardware: HardwareState) -> int:
    """Accelerators that nobody meters: those that are held are taken to work as the fitted trainings did."""
    offered = _offered(hardware) * on_ms
    held = sum(pod.unit_ms[cell] for pod in pods)
    return min(MILLION, held * MILLION // offered) * BUSY_ACCELERATOR_PPM // MILLION if offered > 0 else 0


def _offered(hardware: HardwareState) -> int:
    """Thousandths of the class's resource of one node."""
    return round(hardware.units_per_node * 1000)


def _by_holding(idle: int, pods: list[PodCells], cell: int, on_ms: int, hardware: HardwareState) -> None:
    weights = [pod.unit_ms[cell] for pod in pods]
    nobody = max(0, _offered(hardware) * on_ms - sum(weights))
    for pod, part in zip(pods, apportion(idle, [*weights, nobody]), strict=False):
        pod.idle[cell] += part


def _by_use(dynamic: int, used: int, pods: list[PodCells], cell: int, by_use: bool) -> None:
    weights = [pod.used[cell] if by_use else pod.unit_ms[cell] for pod in pods]
    nobody = used - sum(weights) if by_use else 0
    for pod, part in zip(pods, apportion(dynamic, [*weights, nobody]), strict=False):
        pod.dynamic[cell] += part


def _device(
    device: DeviceMeter, pods: dict[str, PodCells], edges: Sequence[int], hardware: HardwareState, devices: int,
    result: NodeCells,
) -> None:  # fmt: skip
    """Split an accelerator's energy among those who hold parts of it."""
    rest = hardware.spec.power.accelerator_idle_watts
    resting_mw = round(rest * 1000) // devices if rest is not None else 0
    present = [share.seen.present(edges) for share in device.shares]
    uses = [share.use.increases(edges) if share.use is not None else None for share in device.shares]
    on = device.energy.present(edges)
    for cell, microjoules in enumerate(device.energy.increases(edges)):
        energy = at_meter(microjoules, hardware)
        result.energy[cell] += energy
        if energy:
            result.sources[cell].add(device.source)
        held = [share.parts * ms[cell] for share, ms in zip(device.shares, present, strict=True)]
        idle = min(energy, at_meter(resting_mw * on[cell], hardware))
        result.idle[cell] += idle
        nobody = max(0, WHOLE_DEVICE * on[cell] - sum(held))
        for share, part in zip(device.shares, apportion(idle, [*held, nobody]), strict=False):
            if share.pod in pods:
                pods[share.pod].idle[cell] += part
        weights = _use_weights(device, uses, held, cell)
        for share, part in zip(device.shares, apportion(energy - idle, weights), strict=True):
            if share.pod in pods:
                pods[share.pod].dynamic[cell] += part


def _use_weights(device: DeviceMeter, uses: list[list[int] | None], held: list[int], cell: int) -> list[int]:
    """By how busy each part was, times its size; by size where the device does not tell, or all were at rest."""
    told = [use[cell] * share.parts for use, share in zip(uses, device.shares, strict=True) if use is not None]
    if len(told) == len(held) and sum(told) > 0:
        return told
    return held
