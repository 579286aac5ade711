"""CarbonSources on a real apiserver: every kind is accepted and means the same to Python; mistakes are refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.control_plane.crds import Resources, manifest

from trimtab.api.carbon import CarbonSourceSpec, CarbonSourceStatus

ROOT = Path(__file__).parents[2]
KEY = {"namespace": "trimtab-system", "name": "trimtab-carbon", "key": "token"}
EM, WT = {"key": KEY}, {"login": {"namespace": "trimtab-system", "name": "trimtab-carbon"}}
EXPORTED = {"namespace": "kube-system", "name": "carbon-intensity", "key": "data", "format": "CarbonAwareSDK"}
EXACTLY_ONE = (
    "exactly one of static, table, configMap, prometheus, electricityMaps, wattTime, ukCarbonIntensity and carb"
)
URL = 'must be a URL without query or user, such as "https://api.example.com/v3"'
DURATION = 'such as "90s", "15m" or "1h30m"'


@pytest.fixture(scope="module")
def resources(crds: Any) -> Iterator[Resources]:
    with Resources.of(crds, __name__) as resources:
        yield resources


def source(name: str, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(manifest("CarbonSource", name=name)))
    body["spec"] = {"zone": "DE", **spec}
    return body


GOOD: list[dict[str, Any]] = [
    {"static": {"gramsPerKWh": 0}},
    {"table": {"country": "DE"}},
    {"table": {"country": "DEU"}, "priority": 0},
    {"table": {"cloudRegion": "azure/germanywestcentral"}},
    {"configMap": EXPORTED},
    {"prometheus": {"query": "avg(x)"}},
    {"prometheus": {"query": "avg(x)", "url": "http://[::1]:9090/prometheus/", "token": KEY, "step": "30m"}},
    {"electricityMaps": EM},
    {"electricityMaps": {**EM, "zone": "US-CAL-CISO", "emissionFactors": "direct", "url": "http://localhost:80"}},
    {"wattTime": {**WT, "signal": "co2_aoer", "region": "CAISO_NORTH"}},
    {"ukCarbonIntensity": {}},
    {"ukCarbonIntensity": {"regionID": 17}, "staleAfter": "1h", "refresh": "30m", "ownForecast": False},
    {"carbonAwareSDK": {"url": "http://sdk.carbon:80", "location": "eastus"}, "priority": 10000},
]


@pytest.mark.parametrize("spec", GOOD, ids=lambda spec: "-".join(spec))
def test_every_kind_is_stored_and_means_the_same_to_python(resources: Resources, spec: dict[str, Any]) -> None:
    body = source("good", **spec)
    stored = CarbonSourceSpec.model_validate(resources.apply(body)["spec"])
    assert stored == CarbonSourceSpec.model_validate(body["spec"])


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "spec", EXACTLY_ONE),
    ({"static": {"gramsPerKWh": 1}, "table": {"country": "DE"}}, "spec", EXACTLY_ONE),
    ({"electricityMaps": EM, "wattTime": WT}, "spec", EXACTLY_ONE),
    ({"table": {}}, "spec.table.country", "exactly one of country and cloudRegion must be set"),
    ({"table": {"country": "DE", "cloudRegion": "aws/x"}}, "spec.table.country", "exactly one of country and cloud"),
    ({"table": {"country": "Germany"}}, "spec.table.country", "Too long: may not be more than 3"),
    ({"table": {"country": "de"}}, "spec.table.country", "must be an ISO 3166-1 code"),
    ({"table": {"cloudRegion": "eu-west-1"}}, "spec.table.cloudRegion", "must be <provider>/<region>"),
    ({"electricityMaps": {}}, "spec.electricityMaps.key", "Required value"),
    ({"electricityMaps": {"key": {**KEY, "name": "A/B"}}}, "spec.electricityMaps.key.name", "must be the name of an"),
    ({"electricityMaps": {**EM, "url": "api.electricitymaps.com"}}, "spec.electricityMaps.url", URL),
    ({"electricityMaps": {**EM, "url": "https://a/v3?auth-token=k"}}, "spec.electricityMaps.url", URL),
    ({"electricityMaps": {**EM, "url": "https://me:pw@a/v3"}}, "spec.electricityMaps.url", URL),
    ({"electricityMaps": {**EM, "emissionFactors": "all"}}, "spec.electricityMaps.emissionFactors", '"lifecycle"'),
    ({"electricityMaps": {**EM, "token": "abc"}}, 'unknown field "spec.electricityMaps.token"', "strict decoding"),
    ({"wattTime": {**WT, "signal": "moer"}}, "spec.wattTime.signal", '"co2_moer", "co2_aoer"'),
    ({"wattTime": {}}, "spec.wattTime.login", "Required value"),
    ({"ukCarbonIntensity": {"regionID": 18}}, "spec.ukCarbonIntensity.regionID", "less than or equal to 17"),
    ({"carbonAwareSDK": {}}, "spec.carbonAwareSDK.url", "Required value"),
    ({"prometheus": {"query": ""}}, "spec.prometheus.query", "at least 1 char"),
    ({"prometheus": {"query": "x", "step": "0s"}}, "spec.prometheus.step", "must be a duration above zero"),
    ({"ukCarbonIntensity": {}, "priority": -1}, "spec.priority", "greater than or equal to 0"),
    ({"ukCarbonIntensity": {}, "staleAfter": "3 hours"}, "spec.staleAfter", DURATION),
    ({"ukCarbonIntensity": {}, "refresh": "0s"}, "spec.refresh", "must be a duration above zero"),
    ({"ukCarbonIntensity": {}, "replay": {"start": "2024-01-01T00:00:00Z"}}, "spec.replay", "replay needs configMap"),
    ({"configMap": EXPORTED, "replay": {"start": "2024-01-01T00:00:00Z"}}, "spec.replay", "with the format CSV"),
]


@pytest.mark.parametrize(("spec", "field", "right"), BAD, ids=lambda part: str(part)[:50])
def test_a_mistake_is_refused_with_one_line(resources: Resources, spec: dict[str, Any], field: str, right: str) -> None:
    refused = resources.try_kubectl("apply", "-f-", input=json.dumps(source("bad", **spec)))
    assert refused.returncode != 0, f"accepted: {spec}"
    note = "some validation rules were not checked because the object was invalid"
    lines = [line for line in refused.stderr.splitlines() if note not in line and not line.endswith("is invalid: ")]
    assert len(lines) == 1, lines
    assert field in lines[0]
    assert right in lines[0]


def test_every_example_in_policies_is_accepted(crds: Any) -> None:
    folders = sorted(path for path in (ROOT / "policies").glob("carbon-*") if path.is_dir())
    assert len(folders) >= 7
    for folder in folders:
        crds.kubectl("apply", "--dry-run=server", "-f", str(folder))


def test_status_of_a_source_on_the_network_can_be_written(resources: Resources, crds: Any) -> None:
    resources.apply(source("shown", ukCarbonIntensity={}))
    status = CarbonSourceStatus.model_validate(
        {
            "gramsPerKWh": "263",
            "newestData": "2026-11-24T14:30:00Z",
            "forecastUntil": "2026-11-26T14:30:00Z",
            "forecastBy": "Own",
            "forecastErrorPercent": "7.5",
            "nextFetch": "2026-11-24T14:45:00Z",
            "conditions": [
                {"type": kind, "status": "True", "reason": "R", "lastTransitionTime": "2026-11-24T14:00:00Z"}
                for kind in ("CarbonDataFresh", "InForce")
            ],
        }
    )
    patch = json.dumps({"status": status.to_manifest()})
    crds.kubectl("patch", "carbon", "shown", "--subresource=status", "--type=merge", "-p", patch)
    stored = yaml.safe_load(crds.kubectl("get", "carbon", "shown", "-oyaml"))["status"]
    assert CarbonSourceStatus.model_validate(stored) == status
    header, row = crds.kubectl("get", "carbon", "shown", "-owide").splitlines()
    assert header.split()[5:] == ["IN-FORCE", "FORECAST-ERROR-%", "NEWEST-DATA"]
    assert row.split()[:5] == ["shown", "DE", "263", "True", "True"]
