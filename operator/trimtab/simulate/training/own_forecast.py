"""Forecasts as the operator makes them where a source gives none: from the hours just past, with their intervals."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from trimtab.plan.intensity_forecast import LONGEST_HISTORY, own_forecast
from trimtab.plan.snapshot import IntensityPoint
from trimtab.simulate.training.intensity import FloatArray, Forecasts, Intensity

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Any day does: only hours are counted."""
_HOUR = timedelta(hours=1)
_LONGEST_HOURS = 168
"""How far ahead it looks; beyond that the mean of the forecast is expected."""
LEAST_PAST_HOURS = 24


@dataclass(frozen=True)
class OwnForecasts(Forecasts):
    """At each hour, the forecast from at most 28 days before it; the current hour is known exactly."""

    past: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Intensity of the hours before the simulation begins (gCO2e/kWh), at least `LEAST_PAST_HOURS`."""
    known: dict[int, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    """Forecasts and lower ends of their intervals, by hour, as they are made: all policies see the same."""

    @property
    def changes(self) -> bool:
        """It is made anew at every hour."""
        return True

    def issued(self, hour: int, hours: int) -> Intensity:
        """The forecast of an hour. Arguments as those of `Forecasts.issued`."""
        truth = self.truth.grams_per_kwh
        count = len(truth[hour : hour + hours])
        if hour not in self.known:
            self.known[hour] = self._made(hour)
        ahead, low = self.known[hour]
        beyond = np.full(max(count - 1 - len(ahead), 0), float(ahead.mean()))
        values, lows = (
            np.concatenate([truth[hour : hour + 1], ahead, beyond]),
            np.concatenate([[truth[hour]], low, beyond]),
        )
        return Intensity(hour, values[:count], lows[:count])

    def _made(self, hour: int) -> tuple[FloatArray, FloatArray]:
        begin = len(self.past) + hour + 1 - int(LONGEST_HISTORY / _HOUR)
        seen = np.concatenate([self.past, self.truth.grams_per_kwh[: hour + 1]])[max(begin, 0) :]
        points = tuple(IntensityPoint(start=_EPOCH + i * _HOUR, grams_per_kwh=float(g)) for i, g in enumerate(seen))
        made = own_forecast(points, _LONGEST_HOURS * _HOUR)
        if made is None:
            raise ValueError(f"{len(seen)} hours are too few for an own forecast; give at least {LEAST_PAST_HOURS}")
        ahead = np.array([point.grams_per_kwh for point in made.points])
        low = np.array([point.grams_per_kwh if point.low is None else point.low for point in made.points])
        return ahead, low
