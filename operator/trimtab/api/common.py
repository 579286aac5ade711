"""Pieces that several kinds share: conditions, decisions, usage, resources, selectors."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from trimtab.api.quantity import Measured, MeasuredSum, MemorySize, PositiveAmount
from trimtab.api.schema import ApiModel, Cel, ListMap, ListSet, ObjectName, ShortText, StatusModel

LabelMap = Annotated[dict[str, Annotated[str, Field(max_length=253)]], Field(max_length=64)]


class ConditionStatus(StrEnum):
    """Whether a condition holds. Unknown is not False: nothing may be concluded from it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """One aspect of an object's state, as `metav1.Condition`."""

    type: Annotated[str, Field(max_length=64)]
    """Which aspect, in CamelCase."""
    status: ConditionStatus
    """True, False, or Unknown where nothing can be said."""
    reason: Annotated[str, Field(max_length=128)]
    """Why, as one word in CamelCase."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """Why, for a person, with the figures."""
    last_transition_time: datetime
    """When status last changed."""
    observed_generation: int = 0
    """The generation of the object that the condition speaks of."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), ListMap(("type",))]


class Resources(ApiModel):
    """What one replica needs. Each figure is both request and limit, so that what is planned is what runs."""

    cpu: PositiveAmount = 1.0
    """CPU cores."""
    memory: MemorySize = "1Gi"
    """Memory, at least 64Mi."""
    accelerators: Annotated[int, Field(ge=0, le=64)] = 0
    """Accelerators of the hardware class (its `resourceName`) for each replica; 0 means the CPU does the work."""


class LabelOperator(StrEnum):
    """How a label expression compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelExpression(ApiModel):
    """One requirement on a label."""

    cel_rules: ClassVar = (
        Cel(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "In and NotIn need values; Exists and DoesNotExist take none",
            ".values",
        ),
    )
    key: Annotated[str, Field(min_length=1, max_length=317)]
    """The label's key."""
    operator: LabelOperator
    """In and NotIn compare with values; Exists and DoesNotExist only look for the key."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=64), ListSet()] = ()
    """The values to compare with."""


class LabelSelector(ApiModel):
    """Which workloads are meant, by their labels. Empty means all."""

    match_labels: LabelMap = {}
    """Labels that must all have these values."""
    match_expressions: Annotated[tuple[LabelExpression, ...], Field(max_length=16)] = ()
    """Requirements that must all hold."""


class Toleration(ApiModel):
    """A taint that pods of the class tolerate, as in a pod's spec."""

    key: Annotated[str, Field(max_length=317)] = ""
    """The taint's key; empty, with operator Exists, tolerates every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Equal compares the value; Exists tolerates any value."""
    value: Annotated[str, Field(max_length=63)] = ""
    """The taint's value."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """The taint's effect; empty means any."""


class Hardware(ApiModel):
    """Where a workload may run."""

    classes: Annotated[tuple[ObjectName, ...], Field(max_length=32), ListSet()] = ()
    """Names of the HardwareClasses allowed; empty means every class that offers what is needed."""


class Reason(StatusModel):
    """Why a decision came out as it did."""

    code: Annotated[str, Field(max_length=64)]
    """What bound it, in CamelCase."""
    message: ShortText
    """The same for a person, with the figures."""
    alternative: ShortText | None = None
    """The next better choice, and what it would cost."""


Reasons = Annotated[tuple[Reason, ...], Field(max_length=16)]


class FigureSource(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    """Read from a meter (Prometheus counters of the real pods)."""
    MODELLED = "modelled"
    """The hardware class's power model, driven by measured CPU time."""
    SIMULATED = "simulated"
    """A simulated node: the figure comes from a declared profile, nothing was measured."""


class Usage(StatusModel):
    """What was spent since the object was made. Closed intervals, each counted once."""

    energy_watt_hours: MeasuredSum = 0.0
    """Energy in watt-hours, the site's overhead (PUE) included."""
    cost_usd: MeasuredSum = Field(default=0.0, alias="costUSD")
    """Cost in US dollars: the price of the classes for the time that replicas were held."""
    carbon_grams: MeasuredSum = 0.0
    """Operational and embodied, in grams of CO2 equivalent."""
    replica_seconds: MeasuredSum = 0.0
    """Time that replicas were held, summed over them."""
    unmetered_seconds: MeasuredSum = 0.0
    """Replica time for which the meter has no samples: not in the figures above."""
    accounted_until: datetime | None = None
    """Everything before this instant is in the figures; nothing after it is."""
    source: FigureSource | None = None
    """How good the energy figure is."""


class Rate(StatusModel):
    """What running as decided costs for each hour, at the present price and grid intensity."""

    cost_usd_per_hour: Measured = Field(default=0.0, alias="costUSDPerHour")
    """US dollars for an hour."""
    power_watts: Measured = 0.0
    """Power in watts."""
    carbon_grams_per_hour: Measured = 0.0
    """Grams of CO2 equivalent for an hour."""


class AccuracyFigure(StatusModel):
    """An accuracy with its 95 % interval (Wilson 1927)."""

    value: Measured
    """The share answered right."""
    low: Measured
    """Lower bound of the interval."""
    high: Measured
    """Upper bound of the interval."""
    samples: int
    """Held-out samples that it was measured on."""
