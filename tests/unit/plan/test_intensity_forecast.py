"""The forecast from a source's own past."""

import csv
import gzip
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.plan.intensity_forecast import (
    DAY,
    auto_regression,
    back_test,
    hourly,
    own_forecast,
    yesterday,
)
from trimtab.plan.snapshot import IntensityPoint

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_DAYS = timedelta(hours=48)
DATA = Path(__file__).parents[2] / "data/carbon"


def points(values: list[float], step: timedelta = HOUR, start: datetime = START) -> tuple[IntensityPoint, ...]:
    return tuple(IntensityPoint(start=start + step * i, grams_per_kwh=v) for i, v in enumerate(values))


def noisy(days: int, seed: int = 3) -> list[float]:
    """A daily wave, and a deviation from it that fades over some hours."""
    random, level, values = np.random.default_rng(seed), 0.0, []
    for hour in range(days * DAY):
        level = 0.9 * level + random.normal(0, 8)
        values.append(300 + 100 * math.sin(2 * math.pi * hour / DAY) + level)
    return values


def california() -> list[float]:
    """Ten days of hours of a real grid."""
    with (DATA / "US-CAL-CISO_2022_hourly.csv").open(encoding="utf-8") as file:
        return [float(row["Carbon Intensity gCO₂eq/kWh (LCA)"]) for row in csv.DictReader(file)]


def test_less_than_a_day_gives_no_forecast() -> None:
    assert own_forecast((), TWO_DAYS) is None
    assert own_forecast(points([1.0] * 23), TWO_DAYS) is None
    assert own_forecast(points(noisy(5)), timedelta(minutes=30)) is None


def test_a_day_or_two_repeat_themselves_without_interval() -> None:
    values = noisy(1)
    found = own_forecast(points(values), TWO_DAYS)
    assert found is not None
    assert (found.method, found.error_percent) == ("Yesterday", None)
    assert [p.grams_per_kwh for p in found.points] == pytest.approx(values * 2)
    assert all(p.low is None and p.high is None for p in found.points)
    assert found.points[0].start == START + HOUR * 24


def test_a_grid_that_repeats_itself_is_foretold_exactly() -> None:
    values = [100.0 + hour for hour in range(DAY)] * 10
    found = own_forecast(points(values), TWO_DAYS)
    assert found is not None
    assert [p.grams_per_kwh for p in found.points] == pytest.approx(values[:48])
    assert found.error_percent == pytest.approx(0.0, abs=1e-6)


def test_a_constant_stays_constant() -> None:
    found = own_forecast(points([55.0] * 24 * 8), TWO_DAYS)
    assert found is not None
    assert {round(p.grams_per_kwh, 9) for p in found.points} == {55.0}
    zero = own_forecast(points([0.0] * 24 * 8), TWO_DAYS)
    assert zero is not None
    assert zero.error_percent == 0.0


def test_it_beats_yesterday_on_a_wave_with_noise_and_says_its_error_truly() -> None:
    values = np.array(noisy(60))
    errors, naive, claims = [], [], []
    for origin in range(24 * 29, 24 * 58, 24 * 4):
        found = own_forecast(points(list(values[origin - 24 * 28 : origin])), timedelta(hours=24))
        assert found is not None
        truth = values[origin : origin + 24]
        errors.append(np.abs(np.array([p.grams_per_kwh for p in found.points]) - truth).mean() / truth.mean() * 100)
        naive.append(np.abs(yesterday(values[:origin], 24) - truth).mean() / truth.mean() * 100)
        claims.append(found.error_percent)
    assert np.mean(errors) < 0.9 * np.mean(naive)
    assert np.mean(claims) == pytest.approx(np.mean(errors), rel=0.25)


def test_intervals_hold_about_as_many_hours_as_they_should() -> None:
    values = np.array(noisy(80, seed=9))
    held = []
    for origin in range(24 * 29, 24 * 77, 24 * 5):
        found = own_forecast(points(list(values[origin - 24 * 28 : origin])), TWO_DAYS)
        assert found is not None
        for point, truth in zip(found.points, values[origin : origin + 48], strict=True):
            assert point.low is not None
            assert point.high is not None
            assert point.low <= point.grams_per_kwh <= point.high
            held.append(point.low <= truth <= point.high)
    assert 0.8 <= np.mean(held) <= 0.98


