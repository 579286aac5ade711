"""CarbonSources of every kind, from objects and Secrets to states in the Snapshot."""

import base64
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.unit.signals.servers import (
    CarbonAwareSdkApi,
    ElectricityMapsApi,
    PrometheusApi,
    Reply,
    UKApi,
    WattTimeApi,
    serving,
)
from tests.unit.worlds import meta
from trimtab.api.carbon import CarbonSourceSpec, CarbonSourceStatus
from trimtab.kube.errors import Forbidden, Unavailable
from trimtab.observe.carbon_sources import CarbonSources
from trimtab.observe.facts import KindFact
from trimtab.plan.intensity import in_force, intensity_at
from trimtab.plan.snapshot import CarbonState

NOW = datetime.now(UTC).replace(microsecond=0)
"""Servers and fetches go by the same clock, and the tests by none."""
SECRET = {"namespace": "trimtab-system", "name": "keys", "key": "em"}


class Kube:
    """The API server's objects by path; an error is raised instead of given."""

    def __init__(self, **objects: Any) -> None:
        self.objects: dict[str, Any] = {}

    def get(self, path: str) -> Any:
        found = self.objects.get(path)
        if isinstance(found, Exception):
            raise found
        return found

    def secret(self, name: str = "keys", **data: str) -> None:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.objects[f"/api/v1/namespaces/trimtab-system/secrets/{name}"] = {"data": encoded}


@pytest.fixture
def kube() -> Kube:
    return Kube()


@pytest.fixture
def sources(kube: Kube) -> Iterator[CarbonSources]:
    made = CarbonSources(kube, 0.0)  # type: ignore[arg-type]
    yield made
    made.close()


def fact(name: str, spec: dict[str, Any]) -> KindFact:
    return KindFact(
        meta=meta(name, namespace=""), spec=CarbonSourceSpec.model_validate(spec), status=CarbonSourceStatus()
    )


def look(sources: CarbonSources, *facts: KindFact, now: datetime = NOW) -> dict[str, CarbonState]:
    """The states once every fetch that this begins has ended."""
    sources.states(facts, now - timedelta(hours=2), now)
    while sources._fetcher._running:
        Event().wait(0.002)
    return {s.meta.name: s for s in sources.states(facts, now - timedelta(hours=2), now)}


def test_every_kind_on_the_network_from_its_object_to_the_snapshot(sources: CarbonSources, kube: Kube) -> None:
    em, wt = ElectricityMapsApi(NOW), WattTimeApi(NOW)
    kube.secret(em=em.token + "\n", username=wt.user, password=wt.password)
    with (
        serving(em) as em_server,
        serving(wt) as wt_server,
        serving(UKApi()) as uk_server,
        serving(CarbonAwareSdkApi(NOW)) as sdk_server,
        serving(PrometheusApi()) as prometheus_server,
    ):
        login = {"namespace": "trimtab-system", "name": "keys"}
        states = look(
            sources,
            fact("em", {"zone": "DE", "electricityMaps": {"key": SECRET, "url": em_server.url + "/v3"}}),
            fact("wt", {"zone": "CAISO_NORTH", "wattTime": {"login": login, "url": wt_server.url}}),
            fact("uk", {"zone": "GB", "ukCarbonIntensity": {"url": uk_server.url}}),
            fact("sdk", {"zone": "eastus", "carbonAwareSDK": {"url": sdk_server.url}}),
            fact("prom", {"zone": "ES", "prometheus": {"query": "x", "url": prometheus_server.url}}),
        )
    assert {name: state.problem for name, state in states.items()} == dict.fromkeys(states, "")
    by = {name: state.forecast_by for name, state in states.items()}
    assert by == {"em": "Source", "wt": "Source", "uk": "Source", "sdk": "Source", "prom": "Own"}
    assert states["prom"].forecast_error_percent is not None
    assert all(intensity_at(state.points, NOW) is not None for state in states.values())
    assert all(s.newest_data is not None and NOW - s.newest_data < timedelta(hours=2) for s in states.values())
    for state in states.values():
        CarbonState.model_validate_json(state.model_dump_json())


