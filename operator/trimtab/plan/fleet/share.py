"""Shares the pools among the workloads: turns the ways to serve into columns, and lets the solver choose.

While every workload fits with what is best for it alone, that is the best for all. Only where a pool is full, more
columns are made, in steps: the other ways; fewer replicas than the target needs; replicas spread over two pools.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.prefer import PAYBACK_SECONDS, Preference
from trimtab.plan.fleet.solve import Columns, Solution, solve
from trimtab.plan.fleet.ways import FloatArray, IntArray, Ways

_COUNTS = 8
"""Most numbers of replicas below what is needed that are tried for one way."""
_NOTHING = 3.0
"""What it counts for to get nothing, against getting a way that just fails its target."""
_OLDER_FIRST = 1e-3
"""Of equals, the workload that stands first in the fleet is served first: so much more its shortage counts for."""


@dataclass(frozen=True)
class Part:
    """Replicas of one way; `row` is its index among the ways."""

    row: int
    replicas: int


@dataclass(frozen=True)
class Ask:
    """What each way would take (rows,)."""

    replicas: FloatArray
    """As settled: what runs is not given back at once."""
    needed: FloatArray
    """What is enough for the load."""


@dataclass(frozen=True)
class Shared:
    """What each workload gets, in the order of the fleet; nothing where no way can be had."""

    parts: tuple[tuple[Part, ...], ...]
    unit_price: FloatArray
    """What another unit of each pool would save (USD/h); 0 where the pool is not full."""
    cost: float
    lower_bound: float


@dataclass(frozen=True)
class _Column:
    owner: int
    cost: float
    parts: tuple[Part, ...]


def share(
    ways: Ways, order: IntArray, preference: Preference, ask: Ask, capacity: FloatArray, allow_split: bool
) -> Shared:
    """Give each workload what is best for all together.

    Args:
        ways: All ways.
        order: Their rows from best to worst, workload by workload.
        preference: What they count for.
        ask: What they would take.
        capacity: Units of each pool.
        allow_split: Whether replicas may be spread over two pools.
    """
    owners = ways.owner[order]
    best = order[np.concatenate(([True], owners[1:] != owners[:-1]))] if len(order) else order
    best = best[np.isfinite(preference.regret_usd_per_hour[best])]
    used = np.bincount(ways.pool[best], weights=ways.units[best] * ask.replicas[best], minlength=len(capacity))
    if np.all(used <= capacity + 1e-6):
        cost = float(preference.regret_usd_per_hour[best].sum())
        parts: list[tuple[Part, ...]] = [()] * len(ways.workloads)
        for row in best:
            parts[ways.owner[row]] = (Part(int(row), int(ask.replicas[row])),)
        return Shared(tuple(parts), np.zeros(len(capacity)), cost, cost)
    return _compete(ways, preference, ask, capacity, allow_split)


def _compete(ways: Ways, preference: Preference, ask: Ask, capacity: FloatArray, allow_split: bool) -> Shared:
    columns = [*_nothing(ways, preference), *_whole(ways, preference, ask)]
    solution, chosen = _solve(ways, columns, capacity)
    short = _short_owners(columns, chosen, ask)
    if short.size:
        columns += _fewer(ways, preference, ask, capacity)
        if allow_split:
            columns += _split(ways, preference, ask, capacity)
        solution, chosen = _solve(ways, columns, capacity)
    parts: list[tuple[Part, ...]] = [()] * len(ways.workloads)
    for i in chosen:
        parts[columns[i].owner] = columns[i].parts
    return Shared(tuple(parts), solution.unit_price, solution.cost, solution.lower_bound)


def _solve(ways: Ways, columns: list[_Column], capacity: FloatArray) -> tuple[Solution, IntArray]:
    owner = np.array([c.owner for c in columns], dtype=np.intp)
    order = np.argsort(owner, kind="stable")
    use = np.zeros((len(columns), len(capacity)))
    at = [(i, part.row, part.replicas) for i, c in enumerate(columns) for part in c.parts]
    if at:
        index, rows, counts = (np.array(values, dtype=np.intp) for values in zip(*at, strict=True))
        np.add.at(use, (index, ways.pool[rows]), ways.units[rows] * counts)
    cost = np.array([c.cost for c in columns])
    solution = solve(Columns(owner[order], cost[order], use[order]), capacity)
    return solution, order[solution.column]


def _weight(ways: Ways, owner: int) -> float:
    older = 1.0 + _OLDER_FIRST * (1.0 - owner / len(ways.workloads))
    return ways.workloads[owner].settings.weight * older


def _nothing(ways: Ways, preference: Preference) -> Iterator[_Column]:
    """One for each workload that has a way: so there always is a solution."""
    for owner in np.unique(ways.owner):
        yield _Column(int(owner), _NOTHING * preference.shortage_usd_per_hour * _weight(ways, int(owner)), ())


def _rows(preference: Preference) -> IntArray:
    return np.flatnonzero(np.isfinite(preference.regret_usd_per_hour))


def _whole(ways: Ways, preference: Preference, ask: Ask) -> Iterator[_Column]:
    """Each way with what it would take, and with what is enough, where it would hold on to more for a while."""
    for row in _rows(preference).tolist():
        owner, regret = int(ways.owner[row]), float(preference.regret_usd_per_hour[row])
        settled, needed = int(ask.replicas[row]), int(ask.needed[row])
        yield _Column(owner, regret, (Part(row, settled),))
        if needed < settled:
            # It may have to start them again: given up only where others are in need.
            restart = ways.usd_per_hour[row] * ways.options[row].start_seconds / PAYBACK_SECONDS
            for count in _counts(needed, settled - 1):
                yield _Column(owner, regret + restart * (settled - count) + 1e-9, (Part(row, count),))


def _counts(low: int, high: int, room: float = np.inf) -> list[int]:
    """Numbers from low to high: all, or some evenly spread; no more than there is room for, and just as many."""
    high = int(min(high, np.floor(room + 1e-9)))
    if high < low:
        return []
    spread = np.linspace(low, high, min(_COUNTS, high - low + 1))
    return sorted({round(float(value)) for value in spread})


def _fewer(ways: Ways, preference: Preference, ask: Ask, capacity: FloatArray) -> Iterator[_Column]:
    """Each way with fewer replicas than the target needs: the shortage counts by its share."""
    for row in _rows(preference).tolist():
        owner, needed = int(ways.owner[row]), int(ask.needed[row])
        regret = float(preference.regret_usd_per_hour[row])
        shortage = preference.shortage_usd_per_hour * _weight(ways, owner)
        for count in _counts(1, needed - 1, capacity[ways.pool[row]] / ways.units[row]):
            yield _Column(owner, regret + shortage * (1.0 - count / needed), (Part(row, count),))


def _split(ways: Ways, preference: Preference, ask: Ask, capacity: FloatArray) -> Iterator[_Column]:
    """A variant on two pools. A balancer that sends at random gives each replica as much: the slower one decides."""
    rows = _rows(preference)
    groups: dict[tuple[int, str], list[int]] = {}
    for row in rows.tolist():
        groups.setdefault((int(ways.owner[row]), ways.options[row].variant), []).append(row)
    for (owner, _), members in groups.items():
        pairs = ((a, b) for i, a in enumerate(members) for b in members[i + 1 :])
        for a, b in pairs:
            need_a, need_b = int(ask.needed[a]), int(ask.needed[b])
            for count in _counts(1, need_a - 1, capacity[ways.pool[a]] / ways.units[a]):
                if ways.pooled[a]:
                    rest = int(np.ceil(need_b * (1.0 - count / need_a) - 1e-9))
                else:
                    rest = max(need_a, need_b) - count
                both = count * ways.usd_per_hour[a] + rest * ways.usd_per_hour[b]
                alone = need_a * ways.usd_per_hour[a] + need_b * ways.usd_per_hour[b]
                regret = preference.regret_usd_per_hour[a] + preference.regret_usd_per_hour[b]
                cost = regret * both / alone if alone > 0.0 else regret / 2.0
                yield _Column(owner, float(cost), (Part(a, count), Part(b, rest)))


def _short_owners(columns: list[_Column], chosen: IntArray, ask: Ask) -> npt.NDArray[np.intp]:
    """Workloads that got less than they need."""
    short = [
        columns[i].owner
        for i in chosen
        if not columns[i].parts or any(p.replicas < ask.needed[p.row] for p in columns[i].parts)
    ]
    return np.array(short, dtype=np.intp)
