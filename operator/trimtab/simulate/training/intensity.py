"""Carbon intensity as it is, and as it is forecast."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Intensity:
    """Carbon intensity, constant within each hour, from `first_hour` on."""

    first_hour: int
    """Hour of the simulation at which the first value begins."""
    grams_per_kwh: FloatArray
    low: FloatArray | None = None
    """Of a forecast: lower ends of its intervals; None where it has none."""

    @property
    def end_hour(self) -> int:
        """Where the last value ends."""
        return self.first_hour + len(self.grams_per_kwh)

    @cached_property
    def _cumulative(self) -> FloatArray:
        return np.concatenate([[0.0], np.cumsum(self.grams_per_kwh)])

    def integral(self, hours: FloatArray) -> FloatArray:
        """Intensity summed up from `first_hour` to each of the times (g/kWh x hours); exact within an hour.

        Beyond the last value it goes on with the mean of all.
        """
        edges = np.arange(self.first_hour, self.end_hour + 1, dtype=np.float64)
        beyond = np.maximum(hours - self.end_hour, 0.0) * float(self.grams_per_kwh.mean())
        return np.asarray(np.interp(hours, edges, self._cumulative) + beyond)


@dataclass(frozen=True)
class Forecasts:
    """What is known, at the beginning of each hour, of this hour and of those to come.

    The current hour is known exactly. For a later hour the forecast is the true intensity times 1 + e, e normal with
    mean 0 and a mean absolute value of `error_pct` / 100, cut off so that no intensity is negative. The error is drawn
    anew at every hour and for every hour to come: the mean absolute percentage error is `error_pct` at every lead time,
    and errors are independent, as in the experiments of Wiesner et al. ("Let's Wait Awhile", Middleware 2021).
    All policies see the same forecasts.
    """

    truth: Intensity
    """Starts at hour 0."""
    error_pct: float = 0.0
    seed: int = 0

    @property
    def changes(self) -> bool:
        """Whether another hour may see another forecast."""
        return self.error_pct > 0

    def issued(self, hour: int, hours: int) -> Intensity:
        """The forecast of an hour.

        Args:
            hour: When it is issued.
            hours: How many hours it looks ahead at most, the current one included; fewer where the series ends.
        """
        values = self.truth.grams_per_kwh[hour : hour + hours]
        if self.error_pct > 0 and len(values) > 1:
            # The mean absolute value of a normal variable is its deviation times sqrt(2/pi).
            deviation = self.error_pct / 100.0 * math.sqrt(math.pi / 2.0)
            errors = np.random.default_rng([self.seed, hour]).standard_normal(len(values)) * deviation
            errors[0] = 0.0
            values = values * np.maximum(1.0 + errors, 0.0)
        return Intensity(hour, values)
