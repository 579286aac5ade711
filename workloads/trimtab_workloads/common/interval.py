"""Confidence intervals of a proportion."""

from __future__ import annotations

import math

# The 97.5 % quantile of the standard normal distribution: two-sided 95 %.
Z_95 = 1.959963984540054


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion: sound also near 0 and 1 and for few trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212;
    recommended over the Wald interval by Brown, Cai and DasGupta, Statistical Science 16 (2001), 101-133.

    Args:
        successes: How many of the trials succeeded.
        trials: How many there were.
        z: The normal quantile of the wanted level.

    Returns:
        The lower and upper bounds, in 0..1; (0, 1) when there were no trials.

    Raises:
        ValueError: Not 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be in 0..{trials}, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    denominator = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
