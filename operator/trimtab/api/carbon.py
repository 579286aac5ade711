"""CarbonSource: where the carbon intensity of a grid zone comes from."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final

from pydantic import Field

from trimtab.api.common import Conditions
from trimtab.api.quantity import Measured, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, Column, Kind, ShortText, StatusModel
from trimtab.api.signals import (
    CarbonAwareSDK,
    ElectricityMaps,
    LiveSource,
    PrometheusIntensity,
    Replay,
    StaticIntensity,
    TableIntensity,
    TraceConfigMap,
    TraceFormat,
    UKCarbonIntensity,
    WattTime,
    Zone,
)

__all__ = [
    "CARBON_SOURCE",
    "CarbonSourceSpec",
    "CarbonSourceStatus",
    "Replay",
    "StaticIntensity",
    "TableIntensity",
    "TraceConfigMap",
    "TraceFormat",
]

_KINDS: Final = (
    "static",
    "table",
    "configMap",
    "prometheus",
    "electricityMaps",
    "wattTime",
    "ukCarbonIntensity",
    "carbonAwareSDK",
)
_LISTED: Final = f"{', '.join(_KINDS[:-1])} and {_KINDS[-1]}"
_SOURCE_PRIORITY, _MEAN_PRIORITY = 100, 1000


class CarbonSourceSpec(ApiModel):
    """Whose intensity, and from where."""

    cel_rules: ClassVar = (
        Cel(
            f"[{', '.join(f'has(self.{kind})' for kind in _KINDS)}].filter(given, given).size() == 1",
            f"exactly one of {_LISTED} must be set",
        ),
        Cel("has(self.replay) ? has(self.configMap) : true", "replay needs configMap", ".replay"),
        Cel(
            "has(self.replay) && has(self.configMap) && has(self.configMap.format)"
            " ? self.configMap.format == 'CSV' : true",
            "replay needs a configMap with the format CSV",
            ".replay",
        ),
    )
    zone: Zone
    """Grid zone, as the HardwareClasses name it. Several sources may name one zone: see priority."""
    priority: Annotated[int | None, Field(ge=0, le=10_000)] = None
    """Of several sources of one zone, the fresh one with the lowest number is in force, then the first by name. Unset
    means 100, and 1000 for static and table: a mean is used when no measured source is fresh."""
    static: StaticIntensity | None = None
    """One figure at all times."""
    table: TableIntensity | None = None
    """The yearly mean of a country or of a cloud region."""
    config_map: TraceConfigMap | None = None
    """A series in a ConfigMap."""
    prometheus: PrometheusIntensity | None = None
    """A PromQL expression."""
    electricity_maps: ElectricityMaps | None = None
    """Electricity Maps."""
    watt_time: WattTime | None = None
    """WattTime."""
    uk_carbon_intensity: Annotated[UKCarbonIntensity | None, Field(alias="ukCarbonIntensity")] = None
    """Great Britain's Carbon Intensity API."""
    carbon_aware_sdk: Annotated[CarbonAwareSDK | None, Field(alias="carbonAwareSDK")] = None
    """The Web API of the Carbon Aware SDK."""
    replay: Replay | None = None
    """Plays the trace from an instant of the past as if it were now; unset means the trace is of the present."""
    forecast_horizon: PositiveDuration = timedelta(hours=48)
    """How far ahead (in the trace's own time) the plan may look."""
    own_forecast: bool = True
    """Whether a source that is fetched and gives no forecast gets one from its own past."""
    refresh: PositiveDuration = timedelta(minutes=15)
    """How often a source on the network is fetched."""
    stale_after: PositiveDuration = timedelta(hours=3)
    """A source on the network whose newest figure is older is stale: the next one of its zone is then in force."""

    @property
    def live(self) -> LiveSource | None:
        """What is fetched from the network, if the source is of such a kind."""
        return (
            self.prometheus
            or self.electricity_maps
            or self.watt_time
            or self.uk_carbon_intensity
            or self.carbon_aware_sdk
        )

    @property
    def rank(self) -> int:
        """The priority in force: the lowest comes first."""
        if self.priority is not None:
            return self.priority
        return _MEAN_PRIORITY if self.static or self.table else _SOURCE_PRIORITY


class CarbonSourceStatus(StatusModel):
    """What it says now."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    conditions: Conditions = ()
    """CarbonDataFresh: whether there is data for the present. InForce: whether its zone is decided by this source."""
    grams_per_kwh: Annotated[str, Field(max_length=32, alias="gramsPerKWh")] = ""
    """Carbon intensity that this source says for the present, in gCO2e/kWh."""
    trace_time: datetime | None = None
    """Start of the interval of the trace that is in force."""
    newest_data: datetime | None = None
    """The end of the last interval that was measured, or when the forecast was made that covers the present."""
    forecast_until: datetime | None = None
    """How far the forecast reaches."""
    forecast_by: Annotated[str, Field(max_length=16)] = ""
    """Who made the forecast: Source or Own; empty without one."""
    forecast_error_percent: Measured | None = None
    """Mean absolute error of the own forecast over a day, back-tested on the source's own past, as a share of the mean
    intensity."""
    next_fetch: datetime | None = None
    """When a source on the network is asked again after a failure."""
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
        Column("In-Force", ".status.conditions[?(@.type=='InForce')].status"),
        Column("Forecast-Error-%", ".status.forecastErrorPercent", wide=True),
        Column("Newest-Data", ".status.newestData", wide=True),
    ),
)
