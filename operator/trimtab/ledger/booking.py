"""Books a reading: for each account and each cell of time, what was spent in it. Pure, exact, and the same whenever a
cell is booked, once it is closed.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from trimtab.ledger.amounts import NOTHING, Amount, total
from trimtab.ledger.attribution import NodeCells, PodCells, attribute
from trimtab.ledger.cumulative import rounded_ratio
from trimtab.ledger.meter import NodeMeter, PodMeter, Reading
from trimtab.ledger.openness import Openness, flags, pods_by_account
from trimtab.plan.rates import embodied_grams_per_hour
from trimtab.plan.snapshot import HardwareState

Intensity = Callable[[str, datetime, datetime], float | None]
"""Mean gCO2e/kWh of a grid zone over a stretch of time; None when unknown."""

CELL_MS = 10_000
"""Cells are bounded by whole multiples of this since 1970: every operator cuts time at the same instants."""

SIMULATED = "Simulated"
_HOUR_MS = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def instant(at_ms: int) -> datetime:
    """The instant of so many milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def grid_floor(at_ms: int, cell_ms: int = CELL_MS) -> int:
    """The last bound of a cell at or before an instant."""
    return at_ms - at_ms % cell_ms


def edges_between(start_ms: int, end_ms: int, cell_ms: int = CELL_MS) -> tuple[int, ...]:
    """Bounds of the cells from one instant to another."""
    inner = range(grid_floor(start_ms, cell_ms) + cell_ms, end_ms, cell_ms)
    return (start_ms, *inner, end_ms)


@dataclass(slots=True)
class Booked:
    """What was spent, by account, cell by cell."""

    edges: tuple[int, ...]
    cells: dict[str, list[Amount]] = field(default_factory=dict)
    """By `Kind/namespace/name` of a workload, or `HardwareClass/name`."""
    open: dict[str, list[bool]] = field(default_factory=dict)
    """By account: cells that may still change."""
    holes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By account: stretches (ms) between two samples that are too far apart."""
    sources: dict[str, list[set[str]]] = field(default_factory=dict)
    """By account, cell by cell: what its energy was read from."""

    def read_from(self, key: str, start_ms: int, end_ms: int) -> set[str]:
        """What the energy of an account's closed cells between two edges was read from."""
        first, last = self.edges.index(start_ms), self.edges.index(end_ms)
        cells = zip(self.sources.get(key, ())[first:last], self.open.get(key, ())[first:last], strict=False)
        return set().union(*(sources for sources, is_open in cells if not is_open))

    def part(self, key: str, start_ms: int, end_ms: int) -> tuple[list[Amount], list[bool], list[int]]:
        """Cells of an account between two edges: amounts, whether open, and where they begin and the last ends."""
        first, last = self.edges.index(start_ms), self.edges.index(end_ms)
        nothing = [NOTHING] * (len(self.edges) - 1)
        shut = [False] * (len(self.edges) - 1)
        amounts, unclosed = self.cells.get(key, nothing), self.open.get(key, shut)
        return amounts[first:last], unclosed[first:last], list(self.edges[first : last + 1])


def book(
    reading: Reading,
    edges: Sequence[int],
    accounts: Sequence[str],
    hardware: Mapping[str, HardwareState],
    declared: Mapping[str, Mapping[str, int]],
    intensity: Intensity,
) -> Booked:
    """Book a reading.

    Args:
        reading: What was metered; it must reach beyond the edges on both sides.
        edges: Bounds of the cells (ms).
        accounts: Workloads to say openness of, also those without any pod.
        hardware: Classes by name.
        declared: By class, then by account: thousandths of the class's resource that a pod holds, where its requests
            were not scraped.
        intensity: Of the grids.
    """
    booked, openness = Booked(tuple(edges)), Openness(reading)
    pods = pods_by_account(reading.pods)
    by_place: dict[tuple[str, str], list[PodMeter]] = defaultdict(list)
    for pod in reading.pods:
        by_place[pod.hardware_class, pod.node].append(pod)
    nodes = {(node.hardware_class, node.node): node for node in reading.nodes}
    lists: dict[str, list[list[Amount]]] = defaultdict(list)
    for place in sorted({*by_place, *nodes}):
        name, node_name = place
        state, here = hardware.get(name), by_place.get(place, [])
        if state is None:
            _unknown(here, edges, lists)
            continue
        node = nodes.get(place) or NodeMeter(node_name, name)
        split = attribute(node, here, edges, state, dict(declared.get(name, {})))
        _price(split, state, edges, intensity, lists, booked.sources)
    for key in (*accounts, *(f"HardwareClass/{name}" for name in hardware)):
        booked.cells[key] = _summed(lists.get(key, []), len(edges) - 1)
        spans = (
            openness.of_class(key.removeprefix("HardwareClass/"))
            if key.startswith("HardwareClass/")
            else openness.of_account(key, pods.get(key, ()))
        )
        booked.open[key] = flags(spans, edges)
        booked.holes[key] = openness.holes(key, pods.get(key, ()))
    return booked


