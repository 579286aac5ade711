"""Rounds what is measured, so that noise does not cause writes."""

import math

from trimtab.api.common import Rate


def rounded(value: float | None, digits: int = 3) -> float | None:
    """A figure to so many significant digits; None stays None, and what is not finite becomes None."""
    if value is None or not math.isfinite(value):
        return None
    return value if value == 0 else round(value, digits - 1 - math.floor(math.log10(abs(value))))


def rounded_rate(rate: Rate | None) -> Rate | None:
    """A rate to three significant digits."""
    if rate is None:
        return None
    return Rate(
        cost_usd_per_hour=rounded(rate.cost_usd_per_hour) or 0.0,
        power_watts=rounded(rate.power_watts) or 0.0,
        carbon_grams_per_hour=rounded(rate.carbon_grams_per_hour) or 0.0,
    )
