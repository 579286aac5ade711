"""CarbonSource: where the carbon intensity of a grid zone comes from."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.common import Conditions
from trimtab.api.quantity import PositiveAmount, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, Column, Kind, ObjectName, ShortText, StatusModel


class StaticIntensity(ApiModel):
    """The same figure at all times, such as a yearly mean."""

    grams_per_kwh: Annotated[int, Field(ge=0, le=5000, alias="gramsPerKWh")]
    """gCO2e/kWh."""


class TraceConfigMap(ApiModel):
    """An hourly trace as CSV in a ConfigMap, such as an export of Electricity Maps."""

    namespace: ObjectName
    """Namespace of the ConfigMap."""
    name: ObjectName
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key of the ConfigMap that holds the CSV text."""
    time_column: Annotated[str, Field(min_length=1, max_length=128)] = "Datetime (UTC)"
    """Header of the column with the start of each interval, in UTC."""
    intensity_column: Annotated[str, Field(min_length=1, max_length=128)] = "Carbon Intensity gCO₂eq/kWh (LCA)"
    """Header of the column with gCO2e/kWh."""


class Replay(ApiModel):
    """Plays a trace of the past as if it were now."""

    start: datetime
    """The instant of the trace that is played when the object is made."""
    speedup: PositiveAmount = 1.0
    """Seconds of the trace that pass in one second; 3600 plays an hour each second."""


class CarbonSourceSpec(ApiModel):
    """Whose intensity, and from where."""

    cel_rules: ClassVar = (
        Cel(
            "has(self.static) != has(self.configMap)",
            "exactly one of static and configMap must be set",
            ".static",
        ),
        Cel("has(self.replay) ? has(self.configMap) : true", "replay needs configMap", ".replay"),
    )
    zone: Annotated[str, Field(min_length=1, max_length=63)]
    """Grid zone, as the HardwareClasses name it."""
    static: StaticIntensity | None = None
    """One figure at all times; either this or configMap."""
    config_map: TraceConfigMap | None = None
    """An hourly trace in a ConfigMap; either this or static."""
    replay: Replay | None = None
    """Plays the trace from an instant of the past as if it were now; unset means the trace is of the present."""
    forecast_horizon: PositiveDuration = timedelta(hours=48)
    """How far ahead (in the trace's own time) the plan may look."""


class CarbonSourceStatus(StatusModel):
    """What it says now."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    conditions: Conditions = ()
    """Whether the data can be read and is fresh."""
    grams_per_kwh: Annotated[str, Field(max_length=32, alias="gramsPerKWh")] = ""
    """Carbon intensity in force, in gCO2e/kWh."""
    trace_time: datetime | None = None
    """Start of the interval of the trace that is in force."""
    message: ShortText = ""
    """What is wrong with the data, if anything is."""


CARBON_SOURCE = Kind(
    kind="CarbonSource",
    plural="carbonsources",
    short_names=("carbon",),
    namespaced=False,
    spec=CarbonSourceSpec,
    status=CarbonSourceStatus,
    description="Carbon intensity of a grid zone over time.",
    columns=(
        Column("Zone", ".spec.zone"),
        Column("gCO2/kWh", ".status.gramsPerKWh"),
        Column("Trace-Time", ".status.traceTime"),
        Column("Fresh", ".status.conditions[?(@.type=='CarbonDataFresh')].status"),
    ),
)