def _summed(lists: list[list[Amount]], cells: int) -> list[Amount]:
    if len(lists) < 2:
        return lists[0] if lists else [NOTHING] * cells
    return [total(column) for column in zip(*lists, strict=True)]


def _unknown(pods: Sequence[PodMeter], edges: Sequence[int], lists: dict[str, list[list[Amount]]]) -> None:
    """The class is gone: time was held, but neither its price nor its power is known any more."""
    for pod in pods:
        if pod.presence is not None:
            held = pod.presence.present(edges)
            lists[pod.account].append([Amount(unmetered_seconds=ms * 1_000_000) for ms in held])


@dataclass(frozen=True, slots=True)
class _Rates:
    """What a class costs, in whole numbers."""

    nano_usd_per_hour: int
    nano_grams_per_hour: int
    offered: int
    """Thousandths of the resource of a node."""

    @classmethod
    def of(cls, state: HardwareState) -> "_Rates":
        return cls(
            round(state.spec.price.usd_per_hour * 10**9),
            round(embodied_grams_per_hour(state) * 10**9),
            round(state.units_per_node * 1000),
        )

    def of_share(self, per_hour: int, unit_ms: int, cell: int) -> int:
        """An amount for the share of a node that was held."""
        return accrued(per_hour * unit_ms, _HOUR_MS * self.offered, cell) if self.offered > 0 else 0


def accrued(above: int, below: int, cell: int) -> int:
    """What comes due of a steady rate in the cell of this number, of `above / below` in each cell.

    The difference of two rounded running totals: over many cells of the same rate nothing is rounded away, and still
    it depends on this cell alone.
    """
    return above * (cell + 1) // below - above * cell // below


def _price(
    split: NodeCells,
    state: HardwareState,
    edges: Sequence[int],
    intensity: Intensity,
    lists: dict[str, list[list[Amount]]],
    sources: dict[str, list[set[str]]],
) -> None:
    rates = _Rates.of(state)
    simulated = {SIMULATED} if state.spec.simulated else set()
    micro = [_micro_intensity(state.spec.grid_zone, a, b, intensity) for a, b in pairwise(edges)]
    numbers = [start // CELL_MS for start in edges]
    for pod in split.pods:
        lists[pod.meter.account].append(
            [_pod_amount(pod, cell, numbers[cell], rates, grams) for cell, grams in enumerate(micro)]
        )
        own = {SIMULATED} if pod.meter.simulated else simulated
        for cell, known in enumerate(sources.setdefault(pod.meter.account, [set() for _ in micro])):
            known |= (split.sources[cell] | own) if pod.held_ms[cell] else set()
    key = f"HardwareClass/{state.meta.name}"
    lists[key].append([_node_amount(split, cell, numbers[cell], rates, grams) for cell, grams in enumerate(micro)])
    for cell, known in enumerate(sources.setdefault(key, [set() for _ in micro])):
        known |= (split.sources[cell] | simulated) if split.on_ms[cell] else set()


def _micro_intensity(zone: str, start_ms: int, end_ms: int, intensity: Intensity) -> int:
    """Millionths of gCO2e/kWh; zero where the zone has no figure (the condition CarbonDataFresh says so)."""
    return round((intensity(zone, instant(start_ms), instant(end_ms)) or 0.0) * 1e6)


def _pod_amount(pod: PodCells, cell: int, number: int, rates: _Rates, micro_grams: int) -> Amount:
    energy = pod.idle[cell] + pod.dynamic[cell]
    embodied = rates.of_share(rates.nano_grams_per_hour, pod.unit_ms[cell], number)
    bridged = pod.bridged[cell]
    return Amount(
        energy_watt_hours=energy,
        idle_watt_hours=pod.idle[cell],
        cost_usd=rates.of_share(rates.nano_usd_per_hour, pod.unit_ms[cell], number),
        carbon_grams=rounded_ratio(energy * micro_grams, 10**9) + embodied,
        embodied_grams=embodied,
        replica_seconds=pod.held_ms[cell] * 1_000_000,
        unmetered_seconds=pod.held_ms[cell] * 1_000_000 if bridged else 0,
        work_items=pod.work[cell] * 1_000_000,
        estimated_watt_hours=energy if bridged else 0,
    )


def _node_amount(split: NodeCells, cell: int, number: int, rates: _Rates, micro_grams: int) -> Amount:
    energy, on = split.energy[cell], split.on_ms[cell]
    embodied = accrued(rates.nano_grams_per_hour * on, _HOUR_MS, number)
    return Amount(
        energy_watt_hours=energy,
        idle_watt_hours=split.idle[cell],
        cost_usd=accrued(rates.nano_usd_per_hour * on, _HOUR_MS, number),
        carbon_grams=rounded_ratio(energy * micro_grams, 10**9) + embodied,
        embodied_grams=embodied,
        replica_seconds=on * 1_000_000,
        unattributed_watt_hours=split.unattributed(cell),
        estimated_watt_hours=energy if split.bridged[cell] else 0,
    )
