"""Fills in what a HardwareClass leaves to the tables, and which of its prices is paid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trimtab.api.hardware import Embodied, HardwareClassSpec, Power, Price, Purchase
from trimtab.observe.facts import NodeFact
from trimtab.observe.hardware import tolerates
from trimtab.plan.snapshot import HardwareState
from trimtab.tables import Row, Table, load, override_path

TABLE: Final = "instances"
SPOT_LABELS: Final = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "SPOT",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "cloud.google.com/gke-provisioning": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
    "node.kubernetes.io/lifecycle": "spot",
}
"""Labels of spot nodes: of Karpenter, EKS, GKE, AKS and kOps."""
_RESERVED: Final = ("karpenter.sh/capacity-type", "reserved")


@dataclass(frozen=True)
class Instances:
    """Figures by instance type."""

    table: Table
    override: str = ""

    def find(self, instance_type: str) -> Row | None:
        """The row of an instance type."""
        return self.table.find(instance_type)


class InstanceTables:
    """Reads the table, anew only when the file that people edit has changed."""

    def __init__(self, directory: str) -> None:
        self._path = override_path(directory, TABLE)
        self._packaged = Instances(load(TABLE, key=("instance_type",)))
        self._read: tuple[float, Instances] | None = None

    def packaged(self) -> Instances:
        """Without an override."""
        return self._packaged

    def read(self) -> Instances:
        """With the override, as it is now.

        Raises:
            TableError: when the override is no such table.
        """
        changed = _changed_at(self._path)
        if self._path is None or changed is None:
            return self._packaged
        if self._read is None or self._read[0] != changed:
            self._read = (changed, Instances(load(TABLE, self._path, key=("instance_type",)), str(self._path)))
        return self._read[1]


def _changed_at(path: Path | None) -> float | None:
    try:
        return path.stat().st_mtime if path is not None else None
    except OSError:
        return None


def purchase_of(labels: Mapping[str, str]) -> Purchase:
    """How a node is paid for, by its labels."""
    if any(labels.get(label, "").lower() == value.lower() for label, value in SPOT_LABELS.items()):
        return Purchase.SPOT
    return Purchase.RESERVED if labels.get(_RESERVED[0]) == _RESERVED[1] else Purchase.ON_DEMAND


def with_figures(
    states: Iterable[HardwareState], nodes: Iterable[NodeFact], instances: Instances
) -> tuple[HardwareState, ...]:
    """Each class with all its figures, and in `spec.price.usd_per_hour` the price that is paid.

    Where a class has nodes that are paid differently, that is the mean over its nodes.
    """
    known = [node for node in nodes if node.ready and node.schedulable]
    return tuple(_resolved(state, known, instances) for state in states)


def _resolved(state: HardwareState, nodes: list[NodeFact], instances: Instances) -> HardwareState:
    spec, said = _completed(state.spec, instances)
    mine = [
        node
        for node in nodes
        if spec.node_selector.items() <= node.labels.items()
        and all(tolerates(spec.tolerations, taint) for taint in node.taints)
    ]
    paid = _paid(spec, mine)
    listed = spec.price.usd_per_hour
    if paid != listed:
        spec = spec.model_copy(update={"price": spec.price.model_copy(update={"usd_per_hour": paid})})
    return state.model_copy(
        update={
            "spec": spec,
            "node_names": tuple(sorted(node.name for node in mine)),
            "on_demand_usd_per_hour": listed if paid != listed else None,
            "figures": said,
        }
    )


def _paid(spec: HardwareClassSpec, nodes: list[NodeFact]) -> float:
    ways = [spec.purchase]
    if spec.purchase is Purchase.AUTO:
        ways = [purchase_of(node.labels) for node in nodes] or [Purchase.ON_DEMAND]
    price = spec.price
    by_way = {Purchase.SPOT: price.spot_usd_per_hour, Purchase.RESERVED: price.reserved_usd_per_hour}
    prices = [by_way.get(way) for way in ways]
    return sum(price.usd_per_hour if each is None else each for each in prices) / len(prices)


def _completed(spec: HardwareClassSpec, instances: Instances) -> tuple[HardwareClassSpec, str]:
    """The spec with what it leaves out, and where that comes from."""
    if not spec.instance_type:
        return spec, ""
    row = instances.find(spec.instance_type)
    if row is None:
        return spec, f"instance type {spec.instance_type} is in no table: give price and power, or add it to the table"
    found: dict[str, object] = {}
    said = []
    price = _price(spec.price, row)
    if price != spec.price:
        found["price"] = price
        said.append(f"price: {row.cells['price_by']}")
    power = _power(spec.power, row)
    if power != spec.power:
        found["power"] = power
        said.append(f"power: {row.cells['watts_by']}")
    kilograms = row.optional_number("embodied_kilograms")
    if spec.embodied is None and kilograms is not None:
        found["embodied"] = Embodied(kilograms=kilograms)
        said.append(f"embodied: {row.cells['embodied_by']}")
    source = f" ({instances.override} over the package's table)" if instances.override and said else ""
    return spec.model_copy(update=found), ("; ".join(said) + source)[:1024]


def _price(price: Price, row: Row) -> Price:
    names = ("usd_per_hour", "spot_usd_per_hour", "reserved_usd_per_hour")
    update = {
        name: value
        for name in names
        if name not in price.model_fields_set and (value := row.optional_number(name)) is not None
    }
    return price.model_copy(update=update)


def _power(power: Power, row: Row) -> Power:
    if "peak_watts" in power.model_fields_set:
        return power
    names = tuple(name for name in Power.model_fields if name.endswith("_watts"))
    update = {
        name: value
        for name in names
        if name not in power.model_fields_set and (value := row.optional_number(name)) is not None
    }
    return power.model_copy(update=update)
