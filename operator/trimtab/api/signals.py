"""The kinds of CarbonSource: one model for each place that carbon intensity comes from."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from trimtab.api.quantity import PositiveAmount, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, ObjectName

_URL_PATTERN = "^https?://[^/?#@ ]+(/[^?#@ ]*)?$"
_URL_MESSAGE = 'must be a URL without query or user, such as "https://api.example.com/v3"'
_COUNTRY_PATTERN = "^[A-Z]{2,3}$"
_COUNTRY_MESSAGE = 'must be an ISO 3166-1 code of two or three capital letters, such as "ES" or "ESP"'
_REGION_PATTERN = "^(aws|azure|gcp)/[a-z0-9-]+$"
_REGION_MESSAGE = 'must be <provider>/<region> with aws, azure or gcp, such as "aws/eu-west-1"'


def _matching(pattern: str, message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


Url = Annotated[
    str,
    Field(min_length=1, max_length=512),
    _matching(_URL_PATTERN, _URL_MESSAGE),
    Cel(f"self.matches('{_URL_PATTERN}')", _URL_MESSAGE),
]
"""Base address of a web API. A key never stands in it: it comes from a Secret."""

Zone = Annotated[str, Field(min_length=1, max_length=63)]
"""Name of a grid zone or region."""


class SecretKey(ApiModel):
    """A key in a Secret that the chart's `carbon.secretNamespaces` and `carbon.secretNames` let the operator read."""

    namespace: ObjectName
    """Namespace of the Secret."""
    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key of the Secret whose value is meant; blanks and line ends around it are left out."""


class StaticIntensity(ApiModel):
    """The same figure at all times, such as a yearly mean."""

    grams_per_kwh: Annotated[int, Field(ge=0, le=5000, alias="gramsPerKWh")]
    """gCO2e/kWh."""


CountryCode = Annotated[
    str,
    Field(max_length=3),
    _matching(_COUNTRY_PATTERN, _COUNTRY_MESSAGE),
    Cel(f"self.matches('{_COUNTRY_PATTERN}')", _COUNTRY_MESSAGE),
]
"""A country."""

CloudRegion = Annotated[
    str,
    Field(max_length=63),
    _matching(_REGION_PATTERN, _REGION_MESSAGE),
    Cel(f"self.matches('{_REGION_PATTERN}')", _REGION_MESSAGE),
]
"""A region of a cloud."""


class TableIntensity(ApiModel):
    """A yearly mean out of the tables that come with trimtab (or the files that people put over them)."""

    cel_rules: ClassVar = (
        Cel(
            "has(self.country) != has(self.cloudRegion)",
            "exactly one of country and cloudRegion must be set",
            ".country",
        ),
    )
    country: CountryCode | None = None
    """The country's mean, by its ISO 3166-1 code such as ES; table `intensity_by_country`."""
    cloud_region: CloudRegion | None = None
    """The mean of the grid that a cloud region is in, such as aws/eu-west-1; table `intensity_by_cloud_region`."""


class TraceFormat(StrEnum):
    """What a ConfigMap's key holds."""

    CSV = "CSV"
    CARBON_AWARE_SDK = "CarbonAwareSDK"


class TraceConfigMap(ApiModel):
    """A series in a ConfigMap: CSV such as an export of Electricity Maps, or JSON of the Carbon Aware SDK."""

    namespace: ObjectName
    """Namespace of the ConfigMap."""
    name: ObjectName
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in its data or binaryData that holds the text; the Carbon Aware SDK's exporter calls it data."""
    format: TraceFormat = TraceFormat.CSV
    """CSV with a header line, or CarbonAwareSDK: the JSON list that the exporter for carbon-aware-keda writes."""
    time_column: Annotated[str, Field(min_length=1, max_length=128)] = "Datetime (UTC)"
    """CSV: header of the column with the start of each interval, in UTC."""
    intensity_column: Annotated[str, Field(min_length=1, max_length=128)] = "Carbon Intensity gCO₂eq/kWh (LCA)"
    """CSV: header of the column with gCO2e/kWh."""


class Replay(ApiModel):
    """Plays a trace of the past as if it were now."""

    start: datetime
    """The instant of the trace that is played when the object is made."""
    speedup: PositiveAmount = 1.0
    """Seconds of the trace that pass in one second; 3600 plays an hour each second."""


class PrometheusIntensity(ApiModel):
    """A PromQL expression that gives gCO2e/kWh as one series."""

    query: Annotated[str, Field(min_length=1, max_length=2048)]
    """The expression; it must give one series, such as avg(grid_carbon_intensity{zone="ES"})."""
    url: Url | None = None
    """Base address of the Prometheus; unset means the one that the operator uses."""
    token: SecretKey | None = None
    """Bearer token, where that Prometheus wants one."""
    history: PositiveDuration = timedelta(days=14)
    """How far back it is asked for: what the forecast is made from."""
    step: PositiveDuration = timedelta(hours=1)
    """Length of one interval of the series."""


class EmissionFactors(StrEnum):
    """What counts as emission: making and running power plants (life cycle), or running them."""

    LIFECYCLE = "lifecycle"
    DIRECT = "direct"


class ElectricityMaps(ApiModel):
    """The Electricity Maps API, version 3."""

    key: SecretKey
    """The API key."""
    zone: Zone | None = None
    """Zone as Electricity Maps names it, such as US-CAL-CISO; unset means spec.zone."""
    emission_factors: EmissionFactors = EmissionFactors.LIFECYCLE
    """lifecycle (default) or direct."""
    url: Url = "https://api.electricitymaps.com/v3"
    """Base address."""


class WattTimeSignal(StrEnum):
    """Which of WattTime's signals: marginal or average emissions."""

    MARGINAL = "co2_moer"
    AVERAGE = "co2_aoer"


class WattTimeLogin(ApiModel):
    """A Secret with a WattTime account."""

    namespace: ObjectName
    """Namespace of the Secret."""
    name: ObjectName
    """Name of the Secret."""
    username_key: Annotated[str, Field(min_length=1, max_length=253)] = "username"
    """Key that holds the user's name."""
    password_key: Annotated[str, Field(min_length=1, max_length=253)] = "password"
    """Key that holds the password."""


class WattTime(ApiModel):
    """The WattTime API, version 3."""

    login: WattTimeLogin
    """The account."""
    region: Zone | None = None
    """Region as WattTime names it, such as CAISO_NORTH; unset means spec.zone."""
    signal: WattTimeSignal = WattTimeSignal.MARGINAL
    """co2_moer (marginal emissions, default) or co2_aoer (average emissions)."""
    url: Url = "https://api.watttime.org"
    """Base address, without /v3."""


class UKCarbonIntensity(ApiModel):
    """Great Britain's Carbon Intensity API; it needs no key."""

    region_id: Annotated[int | None, Field(ge=1, le=17, alias="regionID")] = None
    """Region 1 to 17 as the API numbers them; unset means all of Great Britain."""
    url: Url = "https://api.carbonintensity.org.uk"
    """Base address."""


class CarbonAwareSDK(ApiModel):
    """The Web API of the Green Software Foundation's Carbon Aware SDK, which runs in your own cluster mostly."""

    url: Url
    """Base address, such as http://carbon-aware-sdk.carbon:80."""
    location: Zone | None = None
    """Location as the SDK names it, such as eastus; unset means spec.zone."""


LiveSource = PrometheusIntensity | ElectricityMaps | WattTime | UKCarbonIntensity | CarbonAwareSDK
"""What is fetched in the background, again and again."""
