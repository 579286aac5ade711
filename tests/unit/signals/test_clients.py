"""Each client against a local server that answers as its API's published reference says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.signals.servers import (
    HALF_HOUR,
    HOUR,
    CarbonAwareSdkApi,
    ElectricityMapsApi,
    PrometheusApi,
    Reply,
    UKApi,
    WattTimeApi,
    as_json,
    serving,
)
from trimtab.api.signals import CarbonAwareSDK, ElectricityMaps, PrometheusIntensity, UKCarbonIntensity, WattTime
from trimtab.observe.signals import carbon_aware_sdk, prometheus_query, uk_carbon_intensity
from trimtab.observe.signals.electricity_maps import ElectricityMapsClient
from trimtab.observe.signals.http import Http, HttpSettings
from trimtab.observe.signals.signal import Reason, Signal, SignalError
from trimtab.observe.signals.watttime import WattTimeClient

NOW = datetime(2026, 11, 24, 14, 47, 12, tzinfo=UTC)
TOP = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
TWO_DAYS = timedelta(hours=48)
SECRET = {"namespace": "trimtab-system", "name": "carbon", "key": "token"}


@pytest.fixture
def http() -> Iterator[Http]:
    client = Http(HttpSettings(timeout_seconds=5, backoff_seconds=0.01, retries=1, requests_per_minute=1000))
    yield client
    client.close()


def electricity_maps(url: str, **more: Any) -> ElectricityMaps:
    return ElectricityMaps.model_validate({"key": SECRET, "url": url + "/v3", **more})


def in_order(signal: Signal) -> bool:
    return all([p.start for p in s] == sorted({p.start for p in s}) for s in (signal.history, signal.forecast))


def reason_of(error: pytest.ExceptionInfo[SignalError]) -> Reason:
    return error.value.reason


def test_electricity_maps_gives_the_past_day_and_a_forecast(http: Http) -> None:
    api = ElectricityMapsApi(NOW)
    with serving(api) as server:
        signal = ElectricityMapsClient(http).fetch(electricity_maps(server.url), "DE", api.token, TWO_DAYS, NOW)
        assert {request.query["emissionFactorType"] for request in server.requests} == {"lifecycle"}
    assert len(signal.history) == 23, "an hour without a figure is passed over"
    assert (signal.history[-1].start, signal.history[-1].grams_per_kwh) == (TOP, 300.0)
    assert (signal.forecast[0].start, signal.forecast[0].grams_per_kwh) == (TOP, 200.0)
    assert len(signal.forecast) == 48
    assert (signal.forecast_made_at, signal.step, signal.note) == (TOP, HOUR, "")
    assert in_order(signal)


def test_electricity_maps_names_its_own_zone_and_factors(http: Http) -> None:
    api = ElectricityMapsApi(NOW, zone="US-CAL-CISO")
    source = {"zone": "US-CAL-CISO", "emissionFactors": "direct"}
    with serving(api) as server:
        assert (
            ElectricityMapsClient(http)
            .fetch(electricity_maps(server.url, **source), "west", api.token, TWO_DAYS, NOW)
            .history
        )
        assert {request.query["emissionFactorType"] for request in server.requests} == {"direct"}


def test_electricity_maps_without_forecasts_in_the_plan_is_not_asked_for_them_again(http: Http) -> None:
    api = ElectricityMapsApi(NOW, forecast=False)
    with serving(api) as server:
        client, source = ElectricityMapsClient(http), electricity_maps(server.url)
        for _ in range(3):
            signal = client.fetch(source, "DE", api.token, TWO_DAYS, NOW)
            assert signal.history
            assert not signal.forecast
            assert "forecast" in signal.note
        assert len(server.asked("/v3/carbon-intensity/forecast")) == 2, "as far as wanted, and by default"
        api.forecast = True
        assert not client.fetch(source, "DE", api.token, TWO_DAYS, NOW + timedelta(hours=23)).forecast
        assert client.fetch(source, "DE", api.token, TWO_DAYS, NOW + timedelta(hours=25)).forecast


@pytest.mark.parametrize(("wanted", "longest", "given"), [(5, 72, 6), (30, 72, 48), (200, 72, 72), (48, 24, 24)])
def test_electricity_maps_is_asked_as_far_as_wanted_and_its_plan_goes(
    http: Http, wanted: int, longest: int, given: int
) -> None:
    api = ElectricityMapsApi(NOW)
    api.longest_horizon = longest
    with serving(api) as server:
        source = electricity_maps(server.url)
        signal = ElectricityMapsClient(http).fetch(source, "DE", api.token, timedelta(hours=wanted), NOW)
    assert (len(signal.forecast), signal.note) == (given, "")


def test_electricity_maps_forecast_in_trouble_leaves_the_past(http: Http) -> None:
    api = ElectricityMapsApi(NOW)
    with serving(lambda r: Reply(502) if r.path.endswith("forecast") else api(r)) as server:
        signal = ElectricityMapsClient(http).fetch(electricity_maps(server.url), "DE", api.token, TWO_DAYS, NOW)
    assert signal.history
    assert "HTTP 502" in signal.note


def test_electricity_maps_refuses(http: Http) -> None:
    api = ElectricityMapsApi(NOW)
    with serving(api) as server:
        client, source = ElectricityMapsClient(http), electricity_maps(server.url)
        with pytest.raises(SignalError, match="HTTP 403: Access denied") as wrong_key:
            client.fetch(source, "DE", "not-the-key", TWO_DAYS, NOW)
        with pytest.raises(SignalError, match="Zone 'XX' does not exist") as wrong_zone:
            client.fetch(source, "XX", api.token, TWO_DAYS, NOW)
        api.fallback_to_caller = True
        with pytest.raises(SignalError, match="is of zone 'IE', not 'XX'") as elsewhere:
            client.fetch(source, "XX", api.token, TWO_DAYS, NOW)
    assert reason_of(wrong_key) is Reason.UNAUTHORIZED
    assert reason_of(wrong_zone) is reason_of(elsewhere) is Reason.NOT_FOUND
    assert "not-the-key" not in str(wrong_key.value)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"history": 3},
        {"history": [3]},
        {"history": [{"carbonIntensity": 3}]},
        {"history": [{"carbonIntensity": "3", "datetime": "2026-11-24T14:00:00.000Z"}]},
        {"history": [{"carbonIntensity": -3, "datetime": "2026-11-24T14:00:00.000Z"}]},
        {"history": [{"carbonIntensity": 1e6, "datetime": "2026-11-24T14:00:00.000Z"}]},
        {"history": [{"carbonIntensity": 3, "datetime": "yesterday"}]},
        {"history": [{"carbonIntensity": True, "datetime": "2026-11-24T14:00:00.000Z"}]},
    ],
)
def test_what_is_no_answer_of_electricity_maps_is_said(http: Http, body: Any) -> None:
    with serving(lambda _: as_json(body)) as server, pytest.raises(SignalError) as error:
        ElectricityMapsClient(http).fetch(electricity_maps(server.url), "DE", "k", TWO_DAYS, NOW)
    assert reason_of(error) is Reason.BAD_ANSWER


def test_no_figure_at_all_is_no_data(http: Http) -> None:
    with serving(lambda _: as_json({"zone": "DE", "history": []})) as server, pytest.raises(SignalError) as error:
        ElectricityMapsClient(http).fetch(electricity_maps(server.url), "DE", "k", TWO_DAYS, NOW)
    assert reason_of(error) is Reason.NO_DATA


def watttime(url: str, **more: Any) -> WattTime:
    return WattTime.model_validate({"login": {"namespace": "trimtab-system", "name": "wt"}, "url": url, **more})


def test_watttime_gives_grams_from_pounds(http: Http) -> None:
    api = WattTimeApi(NOW)
    with serving(api) as server:
        client, source = WattTimeClient(http), watttime(server.url, region="CAISO_NORTH")
        signal = client.fetch(source, "west", (api.user, api.password), TWO_DAYS, NOW)
        assert client.fetch(source, "west", (api.user, api.password), TWO_DAYS, NOW + timedelta(minutes=5)).forecast
        assert api.logins == 1, "a token is used again"
        assert {r.query["signal_type"] for r in server.requests if r.query} == {"co2_moer"}
    assert signal.forecast[0].grams_per_kwh == pytest.approx(800 * 0.45359237)
    assert len(signal.forecast) == 48 * 12
    assert signal.history[0].grams_per_kwh == pytest.approx(700 * 0.45359237)
    assert signal.forecast_made_at == datetime(2026, 11, 24, 14, 45, tzinfo=UTC)
    assert signal.step == timedelta(minutes=5)
    assert in_order(signal)


def test_watttime_logs_in_again_when_a_token_has_ended(http: Http) -> None:
    api = WattTimeApi(NOW)
    with serving(api) as server:
        client, source = WattTimeClient(http), watttime(server.url)
        client.fetch(source, "CAISO_NORTH", (api.user, api.password), TWO_DAYS, NOW)
        api.token = "jwt-bbbb"
        assert client.fetch(source, "CAISO_NORTH", (api.user, api.password), TWO_DAYS, NOW).forecast
        assert api.logins == 2
        client.fetch(source, "CAISO_NORTH", (api.user, api.password), TWO_DAYS, NOW + timedelta(minutes=26))
        assert api.logins == 3


def test_watttime_without_history_in_the_plan_still_forecasts(http: Http) -> None:
    api = WattTimeApi(NOW)
    api.historical = False
    with serving(api) as server:
        signal = WattTimeClient(http).fetch(
            watttime(server.url), "CAISO_NORTH", (api.user, api.password), TWO_DAYS, NOW
        )
    assert signal.forecast
    assert not signal.history
    assert "no history" in signal.note


def test_watttime_refuses(http: Http) -> None:
    api = WattTimeApi(NOW)
    with serving(api) as server:
        client, source = WattTimeClient(http), watttime(server.url)
        with pytest.raises(SignalError, match="/login: HTTP 403") as wrong_password:
            client.fetch(source, "CAISO_NORTH", (api.user, "guessed-word"), TWO_DAYS, NOW)
        with pytest.raises(SignalError, match="Invalid region") as wrong_region:
            client.fetch(source, "MOON", (api.user, api.password), TWO_DAYS, NOW)
        api.units = "tons_per_year"
        with pytest.raises(SignalError, match="'tons_per_year', which is not known") as wrong_units:
            client.fetch(source, "CAISO_NORTH", (api.user, api.password), TWO_DAYS, NOW)
    assert "guessed-word" not in str(wrong_password.value)
    reasons = [reason_of(error) for error in (wrong_password, wrong_region, wrong_units)]
    assert reasons == [Reason.UNAUTHORIZED, Reason.NOT_FOUND, Reason.BAD_ANSWER]


def test_watttime_that_keeps_refusing_its_own_tokens_is_not_asked_for_ever(http: Http) -> None:
    with (
        serving(lambda r: as_json({"token": "t-1234"}) if r.path == "/login" else as_json({}, 401)) as server,
        pytest.raises(SignalError) as error,
    ):
        WattTimeClient(http).fetch(watttime(server.url), "X", ("u", "p"), TWO_DAYS, NOW)
    assert reason_of(error) is Reason.UNAUTHORIZED
    assert len(server.requests) == 2


@pytest.mark.parametrize("region", [None, 13])
def test_great_britain_and_its_regions(http: Http, region: int | None) -> None:
    with serving(UKApi()) as server:
        source = UKCarbonIntensity.model_validate({"regionID": region, "url": server.url})
        signal = uk_carbon_intensity.fetch(http, source, NOW)
        paths = [request.path for request in server.requests]
    tail = "" if region is None else f"/regionid/{region}"
    root = "/intensity" if region is None else "/regional/intensity"
    assert paths == [f"{root}/2026-11-24T14:30Z/{span}{tail}" for span in ("pt24h", "fw48h")]
    at = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
    assert signal.history[-1].start == at
    assert signal.history[0].grams_per_kwh == (263 if region is None else 266)
    assert (signal.forecast[0].start, signal.forecast[-1].start) == (at + HALF_HOUR, at + 48 * HOUR)
    assert in_order(signal)


def test_great_britain_refuses(http: Http) -> None:
    error = {"error": {"code": "500 Internal Server Error", "message": "Please contact the site administrator"}}
    with serving(lambda _: as_json(error, 500)) as server, pytest.raises(SignalError, match="site administrator") as e:
        uk_carbon_intensity.fetch(http, UKCarbonIntensity(url=server.url), NOW)
    assert reason_of(e) is Reason.UNREACHABLE
    with serving(lambda _: as_json({"data": []})) as server, pytest.raises(SignalError) as e:
        uk_carbon_intensity.fetch(http, UKCarbonIntensity(url=server.url), NOW)
    assert reason_of(e) is Reason.NO_DATA


def test_the_carbon_aware_sdk_gives_past_and_forecast(http: Http) -> None:
    with serving(CarbonAwareSdkApi(NOW)) as server:
        source = CarbonAwareSDK(url=server.url + "/", location="eastus")
        signal = carbon_aware_sdk.fetch(http, source, "us", NOW)
    assert (signal.forecast[0].start, signal.forecast[0].grams_per_kwh) == (TOP, 448.4)
    assert signal.history[-1].start == TOP - HOUR
    assert signal.forecast_made_at == NOW
    assert in_order(signal)


def test_the_carbon_aware_sdk_may_lack_a_part_but_not_both(http: Http) -> None:
    api = CarbonAwareSdkApi(NOW)
    with serving(api) as server:
        source = CarbonAwareSDK(url=server.url)
        api.forecasts = False
        signal = carbon_aware_sdk.fetch(http, source, "eastus", NOW)
        assert signal.history
        assert "HTTP 501" in signal.note
        api.forecasts, api.emissions = True, False
        assert carbon_aware_sdk.fetch(http, source, "eastus", NOW).forecast
        api.forecasts = False
        with pytest.raises(SignalError, match="HTTP 501") as neither:
            carbon_aware_sdk.fetch(http, source, "eastus", NOW)
        with pytest.raises(SignalError, match="Unknown Location") as unknown:
            carbon_aware_sdk.fetch(http, source, "mars", NOW)
    assert (reason_of(neither), reason_of(unknown)) == (Reason.UNREACHABLE, Reason.NOT_FOUND)


EXPORTED = (
    '[{"location":"PJM_ROANOKE","timestamp":"2023-03-31T00:05:00Z","duration":5,"value":551.0120178988342},'
    '{"location":"PJM_ROANOKE","timestamp":"2023-03-31T00:00:00Z","duration":5,"value":550.9853294805798}]'
)


def test_what_the_sdk_exporter_writes_is_read() -> None:
    points = carbon_aware_sdk.parse_exported(EXPORTED)
    assert [p.start.minute for p in points] == [0, 5]
    assert points[0].grams_per_kwh == 550.9853294805798
    assert Signal(forecast=points).step == timedelta(minutes=5)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"timestamp": "2023-03-31T00:05:00Z"}]', EXPORTED[:-20]])
def test_what_is_not_of_the_sdk_exporter_is_said(text: str) -> None:
    with pytest.raises(SignalError) as error:
        carbon_aware_sdk.parse_exported(text)
    assert reason_of(error) is Reason.BAD_ANSWER


def prometheus(**more: Any) -> PrometheusIntensity:
    return PrometheusIntensity.model_validate({"query": 'avg(grid_intensity{zone="ES"})', "history": "48h", **more})


def test_prometheus_gives_whole_steps_of_one_series(http: Http) -> None:
    with serving(PrometheusApi()) as server:
        signal = prometheus_query.fetch(http, prometheus(), server.url, "bearer-1234", NOW)
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer bearer-1234"
    assert request.query["query"] == 'avg(grid_intensity{zone="ES"})'
    assert float(request.query["end"]) == TOP.timestamp()
    assert float(request.query["start"]) == (TOP - 48 * HOUR).timestamp()
    assert signal.history[-1].start == TOP
    assert all(p.start.hour % 2 == 0 for p in signal.history), "NaN is passed over"
    assert in_order(signal)


def test_prometheus_refuses(http: Http) -> None:
    api = PrometheusApi()
    with serving(api) as server:
        with pytest.raises(SignalError, match="unclosed left parenthesis") as wrong_query:
            prometheus_query.fetch(http, prometheus(query="sum("), server.url, "", NOW)
        api.series = 2
        with pytest.raises(SignalError, match=r"gives 2 series; make it one, such as avg") as two:
            prometheus_query.fetch(http, prometheus(), server.url, "", NOW)
        api.series = 0
        with pytest.raises(SignalError, match="gives no series") as none:
            prometheus_query.fetch(http, prometheus(), server.url, "", NOW)
    with pytest.raises(SignalError, match=r"set spec\.prometheus\.url") as without:
        prometheus_query.fetch(http, prometheus(), "", "", NOW)
    reasons = [reason_of(error) for error in (wrong_query, two, none, without)]
    assert reasons == [Reason.BAD_ANSWER, Reason.BAD_ANSWER, Reason.NO_DATA, Reason.UNREACHABLE]


@pytest.mark.parametrize(
    "data",
    [
        {"resultType": "vector", "result": []},
        {"resultType": "matrix", "result": [{"values": [[1]]}]},
        {"resultType": "matrix", "result": [{"values": [["x", "1"]]}]},
        {"resultType": "matrix", "result": [{"values": [[1, "-5"]]}]},
        {"resultType": "matrix", "result": [{"values": [[1e99, "5"]]}]},
    ],
)
def test_what_is_no_answer_of_prometheus_is_said(http: Http, data: Any) -> None:
    with serving(lambda _: as_json({"status": "success", "data": data})) as server, pytest.raises(SignalError) as error:
        prometheus_query.fetch(http, prometheus(), server.url, "", NOW)
    assert reason_of(error) is Reason.BAD_ANSWER