def test_a_key_that_is_replaced_is_used_at_the_next_try(
    sources: CarbonSources, kube: Kube, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = ElectricityMapsApi(NOW)
    with serving(api) as server:
        one = fact("em", {"zone": "DE", "electricityMaps": {"key": SECRET, "url": server.url + "/v3"}})
        at = NOW
        story = []
        for data in (None, {"other": "x"}, {"em": "outdated-key"}, {"em": "two\nlines"}, {"em": api.token}):
            if data is not None:
                kube.secret(**data)
            state = look(sources, one, now=at)["em"]
            story.append((state.reason, state.problem))
            at = (state.next_fetch or at) + timedelta(seconds=1)
    reasons = [reason for reason, _ in story]
    assert reasons == ["NoKey", "NoKey", "Unauthorized", "NoKey", ""]
    assert "Secret trimtab-system/keys does not exist; next try at" in story[0][1]
    assert "has no key 'em'; its keys are 'other'" in story[1][1]
    assert "HTTP 403: Access denied (check the key" in story[2][1]
    assert "one line of plain text" in story[3][1]
    for secret in ("outdated-key", api.token, "two\nlines"):
        assert secret not in caplog.text
        assert all(secret not in problem for _, problem in story)


def test_secrets_that_may_not_be_read_say_what_to_change(sources: CarbonSources, kube: Kube) -> None:
    one = fact("em", {"zone": "DE", "electricityMaps": {"key": SECRET, "url": "http://127.0.0.1:9"}})
    path = "/api/v1/namespaces/trimtab-system/secrets/keys"
    kube.objects[path] = Forbidden(403, "Forbidden", "secrets is forbidden")
    state = look(sources, one)["em"]
    assert state.reason == "NoKey"
    assert "put it into carbon.secretNamespaces and carbon.secretNames" in state.problem
    kube.objects[path] = Unavailable(0, "Timeout", "no answer")
    state = look(sources, one, now=NOW + timedelta(hours=1))["em"]
    assert "cannot be read: no answer" in state.problem


def test_an_outage_moves_the_zone_to_the_next_source_and_back(sources: CarbonSources, kube: Kube) -> None:
    live = {"zone": "GB", "staleAfter": "1h", "refresh": "15m"}
    with serving(UKApi()) as server:
        facts = (
            fact("live", {**live, "ukCarbonIntensity": {"url": server.url}}),
            fact("mean", {"zone": "GB", "table": {"country": "GB"}}),
        )
        assert in_force(look(sources, *facts).values(), NOW)["GB"].meta.name == "live"
        ok, server.answer = server.answer, lambda _: Reply(503, b"down for maintenance")
        # The half hour that was measured last ends up to 30 minutes after the fetch.
        for minutes, name in ((30, "live"), (59, "live"), (91, "mean"), (600, "mean")):
            at = NOW + timedelta(minutes=minutes)
            states = look(sources, *facts, now=at)
            assert in_force(states.values(), at)["GB"].meta.name == name
            if name == "live":
                assert "still fresh" in states["live"].note
            else:
                assert states["live"].reason == "Unreachable"
                assert "older than staleAfter (1 h)" in states["live"].problem
        server.answer = ok
        at = NOW + timedelta(minutes=640)
        states = look(sources, *facts, now=at)
        assert in_force(states.values(), at)["GB"].meta.name == "live"
        assert (states["live"].problem, states["live"].next_fetch) == ("", None)


def test_means_come_from_tables_and_from_files_over_them(tmp_path: Path, kube: Kube) -> None:
    sources = CarbonSources(kube, 0.0, tables_directory=str(tmp_path))  # type: ignore[arg-type]
    facts = [
        fact("es", {"zone": "ES", "table": {"country": "ES"}}),
        fact("esp", {"zone": "ES", "table": {"country": "ESP"}}),
        fact("aws", {"zone": "x", "table": {"cloudRegion": "aws/us-east-1"}}),
        fact("none", {"zone": "x", "table": {"cloudRegion": "aws/moon-1"}}),
    ]
    states = look(sources, *facts)
    assert states["es"].points[0].grams_per_kwh == states["esp"].points[0].grams_per_kwh == pytest.approx(174, abs=30)
    assert states["aws"].points[0].grams_per_kwh == pytest.approx(415.755)
    assert states["none"].reason == "NotFound"
    assert "table intensity_by_cloud_region has no row for 'aws/moon-1'" in states["none"].problem
    (tmp_path / "intensity_by_cloud_region.csv").write_text("provider,region,grams_per_kwh\naws,moon-1,3\n")
    assert look(sources, *facts)["none"].points[0].grams_per_kwh == 3
    (tmp_path / "intensity_by_cloud_region.csv").write_text("provider,region,grams_per_kwh\naws,moon-1,much\n")
    broken = look(sources, *facts)["none"]
    assert broken.reason == "BadAnswer"
    assert "intensity_by_cloud_region.csv line 2, column 'grams_per_kwh': 'much' is not a number" in broken.problem
    sources.close()


def test_the_config_map_of_the_sdk_exporter(sources: CarbonSources, kube: Kube) -> None:
    start = NOW.replace(minute=0, second=0)
    points = [
        {
            "location": "PJM",
            "timestamp": (start + timedelta(minutes=5 * i)).isoformat(),
            "duration": 5,
            "value": 500.0 + i,
        }
        for i in range(288)
    ]
    path = "/api/v1/namespaces/kube-system/configmaps/carbon-intensity"
    config_map = {"namespace": "kube-system", "name": "carbon-intensity", "key": "data", "format": "CarbonAwareSDK"}
    one = fact("sdk", {"zone": "us", "configMap": config_map})
    kube.objects[path] = {"binaryData": {"data": base64.b64encode(json.dumps(points).encode()).decode()}}
    state = look(sources, one)["sdk"]
    assert state.problem == ""
    assert intensity_at(state.points, NOW) == 500.0 + NOW.minute // 5
    assert (state.forecast_by, state.known_until) == ("Source", start + timedelta(days=1))
    kube.objects[path] = {"binaryData": {"data": base64.b64encode(b"\xff\xfe").decode()}, "data": {"message": ""}}
    broken = look(sources, one)["sdk"]
    assert "is not text in UTF-8" in broken.problem
    assert broken.points == state.points, "the last good one stays"
    kube.objects[path] = {"binaryData": {"data": base64.b64encode(b"[{]").decode()}}
    assert "is not JSON" in look(sources, one)["sdk"].problem
    kube.objects[path] = {"data": {"message": ""}}
    assert "its keys are 'message'" in look(sources, one)["sdk"].problem


def test_a_source_that_is_gone_is_forgotten(sources: CarbonSources) -> None:
    with serving(UKApi()) as server:
        one = fact("uk", {"zone": "GB", "ukCarbonIntensity": {"url": server.url}})
        assert look(sources, one)["uk"].points
        assert look(sources) == {}
        assert sources._fetcher._held == {}
