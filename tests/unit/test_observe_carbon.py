from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.api.carbon import CarbonSourceSpec, TraceConfigMap
from trimtab.observe.carbon import static_series, trace_series
from trimtab.observe.trace import Trace, TraceError, parse_trace
from trimtab.plan.intensity import intensity_at

START = datetime(2022, 1, 1, tzinfo=UTC)
CREATED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
COLUMNS = TraceConfigMap(namespace="demo", name="trace", key="es.csv")
HEADER = "Datetime (UTC),Country,Carbon Intensity gCO₂eq/kWh (LCA)\n"


def trace(*grams: float) -> Trace:
    return Trace(tuple(START + HOUR * i for i in range(len(grams))), tuple(grams), HOUR)


def spec(**more: Any) -> CarbonSourceSpec:
    return CarbonSourceSpec.model_validate({"zone": "ES", "configMap": COLUMNS.to_manifest(), **more})


def replay(start: datetime = START, speedup: float = 1, horizon: str = "48h") -> CarbonSourceSpec:
    return spec(replay={"start": start.isoformat(), "speedup": str(speedup)}, forecastHorizon=horizon)


def rows(*pairs: tuple[str, str]) -> str:
    return HEADER + "".join(f"{at},Spain,{grams}\n" for at, grams in pairs)


def test_an_export_of_electricity_maps_is_read() -> None:
    text = "\ufeff" + rows(
        ("2022-01-01 01:00:00", "181.54"), ("2022-01-01 00:00:00", "175.54"), ("2022-01-01 02:00:00", "")
    )
    parsed = parse_trace(text, COLUMNS)
    assert parsed.starts == (START, START + HOUR)
    assert parsed.grams_per_kwh == (175.54, 181.54)
    assert parsed.end == START + 2 * HOUR


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("when,what\n2022-01-01,3\n", "its columns are 'when', 'what'"),
        (HEADER, "no row with a figure"),
        (rows(("2022-01-01 00:00:00", "")), "no row with a figure"),
        (rows(("2022-01-01 00:00:00", "10"), ("yesterday", "10")), "line 3: 'yesterday' is not a time"),
        (rows(("2022-01-01 00:00:00", "ten")), "line 2: 'ten' is not an intensity"),
        (rows(("2022-01-01 00:00:00", "-1")), "line 2: '-1' is not an intensity"),
        (rows(("2022-01-01 00:00:00", "nan")), "line 2: 'nan' is not an intensity"),
        (rows(("2022-01-01 00:00:00", "1e9")), "must be 0 to 5000"),
        (HEADER + '"2022-01-01 00:00:00,Spain,5\n', "not CSV"),
    ],
)
def test_what_is_wrong_with_a_trace_is_said(text: str, said: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_trace(text, COLUMNS)
    assert said in str(caught.value)


@settings(deadline=None)
@given(st.text(max_size=200) | st.builds(lambda body: HEADER + body, st.text(max_size=200)))
def test_any_text_is_a_trace_or_a_trace_error(text: str) -> None:
    try:
        parsed = parse_trace(text, COLUMNS)
    except TraceError:
        return
    assert all(0 <= grams <= 5000 for grams in parsed.grams_per_kwh)
    assert list(parsed.starts) == sorted(set(parsed.starts))


def test_a_replay_begins_with_the_object_and_runs_at_its_speed() -> None:
    series = trace_series(
        trace(10, 20, 30, 40), replay(speedup=3600), CREATED, CREATED, CREATED + timedelta(seconds=1.5)
    )
    assert series.problem == ""
    assert series.trace_time == START + HOUR
    assert [point.start for point in series.points] == [CREATED + timedelta(seconds=i) for i in range(4)]
    assert intensity_at(series.points, CREATED + timedelta(seconds=1.5)) == 20


def test_points_reach_back_to_what_the_ledger_needs_and_forward_to_the_horizon() -> None:
    grams = [float(i) for i in range(100)]
    now = CREATED + 50 * HOUR
    series = trace_series(trace(*grams), replay(horizon="5h"), CREATED, now - timedelta(hours=3, minutes=30), now)
    assert [point.grams_per_kwh for point in series.points] == [46, 47, 48, 49, 50, 51, 52, 53, 54, 55]


def test_without_a_replay_a_trace_is_in_the_present() -> None:
    now = START + timedelta(minutes=90)
    series = trace_series(trace(10, 20, 30), spec(), CREATED, START, now)
    assert series.trace_time == START + HOUR
    assert intensity_at(series.points, now) == 20


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (START - HOUR, "no figure for 2021-12-31 23:00 UTC: the trace reaches from 2022-01-01 00:00 UTC"),
        (START + 3 * HOUR, "to 2022-01-01 03:00 UTC; choose replay.start"),
    ],
)
def test_a_present_outside_the_trace_is_said_with_its_range(start: datetime, said: str) -> None:
    series = trace_series(trace(10, 20, 30), replay(start), CREATED, CREATED, CREATED)
    assert said in series.problem
    assert series.trace_time is None


def test_a_trace_of_the_past_without_replay_says_what_to_do() -> None:
    assert "set replay.start" in trace_series(trace(10, 20), spec(), CREATED, CREATED, CREATED).problem


def test_rows_that_are_missing_for_long_are_not_bridged() -> None:
    holes = Trace((START, START + HOUR, START + 2 * HOUR, START + 12 * HOUR), (1, 2, 3, 4), HOUR)
    fine = trace_series(holes, replay(START + 4 * HOUR), CREATED, CREATED, CREATED)
    gone = trace_series(holes, replay(START + 8 * HOUR), CREATED, CREATED, CREATED)
    assert fine.problem == ""
    assert "no row after 2022-01-01 02:00 UTC" in gone.problem


def test_a_replay_faster_than_the_calendar_is_survived() -> None:
    series = trace_series(trace(1.0), replay(speedup=1e12), CREATED, CREATED, CREATED + timedelta(days=30))
    assert "speedup" in series.problem


def test_a_static_source_holds_at_all_times() -> None:
    series = static_series(CarbonSourceSpec.model_validate({"zone": "ES", "static": {"gramsPerKWh": 250}}), CREATED)
    assert intensity_at(series.points, CREATED + timedelta(days=900)) == 250


@settings(deadline=None)
@given(
    grams=st.lists(st.floats(0, 5000), min_size=1, max_size=60),
    speedup=st.floats(0.01, 10_000),
    played_hours=st.floats(0, 70),
    begun_share=st.floats(0, 1),
    back=st.timedeltas(timedelta(0), timedelta(hours=3)),
)
def test_wall_clock_and_trace_agree_at_every_instant_shown(
    grams: list[float], speedup: float, played_hours: float, begun_share: float, back: timedelta
) -> None:
    start = START + HOUR * played_hours * begun_share
    now = CREATED + HOUR * played_hours * (1 - begun_share) / speedup
    played = (start + (now - CREATED) * speedup - START) / HOUR
    series = trace_series(trace(*grams), replay(start, speedup), CREATED, now - back, now)
    starts = [point.start for point in series.points]
    assert starts == sorted(starts)
    assert bool(series.problem) == (played >= len(grams))
    # A slot begins at a whole microsecond: closer to its edge than that, either side is right.
    if not series.problem and abs(played - round(played)) * 3600 > 1e-5 * max(1.0, speedup):
        assert intensity_at(series.points, now) == grams[int(played)]
        assert series.trace_time == START + HOUR * int(played)