def test_the_error_that_it_says_is_what_it_would_have_erred_on_a_real_grid() -> None:
    values = california()
    assert len(values) == 240
    found = own_forecast(points(values), timedelta(hours=24))
    assert found is not None
    missed, origins = [], [hour for hour in range(216, 71, -24)]
    for origin in origins:
        then = own_forecast(points(values[:origin]), timedelta(hours=24))
        assert then is not None
        missed += [
            abs(p.grams_per_kwh - truth) for p, truth in zip(then.points, values[origin : origin + 24], strict=True)
        ]
    mean = np.mean(values[-24 * len(origins) :])
    assert found.error_percent == pytest.approx(100 * np.mean(missed) / mean)
    assert 5 < found.error_percent < 20


def test_a_back_test_never_looks_ahead() -> None:
    values = np.array(noisy(10))
    errors = back_test(auto_regression, values, 48)
    assert errors is not None
    changed = values.copy()
    changed[-24:] += 1000.0
    again = back_test(auto_regression, changed, 48)
    assert again is not None
    assert np.allclose(errors[1:], again[1:]), "an older origin knows nothing of the last day"
    assert np.allclose((errors - again)[0, 24:], 1000.0), "the newest one is measured against it"


def test_five_minutes_and_half_hours_become_hours() -> None:
    start, values = hourly(points([10.0, 20.0] * 24, timedelta(minutes=30)))
    assert (start, len(values)) == (START, 24)
    assert values == pytest.approx([15.0] * 24)
    start, values = hourly(points([float(i % 12) for i in range(12 * 30)], timedelta(minutes=5)))
    assert values == pytest.approx([5.5] * 30)


def test_holes_are_bridged_and_too_many_are_not() -> None:
    whole = points([float(i) for i in range(72)])
    holed = tuple(p for i, p in enumerate(whole) if i not in (10, 11, 40))
    assert hourly(holed)[1] == pytest.approx(np.arange(72.0))
    assert len(hourly(whole[:10] + whole[50:])[1]) == 0
    assert own_forecast(whole[:10] + whole[50:], TWO_DAYS) is None


def test_only_the_last_four_weeks_count() -> None:
    start, values = hourly(points([1.0] * 24 * 40))
    assert len(values) == 24 * 28
    assert start == START + timedelta(days=12)


@settings(max_examples=40)
@given(
    st.integers(1, 24 * 9).flatmap(lambda n: st.lists(st.floats(0, 5000), min_size=n, max_size=n)),
    st.sampled_from([5, 30, 60, 90]),
    st.integers(0, 59),
    st.integers(1, 60),
)
def test_any_past_gives_a_sane_forecast(values: list[float], minutes: int, offset: int, hours: int) -> None:
    past = points(values, timedelta(minutes=minutes), START + timedelta(minutes=offset))
    found = own_forecast(past, timedelta(hours=hours))
    if found is None:
        return
    assert len(found.points) == hours
    assert found.points[0].start > past[-1].start - HOUR
    for point in found.points:
        assert 0.0 <= point.grams_per_kwh <= 1.5 * max(values) + 1e-9
        assert (point.low is None) == (point.high is None)
        if point.low is not None and point.high is not None:
            assert 0.0 <= point.low <= point.grams_per_kwh + 1e-6
            assert point.high >= point.grams_per_kwh - 1e-6


def test_every_zone_of_the_sample_is_forecast() -> None:
    with gzip.open(DATA / "carbon_2022_hourly_open_12zones.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    zones = [name for name in rows[0] if name != "datetime_utc"]
    assert len(zones) == 12
    for zone in zones:
        found = own_forecast(points([float(row[zone]) for row in rows]), timedelta(hours=24))
        assert found is not None
        assert [p.grams_per_kwh for p in found.points] == pytest.approx([float(row[zone]) for row in rows[-24:]])
