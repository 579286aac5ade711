"""HardwareClass: nodes of one sort, with price, power and grid."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.common import Conditions, LabelMap, Toleration, Usage
from trimtab.api.quantity import Amount, MeasuredSum, PositiveAmount
from trimtab.api.schema import ApiModel, Cel, Column, Kind, ShortText, StatusModel


class Purchase(StrEnum):
    """How the nodes of a class are paid for."""

    AUTO = "Auto"
    """By the labels that clouds and autoscalers put on spot nodes; without such a label on demand."""
    ON_DEMAND = "OnDemand"
    SPOT = "Spot"
    RESERVED = "Reserved"


class PowerSource(StrEnum):
    """Where the power of nodes is read from, best first."""

    AUTO = "Auto"
    """The best that Prometheus has."""
    DCGM = "DCGM"
    """Accelerators by NVIDIA's dcgm-exporter; the rest of the node by the next best source."""
    KEPLER = "Kepler"
    """CPU packages and memory by Kepler."""
    RAPL = "RAPL"
    """CPU packages and memory by the rapl collector of node-exporter."""
    MODEL = "Model"
    """The class's power curve by utilization."""


class Price(ApiModel):
    """What a whole node costs."""

    usd_per_hour: Amount = Field(default_factory=float, alias="usdPerHour")
    """Price of one node for an hour on demand, in US dollars; a replica pays for the share that it holds. Left out,
    it is taken from the table of `instanceType`."""
    spot_usd_per_hour: Amount | None = Field(default=None, alias="spotUSDPerHour")
    """Price of a spot (preemptible) node for an hour."""
    reserved_usd_per_hour: Amount | None = Field(default=None, alias="reservedUSDPerHour")
    """Price of a reserved or committed node for an hour."""


class Power(ApiModel):
    """What a whole node draws: straight lines between idle, 10 %, 50 % and full use; those that are unset are left
    out.
    """

    cel_rules: ClassVar = (
        Cel(
            "!has(self.peakWatts) || !has(self.idleWatts)"
            " || !isQuantity(string(self.peakWatts)) || !isQuantity(string(self.idleWatts))"
            " || quantity(string(self.peakWatts)).compareTo(quantity(string(self.idleWatts))) >= 0",
            "peakWatts must not be below idleWatts",
            ".peakWatts",
        ),
        Cel(
            "has(self.peakWatts) == has(self.idleWatts)",
            "idleWatts and peakWatts are given together, or both left to the table of instanceType",
            ".peakWatts",
        ),
    )
    idle_watts: Amount = Field(default_factory=float)
    """Power of one node that does nothing."""
    ten_percent_watts: Amount | None = None
    """Power at 10 % use of the node's CPU (of its accelerators, in a class of them)."""
    half_watts: Amount | None = None
    """Power at 50 % use."""
    peak_watts: PositiveAmount = Field(default_factory=lambda: 1.0)
    """Power of one node at full use of the resource."""
    accelerator_idle_watts: Amount | None = None
    """Power of all accelerators of a node that do nothing: the part of the node's power that a meter of accelerators
    sees. Unset means unknown; their energy is then shared by use alone."""
    accelerator_peak_watts: Amount | None = None
    """Power of all accelerators of a node at full use. What is left of the node's power is that of the host."""
    source: PowerSource = PowerSource.AUTO
    """Pins where power is read from; Auto takes the best that Prometheus has."""


class Embodied(ApiModel):
    """Carbon from making the hardware, spread over its life."""

    kilograms: Amount
    """kgCO2e of one node."""
    lifetime_years: PositiveAmount = 4.0
    """Years over which the carbon is spread."""


