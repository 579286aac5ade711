"""Tests that may be looked at whenever one likes: their promise holds at every look, not only at one fixed in advance.

Each is an e-process: a figure that is, were the candidate no worse, at most 1 on average at any time of stopping; by
Ville's inequality it then ever reaches 1/a with a chance of a at the most. Sources: Robbins, Statistical methods
related to the law of the iterated logarithm (1970); Howard, Ramdas, McAuliffe, Sekhon, Time-uniform,
nonparametric, nonasymptotic confidence sequences (2021); Lindon and Malek, Anytime-valid inference for multinomial
count data (2022).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, logsumexp

_PRIOR = 0.5
"""Beta(1/2, 1/2): narrow where failures are rare, as they are in a service that works."""
_ODDS = np.array([1.25, 1.5, 2.0, 4.0, 8.0, 16.0, 64.0])
"""How many times more often a worse candidate may fail: a mixture of these is within a seventh of the best."""
_SHARES = np.array([0.6, 0.75, 0.9, 0.99])
"""Shares of unlike pairs in which a slower candidate may be the late one."""


@dataclass(frozen=True)
class Counts:
    """What both variants did in one interval: requests, and failures among them."""

    candidate_requests: float
    candidate_failures: float
    stable_requests: float
    stable_failures: float


def log_evidence_of_more_failures(intervals: Iterable[Counts]) -> float:
    """Logarithm of the evidence that the candidate fails more often than the stable variant.

    Of the failures of an interval, a candidate that is no worse has at most its share of the requests on average. For
    odds t the factor of an interval is t^f / (1 - w + w t)^F, with f of all F failures the candidate's, and w its share
    of requests: at most 1 on average, as the number drawn without replacement is less spread than the binomial.
    Intervals in which only one of the two had requests say nothing.

    Returns:
        0 is none; ln(1/a) rejects "no worse" at significance a.
    """
    total = np.zeros(len(_ODDS))
    for one in intervals:
        if min(one.candidate_requests, one.stable_requests) <= 0.0:
            continue
        share = one.candidate_requests / (one.candidate_requests + one.stable_requests)
        failures = one.candidate_failures + one.stable_failures
        total += one.candidate_failures * np.log(_ODDS) - failures * np.log1p(share * (_ODDS - 1.0))
    return _mixed(total)


def log_evidence_of_later(candidate_only: int, stable_only: int) -> float:
    """Logarithm of the evidence that the candidate is late more often, of intervals in which just one of them was.

    A candidate that is no slower is the late one in at most half of them: a sign test by betting, interval by interval.
    """
    return _mixed(candidate_only * np.log(2.0 * _SHARES) + stable_only * np.log(2.0 * (1.0 - _SHARES)))


def _mixed(log_factors: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The mean of e-processes is one."""
    return float(logsumexp(log_factors) - math.log(len(log_factors)))


def failure_share_bounds(failures: float, requests: float, significance: float) -> tuple[float, float]:
    """Bounds on the share of failed requests, of which each holds at all times together but for `significance`.

    Robbins' mixture: the likelihood under Beta(1/2, 1/2) over that under a share p is a martingale where p is true, so
    that every p for which it reaches 1/significance is ruled out.

    Args:
        failures: Failed requests so far.
        requests: All requests so far.
        significance: Chance at the most that the true share is ever outside.

    Returns:
        The least and the most that it can be; (0, 1) without requests.

    Raises:
        ValueError: There are more failures than requests, or the significance is no share between 0 and 1.
    """
    if not (0.0 <= failures <= requests and 0.0 < significance < 1.0):
        raise ValueError(f"{failures} failures of {requests} requests at significance {significance}")
    if requests <= 0.0:
        return 0.0, 1.0
    good = requests - failures
    mixture = betaln(_PRIOR + failures, _PRIOR + good) - betaln(_PRIOR, _PRIOR)

    def over(share: float) -> float:
        likelihood = failures * math.log(share) if failures > 0.0 else 0.0
        likelihood += good * math.log1p(-share) if good > 0.0 else 0.0
        return float(mixture - likelihood + math.log(significance))

    seen, least, most = failures / requests, 0.0, 1.0
    tiny = 1e-12
    if failures > 0.0 and over(tiny) > 0.0:
        least = float(brentq(over, tiny, max(tiny, seen)))
    if good > 0.0 and over(1.0 - tiny) > 0.0:
        most = float(brentq(over, min(1.0 - tiny, max(seen, tiny)), 1.0 - tiny))
    return least, most
