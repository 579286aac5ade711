"""Least-cost hours of work in slots of different price, where a start costs nothing: greedy, and exact.

Within a slot the ways to run a job (off, or one of its modes) have a lower convex hull of cost over work. The steps of
all hulls, taken in order of marginal cost until the work is done, are the optimum of the linear programme in which a
slot may be shared by two modes. Where scaling is concave this is the greedy of Hanafy, Liang, Bashir, Irwin and Shenoy,
"CarbonScaler: Leveraging Cloud Workload Elasticity for Optimizing Carbon-Efficiency" (SIGMETRICS 2024).
"""

from dataclasses import dataclass

import numpy as np

from trimtab.plan.schedule.problem import FloatArray
from trimtab.plan.schedule.tables import IntArray

TOLERANCE = 1e-9
"""Share of the work that counts as nothing left."""


@dataclass(frozen=True)
class Frontier:
    """Steps of the lower convex hull of cost over work, for each job and slot: arrays (J, T, K), K at most M."""

    slope: FloatArray
    """Marginal cost of a unit of work; infinite where there is no such step."""
    gain: FloatArray
    """Work that the step adds."""
    mode: IntArray
    """Mode in which the job is after the step."""


@dataclass(frozen=True)
class Filled:
    """What jobs run, and what they leave undone."""

    hours: FloatArray
    """(J, T, K) Hours in the mode of the step."""
    mode: IntArray
    """(J, T, K)"""
    marginal: FloatArray
    """(J) Cost of the last unit of work."""
    short: FloatArray
    """(J) Work for which there is no room."""


def frontier(cost: FloatArray, hours: FloatArray, rate: FloatArray) -> Frontier:
    """The lower hull of each slot.

    Args:
        cost: (J, M, T) Cost of an hour.
        hours: (J, M, T) Hours in which the job may run.
        rate: (J, M) Work an hour.
    """
    jobs, modes, slots = cost.shape
    work = hours * rate[:, :, None]
    spent = cost * hours
    if modes == 1:
        gain = work[:, 0, :, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(gain > 0.0, spent[:, 0, :, None] / gain, np.inf)
        return Frontier(slope, gain, np.zeros((jobs, slots, 1), dtype=np.int64))
    least = 1e-12 * work.max(initial=0.0)
    at_work, at_cost = np.zeros((jobs, slots)), np.zeros((jobs, slots))
    slopes: list[FloatArray] = []
    gains: list[FloatArray] = []
    chosen: list[IntArray] = []
    for _ in range(modes):
        best, mode = np.full((jobs, slots), np.inf), np.zeros((jobs, slots), dtype=np.int64)
        to_work, to_cost = at_work.copy(), at_cost.copy()
        for index in range(modes):
            more = work[:, index] - at_work
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = (spent[:, index] - at_cost) / more
            better = (more > least) & (slope < best)
            np.copyto(best, slope, where=better)
            np.copyto(mode, index, where=better)
            np.copyto(to_work, work[:, index], where=better)
            np.copyto(to_cost, spent[:, index], where=better)
        if not np.isfinite(best).any():
            break
        if slopes:
            # Rounding must not let a step overtake the one that it stands on.
            np.maximum(best, slopes[-1], out=best)
        slopes.append(best)
        gains.append(to_work - at_work)
        chosen.append(mode)
        at_work, at_cost = to_work, to_cost
    if not slopes:
        nothing = np.zeros((jobs, slots, 1))
        return Frontier(nothing + np.inf, nothing, nothing.astype(np.int64))
    return Frontier(np.stack(slopes, axis=2), np.stack(gains, axis=2), np.stack(chosen, axis=2))


def fill(cost: FloatArray, hours: FloatArray, rate: FloatArray, work: FloatArray) -> Filled:
    """The cheapest hours that do the work of each job, the earlier slot first where two cost the same.

    Args:
        cost: (J, M, T) Cost of an hour.
        hours: (J, M, T) Hours in which the job may run.
        rate: (J, M) Work an hour.
        work: (J) Work to do.
    """
    hull = frontier(cost, hours, rate)
    jobs, slots, steps = hull.slope.shape
    slope = hull.slope.reshape(jobs, slots * steps)
    order = np.argsort(slope, axis=1, kind="stable")
    gain = np.take_along_axis(hull.gain.reshape(jobs, slots * steps), order, axis=1)
    until = np.cumsum(gain, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = np.where(gain > 0.0, np.clip((work[:, None] - (until - gain)) / gain, 0.0, 1.0), 0.0)
    last = np.minimum((until < (work * (1.0 - TOLERANCE))[:, None]).sum(axis=1), slots * steps - 1)
    rows = np.arange(jobs)
    share = np.zeros((jobs, slots * steps))
    np.put_along_axis(share, order, taken, axis=1)
    share = share.reshape(jobs, slots, steps)
    run = share.copy()
    run[:, :, :-1] -= share[:, :, 1:]
    job, slot, step = np.nonzero(run > TOLERANCE)
    used = np.zeros((jobs, slots, steps))
    used[job, slot, step] = run[job, slot, step] * hours[job, hull.mode[job, slot, step], slot]
    short = np.maximum(work - until[:, -1], 0.0)
    return Filled(
        hours=used,
        mode=hull.mode,
        marginal=slope[rows, order[rows, last]],
        short=np.where(short > TOLERANCE * work, short, 0.0),
    )


def rush(hours: FloatArray, rate: FloatArray, work: FloatArray) -> Filled:
    """The hours that finish the work of each job earliest, whatever they cost. Arguments as those of `fill`."""
    speed = hours * rate[:, :, None]
    mode = speed.argmax(axis=1)
    gain = np.take_along_axis(speed, mode[:, None, :], axis=1)[:, 0]
    until = np.cumsum(gain, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(gain > 0.0, np.clip((work[:, None] - (until - gain)) / gain, 0.0, 1.0), 0.0)
    available = np.take_along_axis(hours, mode[:, None, :], axis=1)[:, 0]
    short = np.maximum(work - until[:, -1], 0.0)
    return Filled(
        hours=(np.where(share > TOLERANCE, share, 0.0) * available)[:, :, None],
        mode=mode[:, :, None],
        marginal=np.full(len(work), np.inf),
        short=np.where(short > TOLERANCE * work, short, 0.0),
    )
