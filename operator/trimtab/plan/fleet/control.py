"""The one decision for all serving workloads: what is observed in, variants and replicas out.

The operator calls it in each pass of its loop, the simulator in each control interval: what is proven offline is what
runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from trimtab.api.common import Reason
from trimtab.plan.fleet.demand import Demand, demand
from trimtab.plan.fleet.explain import Account, account, nothing, short, why
from trimtab.plan.fleet.latency import latency_seconds
from trimtab.plan.fleet.prefer import DOUBT, Preference, order_of, prefer
from trimtab.plan.fleet.problem import Decision, Fleet, Placement, Spending, Workload
from trimtab.plan.fleet.settle import Settled, Want, current_replicas, settle
from trimtab.plan.fleet.share import Ask, Part, Shared, share
from trimtab.plan.fleet.ways import FloatArray, Rates, Sizes, Ways, limit_broken, rates, size, ways_of

SETTLE_SECONDS = 20.0
"""Time from a change until the metrics show what came of it: start of a pod, two scrapes, the window of the rates."""


def control(fleet: Fleet) -> tuple[Decision, ...]:
    """Decide for all workloads at once, at least cost plus priced carbon within the capacity that they share.

    Args:
        fleet: The workloads, the ways to serve each, what is measured of them, and the pools.

    Returns:
        A decision for each workload, in their order. The same fleet always gets the same decisions.

    Raises:
        ValueError: A profile or a rate is none, or an option names a pool that there is not.
    """
    ways = ways_of(fleet)
    if not len(ways):
        return tuple(_without_way(w, fleet) for w in fleet.workloads)
    loads = demand(fleet.workloads)
    sizes = size(ways, loads.expected[ways.owner], ways.least)
    ready = _ready_sizes(ways, sizes, loads)
    current = np.array(
        [current_replicas(ways.workloads[w], o) for o, w in zip(ways.options, ways.owner, strict=True)],
        dtype=np.float64,
    )
    preference = prefer(ways, sizes, current, fleet.now_seconds, SETTLE_SECONDS)
    order = order_of(ways, preference)
    asked = _settle_all(ways, sizes, ready, loads, current, fleet.now_seconds)
    capacity = np.array([p.free_units for p in fleet.pools], dtype=np.float64)
    shared = share(ways, order, preference, asked.ask, capacity, fleet.allow_split)
    final = _Final(account(ways, sizes, preference, order), preference, asked, loads, shared, ways, sizes)
    return final.decisions(fleet)


def _ready_sizes(ways: Ways, sizes: Sizes, loads: Demand) -> Sizes:
    """Replicas to be ready for the load, never fewer than those that the ways were compared by."""
    load = loads.ready_for[ways.owner]
    return sizes if np.array_equal(load, sizes.load) else size(ways, load, sizes.replicas)


@dataclass(frozen=True)
class _Asked:
    """What each way would take, and why; the words only for ways that stand where something runs."""

    ask: Ask
    settled: dict[int, Settled]
    settle: Callable[[int], Settled]

    def of(self, row: int) -> Settled:
        """Of one way."""
        return self.settled.get(row) or self.settle(row)


def _settle_all(
    ways: Ways, sizes: Sizes, ready: Sizes, loads: Demand, current: FloatArray, now_seconds: float
) -> _Asked:
    """Ask for replicas: as many as needed where nothing runs yet, else by the rules for changing what runs."""
    blind = np.array([not w.load.fresh for w in ways.workloads], dtype=np.bool_)[ways.owner]
    fixed = np.array([w.settings.fixed_replicas is not None for w in ways.workloads], dtype=np.bool_)[ways.owner]
    limits = _Limits(ways, sizes.load, current)

    def settle_row(row: int) -> Settled:
        owner, option = int(ways.owner[row]), ways.options[row]
        want = Want(
            variant=option.variant,
            current=int(current[row]),
            for_choice=int(sizes.replicas[row]),
            for_load=int(ready.replicas[row]),
            most=int(ways.most[row]),
            load=float(loads.ready_for[owner]),
            over_limit=lambda count: limits.broken(row, count),
        )
        return settle(ways.workloads[owner], want, now_seconds)

    wanted = np.maximum(sizes.replicas, ready.replicas)
    replicas, needed = wanted.copy(), wanted.copy()
    settled = {int(row): settle_row(int(row)) for row in np.flatnonzero((current > 0.0) | blind | fixed)}
    for row, one in settled.items():
        replicas[row], needed[row] = one.replicas, min(one.needed, one.replicas)
    return _Asked(Ask(replicas, needed), settled, settle_row)


class _Limits:
    """Whether numbers of replicas near the present one break a limit: worked out for all ways at once, when asked."""

    def __init__(self, ways: Ways, load: FloatArray, current: FloatArray) -> None:
        self._ways, self._load, self._current = ways, load, current
        self._none = np.all([np.isinf(cap) for cap in ways.caps], axis=0)
        self._known: dict[int, Rates] = {}

    def broken(self, row: int, count: int) -> str:
        """Which limit so many replicas of a way break; empty when none."""
        if self._none[row]:
            return ""
        offset = count - int(self._current[row])
        if offset not in self._known:
            self._known[offset] = rates(self._ways, self._load, np.maximum(1.0, self._current + offset))
        return limit_broken(self._ways, self._known[offset], row)


@dataclass(frozen=True)
class _Final:
    """Makes the decisions out of what was worked out."""

    account: Account
    preference: Preference
    asked: _Asked
    loads: Demand
    shared: Shared
    ways: Ways
    sizes: Sizes

    def decisions(self, fleet: Fleet) -> tuple[Decision, ...]:
        replicas = self.sizes.replicas.copy()
        for parts in self.shared.parts:
            for part in parts:
                replicas[part.row] = part.replicas
        load = self._load_of_parts(replicas)
        ways = self.ways
        spent = rates(ways, load, replicas)
        latency = latency_seconds(ways.curves, load, replicas, ways.quantile, ways.pooled)
        has_way = np.zeros(len(fleet.workloads), dtype=np.bool_)
        has_way[ways.owner] = True
        return tuple(
            self._decision(owner, workload, parts, spent, latency)
            if parts
            else replace(_without_way(workload, fleet), reasons=(nothing(bool(has_way[owner])),))
            for owner, (workload, parts) in enumerate(zip(fleet.workloads, self.shared.parts, strict=True))
        )

    def _load_of_parts(self, replicas: FloatArray) -> FloatArray:
        """A load that is spread over pools: by capacity where the balancer knows who has least to do, else evenly."""
        load = self.sizes.load.copy()
        for parts in self.shared.parts:
            if len(parts) < 2:
                continue
            rows = [p.row for p in parts]
            weights = replicas[rows]
            if self.ways.pooled[rows[0]]:
                weights = weights / self.asked.ask.needed[rows]
            load[rows] *= weights / weights.sum()
        return load

    def _decision(
        self, owner: int, workload: Workload, parts: tuple[Part, ...], spent: Rates, latency: FloatArray
    ) -> Decision:
        row = max(parts, key=lambda p: p.replicas).row
        option, settled = self.ways.options[row], self.asked.of(row)
        reason, bound_by = why(self.account, owner, row)
        reasons = [reason]
        rows = [p.row for p in parts]
        worst = float(latency[rows].max())
        total = _total(spent, rows)
        keeps = not any(limit_broken(self.ways, spent, r) for r in rows)
        count, alone = sum(p.replicas for p in parts), len(parts) == 1
        as_settled = alone and count == settled.replicas
        if alone and count < settled.needed:
            reasons.append(short(self.account, row, count, settled.needed))
            bound_by = "Capacity"
        elif as_settled and settled.reason is not None:
            reasons.append(settled.reason)
        elif not alone:
            reasons.append(_spread(self.ways, parts))
            bound_by = "Capacity"
        return Decision(
            key=workload.key,
            variant=option.variant,
            placements=tuple(Placement(self.ways.options[p.row].pool, p.replicas) for p in parts),
            latency_seconds=worst,
            accuracy=option.accuracy,
            spending=total,
            load_requests_per_second=float(self.loads.ready_for[owner]),
            low_since_seconds=settled.low_since_seconds if as_settled else None,
            low_most=settled.low_most if as_settled else None,
            reasons=tuple(reasons),
            holds=keeps and worst <= workload.target.bound_seconds * (DOUBT if self.preference.present[row] else 1.0),
            over_limit=limit_broken(self.ways, spent, row),
            bound_by=bound_by,
        )


def _total(spent: Rates, rows: list[int]) -> Spending:
    return Spending(
        float(spent.usd[rows].sum()),
        float(spent.watts[rows].sum()),
        float(spent.grams[rows].sum()),
        float(spent.priced[rows].sum()),
    )


def _spread(ways: Ways, parts: tuple[Part, ...]) -> Reason:
    text = " and ".join(f"{p.replicas} on {ways.options[p.row].pool}" for p in parts)
    return Reason(code="SpreadOverPools", message=f"no class has room for all replicas: {text}")


def _without_way(workload: Workload, fleet: Fleet) -> Decision:
    """Nothing can be had: why."""
    floor = workload.target.min_accuracy
    if workload.options and all(o.accuracy < floor for o in workload.options):
        text = f"no variant reaches the accuracy floor of {floor:g}"
        reason = Reason(code="NoVariantAccurateEnough", message=text)
        return Decision(key=workload.key, reasons=(reason,), bound_by="Accuracy")
    return Decision(key=workload.key, reasons=(nothing(False),), bound_by="Capacity")