class HardwareClassSpec(ApiModel):
    """Which nodes, and what they cost in money, energy and carbon."""

    cel_rules: ClassVar = (
        Cel(
            "has(self.instanceType) && self.instanceType != '' || has(self.price) && has(self.price.usdPerHour)",
            "price.usdPerHour must be given, or instanceType, whose price the operator's tables have",
            ".price",
        ),
        Cel(
            "has(self.instanceType) && self.instanceType != '' || has(self.power) && has(self.power.peakWatts)",
            "power.idleWatts and peakWatts must be given, or instanceType, whose watts the operator's tables have",
            ".power",
        ),
    )

    node_selector: Annotated[LabelMap, Field(min_length=1)]
    """Labels of the nodes that belong to the class."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints of these nodes that workloads placed here tolerate."""
    resource_name: Annotated[str, Field(max_length=253)] = "cpu"
    """The resource that does the work, such as cpu or nvidia.com/gpu: price and power are shared out by it."""
    instance_type: Annotated[str, Field(max_length=63)] = ""
    """Instance type of a cloud, such as g4dn.xlarge: price, power and embodied carbon that are left out are taken from
    the operator's tables."""
    purchase: Purchase = Purchase.AUTO
    """Which price is paid: Auto goes by the nodes' labels (karpenter.sh/capacity-type and those of EKS, GKE and AKS).
    Where that price is not given, the one on demand is paid."""
    price: Price = Field(default_factory=Price)
    """What a whole node costs."""
    power: Power = Field(default_factory=Power)
    """What a whole node draws, idle and at full use."""
    embodied: Embodied | None = None
    """Carbon from making a node; unset means that none is counted."""
    pue: PositiveAmount = 1.0
    """Power usage effectiveness of the site."""
    grid_zone: Annotated[str, Field(min_length=1, max_length=63)]
    """Zone of the electricity grid; a CarbonSource says its intensity."""
    speed: PositiveAmount = 1.0
    """Speed of the class against the one on which variants are measured."""
    simulated: bool = False
    """The nodes are simulated: every figure of workloads on them is marked so."""


class NodeUsage(Usage):
    """What the nodes of a class spent, whoever held them, since the operator first saw them."""

    unattributed_watt_hours: MeasuredSum = 0.0
    """The part of the energy that no workload of trimtab held or used: idle capacity, and what others run there."""


class HardwareClassStatus(StatusModel):
    """What there is of it."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    conditions: Conditions = ()
    """Whether there are nodes of the class."""
    nodes: int = 0
    """Ready nodes."""
    capacity: Annotated[str, Field(max_length=64)] = ""
    """Units of the resource on ready nodes."""
    intensity_grams_per_kwh: Annotated[str, Field(max_length=32, alias="intensityGramsPerKWh")] = ""
    """Present carbon intensity of its grid."""
    usage: NodeUsage | None = None
    """Energy, cost and carbon of its nodes so far, with the meter they were read from and its error."""
    paid_usd_per_hour: Annotated[str, Field(max_length=32, alias="paidUSDPerHour")] = ""
    """The price of a node for an hour that accounts and decisions count with."""
    figures: ShortText = ""
    """Where price, power and embodied carbon come from, as far as the tables were used."""


HARDWARE_CLASS = Kind(
    kind="HardwareClass",
    plural="hardwareclasses",
    short_names=("hw",),
    namespaced=False,
    spec=HardwareClassSpec,
    status=HardwareClassStatus,
    description="Nodes of one sort: which they are, what they cost, what they draw and on which grid they hang.",
    columns=(
        Column("Resource", ".spec.resourceName"),
        Column("Nodes", ".status.nodes", "integer"),
        Column("Capacity", ".status.capacity"),
        Column("USD/h", ".status.paidUSDPerHour"),
        Column("Zone", ".spec.gridZone"),
        Column("gCO2/kWh", ".status.intensityGramsPerKWh"),
        Column("Simulated", ".spec.simulated", "boolean"),
        Column("Meter", ".status.usage.powerSource", wide=True),
        Column("Error-%", ".status.usage.energyError.percent", wide=True),
        Column("Unattributed-Wh", ".status.usage.unattributedWattHours", wide=True),
    ),
)
