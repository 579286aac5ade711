"""The forecast of the load and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.fleet.forecast import forecast


def test_one_interval_is_taken_as_it_is() -> None:
    seen = forecast(np.array([[180.0], [3.0]]), 10.0, 30.0)
    assert seen.mean.tolist() == [180.0, 3.0]
    assert seen.quantile(0.99).tolist() == [180.0, 3.0]


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("burstiness", [1.0, 6.0])
def test_the_interval_covers_what_it_says_whatever_the_burstiness(confidence: float, burstiness: float) -> None:
    """Counts with a variance of `burstiness` times the mean around a level that wanders; 2,000 windows at once."""
    rng = np.random.default_rng(3)
    level = np.cumsum(rng.normal(0.0, 0.01, (2000, 106)), axis=1) + 3.0
    shape = np.exp(level) * 10.0 / burstiness
    rates = burstiness * rng.poisson(shape) / 10.0
    seen = forecast(rates[:, :100], 10.0, 60.0)
    assert float(np.mean(rates[:, 105] <= seen.quantile(confidence))) == pytest.approx(confidence, abs=0.06)


def test_a_rising_load_is_followed_ahead_and_a_mean_over_a_minute_varies_less() -> None:
    rising = np.arange(1.0, 61.0)[None]
    assert forecast(rising, 10.0, 60.0).mean[0] > 62.0
    noisy = np.random.default_rng(0).poisson(20.0, (1, 200)) / 10.0
    single, minute = forecast(noisy, 10.0, 60.0), forecast(noisy, 10.0, 60.0, 60.0)
    assert minute.quantile(0.95)[0] - minute.mean[0] < 0.7 * (single.quantile(0.95)[0] - single.mean[0])


@given(
    rates=st.lists(st.floats(0.0, 1e5), min_size=1, max_size=40), ahead=st.floats(0.0, 500.0), low=st.floats(0.5, 0.98)
)
def test_it_is_finite_not_negative_and_grows_with_confidence(rates: list[float], ahead: float, low: float) -> None:
    seen = forecast(np.array([rates]), 10.0, ahead)
    cautious, bold = float(seen.quantile(0.99)[0]), float(seen.quantile(low)[0])
    assert np.isfinite(cautious)
    assert 0.0 <= float(seen.mean[0]) <= bold * (1 + 1e-9) + 1e-9
    assert bold <= cautious * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("rates", [[], [float("nan")], [-1.0], [float("inf")]])
def test_what_is_no_rate_is_refused(rates: list[float]) -> None:
    with pytest.raises(ValueError, match="rate"):
        forecast(np.array([rates]), 10.0, 10.0)
