"""HardwareClass: nodes of one sort, with price, power and grid."""

from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.common import Conditions, LabelMap, Toleration
from trimtab.api.quantity import Amount, PositiveAmount
from trimtab.api.schema import ApiModel, Cel, Column, Kind, StatusModel


class Price(ApiModel):
    """What a whole node costs."""

    usd_per_hour: Amount = Field(alias="usdPerHour")
    """Price of one node for an hour, in US dollars; a replica pays for the share that it holds."""


class Power(ApiModel):
    """What a whole node draws: the linear model between idle and peak."""

    cel_rules: ClassVar = (
        Cel(
            "isQuantity(string(self.peakWatts)) && isQuantity(string(self.idleWatts))"
            " ? quantity(string(self.peakWatts)).compareTo(quantity(string(self.idleWatts))) >= 0 : true",
            "peakWatts must not be below idleWatts",
            ".peakWatts",
        ),
    )
    idle_watts: Amount
    """Power of one node that does nothing."""
    peak_watts: PositiveAmount
    """Power of one node at full use of the resource."""


class Embodied(ApiModel):
    """Carbon from making the hardware, spread over its life."""

    kilograms: Amount
    """kgCO2e of one node."""
    lifetime_years: PositiveAmount = 4.0
    """Years over which the carbon is spread."""


class HardwareClassSpec(ApiModel):
    """Which nodes, and what they cost in money, energy and carbon."""

    node_selector: Annotated[LabelMap, Field(min_length=1)]
    """Labels of the nodes that belong to the class."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints of these nodes that workloads placed here tolerate."""
    resource_name: Annotated[str, Field(max_length=253)] = "cpu"
    """The resource that does the work, such as cpu or nvidia.com/gpu: price and power are shared out by it."""
    price: Price
    """What a whole node costs."""
    power: Power
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
        Column("USD/h", ".spec.price.usdPerHour"),
        Column("Zone", ".spec.gridZone"),
        Column("gCO2/kWh", ".status.intensityGramsPerKWh"),
        Column("Simulated", ".spec.simulated", "boolean"),
    ),
)
