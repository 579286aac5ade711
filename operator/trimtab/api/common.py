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
    """Read from a meter of energy or power."""
    MODELLED = "modelled"
    """The hardware class's power model, driven by measured use."""
    SIMULATED = "simulated"
    """A simulated node: the figure comes from a declared profile, nothing was measured."""


class UsageGap(StatusModel):
    """A stretch of time in an account that the meter could not see to its end. What stands here is in the account's
    sums as an estimate; it is taken out again, and what was measured put in, when the samples are there.
    """

    start: datetime
    """Where the stretch begins."""
    end: datetime
    """Where it ends."""
    energy_watt_hours: MeasuredSum = 0.0
    """Energy booked for the stretch, in watt-hours."""
    idle_watt_hours: MeasuredSum = 0.0
    """The part of it for holding hardware."""
    cost_usd: MeasuredSum = Field(default=0.0, alias="costUSD")
    """Cost booked, in US dollars."""
    carbon_grams: MeasuredSum = 0.0
    """Carbon booked, in grams of CO2 equivalent."""
    embodied_grams: MeasuredSum = 0.0
    """The embodied part of it."""
    replica_seconds: MeasuredSum = 0.0
    """Replica time booked."""
    unmetered_seconds: MeasuredSum = 0.0
    """Replica time booked as not seen."""
    work_items: MeasuredSum = 0.0
    """Samples or inferences booked."""
    unattributed_watt_hours: MeasuredSum = 0.0
    """Accounts of hardware classes: energy booked as nobody's."""


class EnergyError(StatusModel):
    """How far an energy figure may be off."""

    percent: Measured
    """Expected error, in percent of the figure."""
    origin: ShortText
    """Where the error comes from, and where its size was taken from."""


class Savings(StatusModel):
    """What was saved against the baseline: the same work, started at once, by the baseline variant, on the most
    replicas. Negative where more was spent than the baseline would have.
    """

    cost_usd: Measured = Field(default=0.0, alias="costUSD")
    """US dollars less."""
    energy_watt_hours: Measured = 0.0
    """Watt-hours less."""
    carbon_grams: Measured = 0.0
    """Grams of CO2 equivalent less."""
    baseline: ShortText
    """What it is compared with, with the figures that it was worked out from."""


class Usage(StatusModel):
    """What was spent since the object was made. Closed intervals, each counted once."""

    energy_watt_hours: MeasuredSum = 0.0
    """Energy in watt-hours, the site's overhead (PUE) included."""
    idle_watt_hours: MeasuredSum = 0.0
    """The part of the energy that was spent for holding hardware, whatever it did."""
    cost_usd: MeasuredSum = Field(default=0.0, alias="costUSD")
    """Cost in US dollars: the price of the classes for the time that replicas were held."""
    carbon_grams: MeasuredSum = 0.0
    """Operational and embodied, in grams of CO2 equivalent."""
    embodied_grams: MeasuredSum = 0.0
    """The embodied part of the carbon: from making the hardware."""
    replica_seconds: MeasuredSum = 0.0
    """Time that replicas were held, summed over them."""
    unmetered_seconds: MeasuredSum = 0.0
    """Replica time that the meter did not see: the figures above hold an estimate for it."""
    estimated_watt_hours: MeasuredSum = 0.0
    """The part of the energy that is an estimate: bridged over holes in the samples, or not yet corrected."""
    work_items: MeasuredSum = 0.0
    """Samples trained or inferences made in the same time, by the workload's own counters."""
    watt_hours_per_item: MeasuredSum | None = None
    """Energy for one sample or inference, in watt-hours."""
    cost_usd_per_item: MeasuredSum | None = Field(default=None, alias="costUSDPerItem")
    """Cost of one sample or inference, in US dollars."""
    carbon_grams_per_item: MeasuredSum | None = None
    """Carbon of one sample or inference, in grams of CO2 equivalent."""
    accounted_until: datetime | None = None
    """Everything before this instant is in the figures; nothing after it is."""
    source: FigureSource | None = None
    """How good the energy figure is: that of the worst part."""
    power_source: Annotated[str, Field(max_length=64)] = ""
    """The meter that the energy was read from; of several the least exact."""
    energy_error: EnergyError | None = None
    """How far the energy may be off."""
    gaps: Annotated[tuple[UsageGap, ...], Field(max_length=8), ListMap(("start",))] = ()
    """Stretches whose figures are estimates that may still be corrected."""
    savings: Savings | None = None
    """What was saved against the baseline."""


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
