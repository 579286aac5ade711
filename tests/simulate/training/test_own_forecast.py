"""Forecasts made from the past alone, as the operator makes them, and what their intervals are used for."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from trimtab.plan.intensity import HOPE_SHARE, hoped, hoped_at
from trimtab.plan.intensity_forecast import own_forecast
from trimtab.plan.snapshot import IntensityPoint
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.own_forecast import OwnForecasts

HOURS = np.arange(24 * 20)
TRUTH = 300.0 + 120.0 * np.sin(HOURS / 24 * 2 * np.pi) + np.random.default_rng(2).normal(0.0, 20.0, len(HOURS))
START = datetime(2022, 1, 1, tzinfo=UTC)


def forecasts(values: np.ndarray = TRUTH) -> OwnForecasts:
    return OwnForecasts(Intensity(0, values[240:]), past=values[:240])


def test_it_is_the_forecast_of_the_operator_and_the_present_is_known() -> None:
    points = tuple(
        IntensityPoint(start=START + timedelta(hours=int(h)), grams_per_kwh=float(g))
        for h, g in zip(HOURS[:251], TRUTH[:251], strict=True)
    )
    made = own_forecast(points, timedelta(hours=168))
    assert made is not None
    seen = forecasts().issued(10, 30)
    assert (seen.first_hour, len(seen.grams_per_kwh)) == (10, 30)
    assert seen.grams_per_kwh[0] == TRUTH[250]
    np.testing.assert_allclose(seen.grams_per_kwh[1:], [p.grams_per_kwh for p in made.points[:29]])
    assert seen.low is not None
    np.testing.assert_allclose(seen.low[1:], [p.low for p in made.points[:29]])


def test_nothing_of_the_future_is_in_it() -> None:
    other = TRUTH.copy()
    other[251:] = 999.0
    np.testing.assert_array_equal(
        forecasts().issued(10, 100).grams_per_kwh, forecasts(other).issued(10, 100).grams_per_kwh
    )


def test_it_ends_with_the_series_and_goes_on_with_its_mean() -> None:
    assert forecasts().issued(230, 48).end_hour == 240
    long = forecasts().issued(0, 220)
    assert len(set(long.grams_per_kwh[169:].tolist())) == 1
    np.testing.assert_array_equal(forecasts().issued(0, 50).grams_per_kwh, long.grams_per_kwh[:50])


@pytest.mark.parametrize("low", [None, 150.0, 400.0])
def test_a_later_hour_is_weighed_lower_by_a_part_of_its_interval_and_never_higher(low: float | None) -> None:
    expected = 300.0 if low is None or low > 300.0 else 300.0 - HOPE_SHARE * 150.0
    assert hoped(300.0, low) == pytest.approx(expected)


def test_the_present_hour_is_what_it_is() -> None:
    points = tuple(
        IntensityPoint(start=START + timedelta(hours=h), grams_per_kwh=300.0, low=200.0, high=400.0) for h in range(4)
    )
    now = START + timedelta(hours=1, minutes=30)
    assert [hoped_at(points, START + timedelta(hours=h), now) for h in range(4)] == [300.0, 300.0, 280.0, 280.0]
    assert hoped_at(points, START - timedelta(hours=1), now) is None
