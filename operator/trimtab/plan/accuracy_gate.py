"""Whether the samples show that a variant is as accurate as its gate asks: tests with a declared error rate.

A figure above a floor may be there by luck of the draw. A variant passes only when that luck would have a probability
of at most `gate.significance`: of a variant that is just not good enough, no greater share than that gets through.
Where a gate has both rules both must be shown, which needs no correction (Berger, "Multiparameter hypothesis testing
and acceptance sampling", Technometrics 24, 1982: an intersection-union test).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_POWER = 0.8
"""Probability of passing that the number of samples named in a refusal gives, if the figures stay what they are."""
_LEAST_DISTANCE = 1e-6
"""Nearer to the limit than this, millions of millions of samples would be needed."""
_HALVINGS = 60


@dataclass(frozen=True)
class Pairs:
    """Held-out samples on which a variant and its source model differ: all that a paired comparison depends on."""

    samples: int
    """Held-out samples in all."""
    baseline_only_right: int
    variant_only_right: int

    @property
    def drop(self) -> float:
        """Accuracy that the variant loses against the source; negative where it is better."""
        return (self.baseline_only_right - self.variant_only_right) / self.samples


@dataclass(frozen=True)
class Shown:
    """One rule of a gate, tested."""

    p_value: float
    """Probability of figures at least as good from a variant that only just breaks the rule."""
    bound: float
    """One-sided bound at 1 - significance: accuracy is at least so high, or the drop at most so large."""
    samples_needed: int | None
    """Samples that would show it with a probability of 80 % if the figures stay so; None where no number would."""


@lru_cache(maxsize=4096)
def accuracy_above(right: int, samples: int, floor: float, significance: float) -> Shown:
    """Tests that accuracy is above a floor: the exact one-sided binomial test.

    The bound is Clopper and Pearson's ("The use of confidence or fiducial limits", Biometrika 26, 1934).

    Args:
        right: Held-out samples answered right.
        samples: Held-out samples.
        floor: Accuracy that must be surpassed, 0..1.
        significance: Greatest probability of passing at the floor itself.
    """
    # Here: the planner imports it only where there is something to test.
    from scipy.special import bdtrc, betaincinv

    p_value = float(bdtrc(right - 1, samples, floor)) if right > 0 else 1.0
    bound = float(betaincinv(right, samples - right + 1, significance)) if right > 0 else 0.0
    if p_value <= significance:
        return Shown(p_value, bound, samples)
    share = right / samples
    spread_at_floor, spread = math.sqrt(floor * (1 - floor)), math.sqrt(share * (1 - share))
    return Shown(p_value, bound, _needed(share - floor, spread_at_floor, spread, significance, samples))


@lru_cache(maxsize=4096)
def drop_below(pairs: Pairs, margin: float, significance: float) -> Shown:
    """Tests that a variant loses less than a margin against its source, on the same samples: a paired test.

    The score test of a difference of paired proportions, which for a margin of 0 is McNemar's: Tango, "Equivalence
    test and confidence interval for the difference in proportions for the paired-sample design", Statistics in
    Medicine 17 (1998). With 50 to 1000 samples and a declared 0.05 at most 0.06 of variants at the margin pass,
    computed exactly over all shares of differing samples (tests/unit/test_plan_accuracy_gate.py).

    Args:
        pairs: Counts of the samples on which the two differ.
        margin: Drop in accuracy that must not be reached, 0..1.
        significance: Greatest probability of passing at the margin itself.
    """
    p_value = _NORMAL.cdf(_score(pairs, margin))
    bound = _largest_drop(pairs, significance)
    if p_value <= significance:
        return Shown(p_value, bound, pairs.samples)
    differing = (pairs.baseline_only_right + pairs.variant_only_right) / pairs.samples
    at_margin = math.sqrt(max(0.0, 2 * _least_gain(pairs, margin) + margin * (1 - margin)))
    spread = math.sqrt(max(0.0, differing - pairs.drop**2))
    return Shown(p_value, bound, _needed(margin - pairs.drop, at_margin, spread, significance, pairs.samples))


def _score(pairs: Pairs, margin: float) -> float:
    """Standardized distance of the drop from the margin; negative where less is lost."""
    distance = pairs.baseline_only_right - pairs.variant_only_right - pairs.samples * margin
    variance = pairs.samples * (2 * _least_gain(pairs, margin) + margin * (1 - margin))
    if variance > 0:
        return distance / math.sqrt(variance)
    # A margin of 1 is kept by whatever is right at all; without differing samples and margin nothing speaks for a side.
    return -math.inf if margin == 1 and distance < 0 else 0.0


def _least_gain(pairs: Pairs, margin: float) -> float:
    """The likeliest share of samples that only the variant has right, were the drop exactly the margin."""
    n, lost, won = pairs.samples, pairs.baseline_only_right, pairs.variant_only_right
    a = 2 * n
    b = -lost - won + (2 * n - lost + won) * margin
    c = -won * margin * (1 - margin)
    return (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)


def _largest_drop(pairs: Pairs, significance: float) -> float:
    """The least margin that the counts would show to be kept: the upper end of the interval that inverts the test."""
    low, high = pairs.drop, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _NORMAL.cdf(_score(pairs, middle)) <= significance:
            high = middle
        else:
            low = middle
    return high


def _needed(distance: float, spread_at_limit: float, spread: float, significance: float, samples: int) -> int | None:
    """Samples for a probability of 80 % to show a distance from the limit; by the normal approximation. None where no
    number that anybody could collect would do.
    """
    if distance < _LEAST_DISTANCE:
        return None
    z_limit, z_power = _NORMAL.inv_cdf(1 - significance), _NORMAL.inv_cdf(_POWER)
    return max(samples + 1, math.ceil(((z_limit * spread_at_limit + z_power * spread) / distance) ** 2))
