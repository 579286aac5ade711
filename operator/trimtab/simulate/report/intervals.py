"""Savings of policies against a reference, with bootstrap intervals.

Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics, 1979. Jobs are drawn anew one by one.
Control intervals of a serving run depend on their neighbours, so they are drawn in blocks: Carlstein, "The Use of
Subseries Values for Estimating the Variance of a General Statistic from a Stationary Sequence", Annals of Statistics,
1986. All policies are drawn together (paired), so that what is common to them does not widen the interval of what
they differ by.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from trimtab.simulate.progress import track
from trimtab.simulate.results import PolicyResult

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000

_BATCH = 50
"""Resamples drawn at a time: bounds the memory."""


@dataclass(frozen=True)
class Measure:
    """A figure of which less is better, as a total and by outcome."""

    name: str
    """For a person."""
    total: Callable[[PolicyResult], float | None]
    outcomes: Callable[[PolicyResult], FloatArray]
    """One value an outcome, in proportion to its part of the total."""


CARBON = Measure("Carbon", lambda result: result.carbon_g, lambda result: result.outcomes.carbon_grams)
COST = Measure("Cost", lambda result: result.cost, lambda result: result.outcomes.cost_usd)
COMPLETION = Measure("Completion time", lambda result: result.mean_jct_h, lambda result: result.outcomes.jct_hours)


@dataclass(frozen=True)
class Saving:
    """The share of a reference's total that a policy saves; negative where it takes more."""

    share: float
    low: float | None = None
    """Lower end of the 95 % interval; None where there are no outcomes to draw from."""
    high: float | None = None


def savings(
    results: Sequence[PolicyResult], reference: str, measure: Measure, *, blocks: bool, seed: int
) -> dict[str, Saving]:
    """What each policy saves against the reference.

    Args:
        results: The policies of a run; outcomes that are there have the same order for all.
        reference: Name of the policy against which savings are counted.
        measure: What is saved.
        blocks: Whether outcomes depend on their neighbours: then blocks of about the square root of their number are
            drawn instead of single ones.
        seed: Of the draws.

    Returns:
        By policy, without the reference; empty where the reference is not in the run or has nothing to save.
    """
    base = next((result for result in results if result.policy == reference), None)
    whole = None if base is None else measure.total(base)
    if base is None or not whole:
        return {}
    others = [result for result in results if result.policy != reference and measure.total(result) is not None]
    drawn = [result for result in others if _comparable(measure, result, base)]
    low, high = _intervals(measure.outcomes(base), [measure.outcomes(result) for result in drawn], blocks, seed)
    bounds = {result.policy: (low[at], high[at]) for at, result in enumerate(drawn)}
    found = {}
    for result in others:
        total = measure.total(result)
        assert total is not None
        found[result.policy] = Saving(1 - total / whole, *bounds.get(result.policy, (None, None)))
    return found


def _comparable(measure: Measure, result: PolicyResult, base: PolicyResult) -> bool:
    """Whether the outcomes are there, in pairs, and make up the totals that they stand for."""
    mine, theirs = measure.outcomes(result), measure.outcomes(base)
    if len(mine) < 2 or len(mine) != len(theirs) or not theirs.sum() > 0:
        return False
    total, whole = measure.total(result), measure.total(base)
    assert total is not None
    assert whole is not None
    return bool(math.isclose(mine.sum() / theirs.sum(), total / whole, rel_tol=1e-3, abs_tol=1e-3))


def _intervals(
    base: FloatArray, others: Sequence[FloatArray], blocks: bool, seed: int
) -> tuple[list[float | None], list[float | None]]:
    """Percentile intervals of 1 - sum(other)/sum(base); the draws are common to all."""
    if not others:
        return [], []
    values = np.column_stack([base, *others])
    if blocks:
        length = max(1, round(math.sqrt(len(values))))
        values = np.add.reduceat(values, np.arange(0, len(values), length), axis=0)
    units = len(values)
    if units < 2:
        return [None] * len(others), [None] * len(others)

    draws = track(range(RESAMPLES // _BATCH), "Drawing intervals")

    def shares(index: npt.NDArray[np.int64], axis: int = -1) -> FloatArray:
        next(draws, None)
        rows = index.reshape(-1, units)
        times = np.stack([np.bincount(row, minlength=units) for row in rows]).astype(np.float64)
        drawn = times @ values
        # A draw in which the reference has nothing says nothing about what can be saved of it.
        with np.errstate(divide="ignore", invalid="ignore"):
            saved: FloatArray = np.where(drawn[:, :1] > 0, 1 - drawn[:, 1:] / drawn[:, :1], 0.0)
        return saved.T

    found = stats.bootstrap(
        (np.arange(units),),
        shares,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    draws.close()
    return [float(low) for low in found.low], [float(high) for high in found.high]
