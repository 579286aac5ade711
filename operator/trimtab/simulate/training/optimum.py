"""The offline optimum without a limit on units: each job on its own, at its best, with perfect knowledge."""

import numpy as np
import numpy.typing as npt

from trimtab.simulate.training.account import Prices
from trimtab.simulate.training.cells import Cells, cut, fill_cheapest
from trimtab.simulate.training.intensity import Intensity
from trimtab.simulate.training.runs import Runs, gather, tidy
from trimtab.simulate.training.workload import Workload

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CHUNK = 500
"""Jobs that are looked at together: bounds memory."""
_HALVINGS = 60
"""Of the interval of a multiplier: down to rounding."""


def optimum(jobs: Workload, truth: Intensity, prices: Prices) -> Runs:
    """The runs of least objective that do each job's work within its deadline.

    A job of one scale runs in its cheapest hours. A job that scales takes, in each hour, the scale that is worth most
    at a price of its work; the price is the one at which the work gets done (exact: the problem of one job is linear
    in the hours of each scale, and this is its dual). Overhead of starts is left out: with it, this is a bound.
    """
    parts = []
    for start in range(0, len(jobs), _CHUNK):
        places = np.arange(start, min(start + _CHUNK, len(jobs)))
        some = jobs.subset(places)
        cells = cut(some.arrival_hours, some.arrival_hours + some.length_hours + some.max_wait_hours, truth)
        if len(jobs.scaling.speed) == 1:
            runs = cells.used_from_begin(fill_cheapest(cells.grams_per_kwh, cells.hours, some.length_hours))
        else:
            runs = _scaled(some, cells, prices)
        parts.append((places, runs))
    return gather(parts)


def cost_of_hours(jobs: Workload, cells: Cells, prices: Prices) -> FloatArray:
    """Objective of an hour by job, cell and scale; 0 outside of the job's time, infinite for scales it cannot have."""
    intensity = np.where(cells.hours > 0, cells.grams_per_kwh, 0.0)
    kilowatts = jobs.units[:, None] * jobs.kilowatts_per_unit * jobs.scaling.power[None, :]
    replicas = 1 + np.arange(len(jobs.scaling.speed))
    usd = jobs.units[:, None] * replicas[None, :] * prices.usd_per_unit_hour
    cost = (
        prices.weight_of_gram * kilowatts[:, None, :] * intensity[:, :, None] + prices.weight_of_usd * usd[:, None, :]
    )
    impossible = replicas[None, :] > jobs.most_replicas[:, None]
    return np.where(impossible[:, None, :], np.inf, cost)


def _scaled(jobs: Workload, cells: Cells, prices: Prices) -> Runs:
    cost = np.concatenate([np.zeros((*cells.hours.shape, 1)), cost_of_hours(jobs, cells, prices)], axis=2)
    speed = np.concatenate([[0.0], jobs.scaling.speed])
    low = np.zeros(len(jobs))
    steepest = np.max(np.where(np.isfinite(cost[:, :, 1:]), cost[:, :, 1:], 0.0), axis=(1, 2))
    # At the cost of an hour for the smallest gain of speed, every hour is worth its fastest scale.
    gains = np.diff(speed)
    high = 2.0 * steepest / gains[gains > 0].min() + 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        enough = _work(_best(cost, speed, middle), cells, speed) >= jobs.length_hours
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return _between(jobs, cells, speed, _best(cost, speed, low), _best(cost, speed, high))


def _best(cost: FloatArray, speed: FloatArray, price: FloatArray) -> IntArray:
    return np.asarray(np.argmax(price[:, None, None] * speed[None, None, :] - cost, axis=2), dtype=np.int64)


def _work(replicas: IntArray, cells: Cells, speed: FloatArray) -> FloatArray:
    return np.asarray((speed[replicas] * cells.hours).sum(axis=1))


def _between(jobs: Workload, cells: Cells, speed: FloatArray, few: IntArray, many: IntArray) -> Runs:
    """The work exactly: cells at the lower scale, and as much as is missing at the higher one, earlier cells first."""
    gain = (speed[many] - speed[few]) * cells.hours
    missing = jobs.length_hours - _work(few, cells, speed)
    before = np.cumsum(gain, axis=1) - gain
    taken = np.clip(missing[:, None] - before, 0.0, np.maximum(gain, 0.0))
    share = np.divide(taken, gain, out=np.zeros_like(gain), where=gain > 0)
    split = cells.start_hours + share * cells.hours
    end = cells.start_hours + cells.hours
    parts = []
    for begin, stop, replicas in ((cells.start_hours, split, many), (split, end, few)):
        job, column = np.nonzero((stop > begin) & (replicas > 0))
        parts.append((job, begin[job, column], stop[job, column], replicas[job, column]))
    job, start, stop, replicas = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return tidy(job.astype(np.int64), start, stop, replicas)
