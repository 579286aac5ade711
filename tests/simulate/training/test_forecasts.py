"""Forecasts are what their docstring says: exact now, wrong by so much later, the same for everybody."""

import numpy as np
import pytest

from trimtab.simulate.training.intensity import Forecasts, Intensity

TRUTH = Intensity(0, np.random.default_rng(1).uniform(50.0, 500.0, 4000))


def test_a_perfect_forecast_is_the_truth() -> None:
    seen = Forecasts(TRUTH).issued(10, 48)
    np.testing.assert_array_equal(seen.grams_per_kwh, TRUTH.grams_per_kwh[10:58])
    assert (seen.first_hour, seen.end_hour) == (10, 58)


def test_it_ends_with_the_series() -> None:
    assert Forecasts(TRUTH, 10.0).issued(3990, 48).end_hour == 4000


@pytest.mark.parametrize("error_pct", [5.0, 20.0])
def test_the_error_is_as_large_as_said_at_every_lead(error_pct: float) -> None:
    forecasts = Forecasts(TRUTH, error_pct, seed=3)
    issued = np.array([forecasts.issued(hour, 24).grams_per_kwh for hour in range(3000)])
    truth = np.lib.stride_tricks.sliding_window_view(TRUTH.grams_per_kwh, 24)[:3000]
    relative = np.abs(issued / truth - 1.0) * 100.0
    assert (relative[:, 0] == 0).all()
    np.testing.assert_allclose(relative[:, 1:].mean(axis=0), error_pct, rtol=0.08)
    np.testing.assert_allclose((issued / truth)[:, 1:].mean(axis=0), 1.0, atol=0.02)


def test_it_is_drawn_anew_each_hour_and_again_by_the_same_seed() -> None:
    forecasts = Forecasts(TRUTH, 10.0, seed=3)
    of_hour_20 = [forecasts.issued(hour, 30).grams_per_kwh[20 - hour] for hour in range(20)]
    assert len(set(of_hour_20)) == 20
    np.testing.assert_array_equal(
        forecasts.issued(7, 30).grams_per_kwh, Forecasts(TRUTH, 10.0, 3).issued(7, 30).grams_per_kwh
    )
    # How far somebody looks does not change what is seen.
    np.testing.assert_array_equal(forecasts.issued(7, 30).grams_per_kwh, forecasts.issued(7, 90).grams_per_kwh[:30])
    assert (forecasts.issued(7, 30).grams_per_kwh != Forecasts(TRUTH, 10.0, 4).issued(7, 30).grams_per_kwh)[1:].all()


def test_the_integral_is_exact_within_an_hour() -> None:
    intensity = Intensity(5, np.array([100.0, 300.0, 200.0]))
    times = np.array([5.0, 5.25, 6.0, 7.5, 8.0, 9.0])
    np.testing.assert_allclose(intensity.integral(times), [0.0, 25.0, 100.0, 500.0, 600.0, 800.0])
