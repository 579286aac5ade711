"""Puts the ways to serve a workload in order: by cost or by accuracy, and what serves now has the advantage.

The order is one figure for each way, in US dollars an hour, so that what a workload would choose alone and what the
fleet chooses under shared capacity minimise the same thing.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.ways import BoolArray, FloatArray, Sizes, Ways, within

WORTH_SWITCHING = 0.95
"""A cheaper way replaces the present one only below this part of its price."""
ROOM_FOR_BETTER = 0.8
"""A more accurate way replaces the present one only when it fits into this part of each limit."""
PAYBACK_SECONDS = 900.0
"""A move to other replicas runs both while the new ones start: it has to pay that back within this time."""
DOUBT = 1.2
"""What serves is not given up before its predicted latency is above the target by this factor: the model errs by about
as much, and what serves is measured."""
_SHORTAGE = 100.0
"""What it counts for to hold no target, against the dearest way that holds one."""


@dataclass(frozen=True)
class Preference:
    """The order of the ways (rows,)."""

    regret_usd_per_hour: FloatArray
    """What a way counts for: the least is best. Infinite where it may not be taken."""
    holds: BoolArray
    """Whether it keeps all limits and the target."""
    present: BoolArray
    """It is what serves."""
    settles: BoolArray
    """It is what serves, was changed just now, and stays."""
    shortage_usd_per_hour: float
    """What it counts for to serve a workload with nothing of what its target needs."""


def prefer(ways: Ways, sizes: Sizes, current: FloatArray, now_seconds: float, settle_seconds: float) -> Preference:
    """Order the ways.

    Args:
        ways: All of them.
        sizes: What they come to for the load that they are compared by.
        current: Replicas that run now and could serve each way.
        now_seconds: The present.
        settle_seconds: Time after a change of variant in which it is not changed again, unless limits ask for it.
    """
    present = _present(ways)
    holds = sizes.keeps_limits & (
        sizes.latency_seconds <= ways.bound_seconds * np.where(present & ~sizes.held_back, DOUBT, 1.0)
    )
    patience = np.maximum(settle_seconds, ways.of_owner(lambda w: w.settings.scale_down_stabilization_seconds))
    changed = ways.of_owner(lambda w: w.running.changed_seconds)
    settles = present & (now_seconds - changed < patience) & ~sizes.held_back & sizes.keeps_limits
    price = _price_with_moves(ways, sizes, current, present & holds)
    largest = float(price[holds].max()) if holds.any() else float(sizes.spent.priced.max(initial=0.0))
    accurate = np.array([w.settings.prefer_accuracy for w in ways.workloads], dtype=np.bool_)[ways.owner]
    regret = price
    if accurate.any():
        tiers = _accuracy_tiers(ways, sizes, present & holds)
        step = 2.0 * _maximum_of_owner(ways, price)
        regret = np.where(accurate, price + tiers * step, price)
        largest = max(largest, float(regret[holds].max(initial=0.0)))
    shortage = _SHORTAGE * max(largest, 1e-6)
    regret = np.where(holds, regret, shortage * (1.0 + _badness(ways, sizes, present)))
    return Preference(_only_allowed(ways, regret, settles), holds, present, settles, shortage)


def _present(ways: Ways) -> BoolArray:
    return np.array(
        [
            (running := ways.workloads[owner].running).variant == option.variant and running.pool == option.pool
            for option, owner in zip(ways.options, ways.owner, strict=True)
        ],
        dtype=np.bool_,
    )


def _price_with_moves(ways: Ways, sizes: Sizes, current: FloatArray, present_holds: BoolArray) -> FloatArray:
    """Cost plus priced carbon; less for what serves, more for what has to be started first beside it."""
    price = sizes.spent.priced
    runs = np.array([w.running.replicas > 0 for w in ways.workloads], dtype=np.bool_)[ways.owner]
    start = np.array([o.start_seconds for o in ways.options], dtype=np.float64)
    moved = np.where(runs & (current <= 0.0), price * (1.0 + start / PAYBACK_SECONDS), price)
    return np.asarray(np.where(present_holds, price * WORTH_SWITCHING, moved))


def _maximum_of_owner(ways: Ways, values: FloatArray) -> FloatArray:
    largest = np.zeros(len(ways.workloads))
    np.maximum.at(largest, ways.owner, values)
    return largest[ways.owner]


def _accuracy_tiers(ways: Ways, sizes: Sizes, present_holds: BoolArray) -> FloatArray:
    """0 for the most accurate of each workload, 1 for the next, and so on.

    A way that is more accurate than the one that serves, but fits the limits only just, counts as less accurate: the
    next rise of load would push it out again.
    """
    accuracy = ways.accuracy.copy()
    of_present = np.full(len(ways.workloads), np.inf)
    of_present[ways.owner[present_holds]] = accuracy[present_holds]
    better = accuracy > of_present[ways.owner]
    accuracy = np.where(better & ~within(ways, sizes.spent, ROOM_FOR_BETTER), -1.0, accuracy)
    order = np.lexsort((-accuracy, ways.owner))
    owner, value = ways.owner[order], accuracy[order]
    first = np.concatenate(([True], owner[1:] != owner[:-1]))
    step = np.concatenate(([False], (value[1:] != value[:-1]) & ~first[1:]))
    count = np.cumsum(step)
    tiers = np.empty(len(order))
    tiers[order] = count - np.maximum.accumulate(np.where(first, count, 0))
    return tiers


def _badness(ways: Ways, sizes: Sizes, present: BoolArray) -> FloatArray:
    """Order among ways that do not hold, in (0, 1): limits first, then the lowest latency, then what serves."""
    latency = np.where(np.isfinite(sizes.latency_seconds), sizes.latency_seconds, 1e12)
    latency = np.round(np.where(present, latency * WORTH_SWITCHING, latency), 6)
    order = np.lexsort((sizes.spent.priced, ~present, latency, ~sizes.keeps_limits))
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    return rank / (len(order) + 1.0)


def _only_allowed(ways: Ways, regret: FloatArray, settles: BoolArray) -> FloatArray:
    """Leave out what may not be taken now: other ways while one settles, other variants while nothing is measured."""
    settled = np.zeros(len(ways.workloads), dtype=np.bool_)
    settled[ways.owner[settles]] = True
    allowed = settles | ~settled[ways.owner]
    blind = np.array([not w.load.fresh for w in ways.workloads], dtype=np.bool_)
    if blind.any():
        same = np.array(
            [o.variant == ways.workloads[w].running.variant for o, w in zip(ways.options, ways.owner, strict=True)],
            dtype=np.bool_,
        )
        known = np.zeros(len(ways.workloads), dtype=np.bool_)
        known[ways.owner[same]] = True
        allowed &= same | ~(blind & known)[ways.owner]
    return np.asarray(np.where(allowed, regret, np.inf))


def order_of(ways: Ways, preference: Preference) -> npt.NDArray[np.intp]:
    """Rows from best to worst, workload by workload; of equally good ones the more accurate, then by name."""
    names = np.unique(np.array([f"{o.variant}\0{o.pool}" for o in ways.options]), return_inverse=True)[1]
    regret = np.round(preference.regret_usd_per_hour, 12)
    return np.lexsort((names, -ways.accuracy, regret, ways.owner))
