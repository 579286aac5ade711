"""Every way to serve every workload, as arrays: how many replicas the load needs, what they cost, which limit binds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.curves import Curves, stack
from trimtab.plan.fleet.latency import busy_share, fewest_replicas, latency_seconds
from trimtab.plan.fleet.problem import Fleet, Option, Spending, Workload

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

_SLACK = 1.0 + 1e-9
_NEARLY = 1.1
"""Where a target is out of reach, a latency within this factor of the best one is as good."""


@dataclass(frozen=True)
class Ways:
    """One row for each option of each workload, in the order of the workloads. Figures are of one replica."""

    options: tuple[Option, ...]
    workloads: tuple[Workload, ...]
    """Of the fleet, in its order."""
    owner: IntArray
    """Index of the workload, ascending."""
    pool: IntArray
    """Index of the pool."""
    curves: Curves
    grams_per_kwh: FloatArray
    """Of the pool's grid."""
    least: FloatArray
    """Fewest replicas to keep."""
    most: FloatArray
    """Most replicas, by the workload's settings; what the pools can hold is for the solver."""

    def __len__(self) -> int:
        return len(self.options)

    def _column(self, read: Callable[[Option], float]) -> FloatArray:
        return np.array([read(o) for o in self.options], dtype=np.float64)

    def of_owner(self, read: Callable[[Workload], float]) -> FloatArray:
        """A figure of the workload, for each of its rows."""
        return np.array([read(w) for w in self.workloads], dtype=np.float64)[self.owner]

    @cached_property
    def accuracy(self) -> FloatArray:
        """Of the variant."""
        return self._column(lambda o: o.accuracy)

    @cached_property
    def units(self) -> FloatArray:
        """Units of the pool's resource."""
        return self._column(lambda o: o.units)

    @cached_property
    def usd_per_hour(self) -> FloatArray:
        """Price."""
        return self._column(lambda o: o.usd_per_hour)

    @cached_property
    def watts(self) -> tuple[FloatArray, FloatArray]:
        """Idle, and what full work adds to it."""
        idle = self._column(lambda o: o.idle_watts)
        return idle, self._column(lambda o: o.peak_watts) - idle

    @cached_property
    def embodied_grams_per_hour(self) -> FloatArray:
        """Embodied carbon."""
        return self._column(lambda o: o.embodied_grams_per_hour)

    @cached_property
    def usd_per_gram(self) -> FloatArray:
        """Carbon price of the workload."""
        return self.of_owner(lambda w: w.settings.usd_per_gram)

    @cached_property
    def bound_seconds(self) -> FloatArray:
        """The latency target."""
        return self.of_owner(lambda w: w.target.bound_seconds)

    @cached_property
    def planned_seconds(self) -> FloatArray:
        """The part of it that is planned for."""
        return self.bound_seconds * self.of_owner(lambda w: w.settings.latency_margin)

    @cached_property
    def quantile(self) -> FloatArray:
        """Share of requests that must keep it."""
        return self.of_owner(lambda w: w.target.quantile)

    @cached_property
    def pooled(self) -> BoolArray:
        """Whether the balancer knows which replica has least to do."""
        return np.array([w.settings.pooled for w in self.workloads], dtype=np.bool_)[self.owner]

    @cached_property
    def caps(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Limits of the workload: USD/h, gCO2e/h, W; infinite where there is none."""
        return (
            self.of_owner(lambda w: _cap(w.limits.usd_per_hour)),
            self.of_owner(lambda w: _cap(w.limits.grams_per_hour)),
            self.of_owner(lambda w: _cap(w.limits.watts)),
        )


def _cap(limit: float | None) -> float:
    return np.inf if limit is None else limit


def ways_of(fleet: Fleet) -> Ways:
    """All usable options of a fleet.

    An option is left out when its accuracy is below the floor, or when its pool could not hold one replica of it.

    Raises:
        ValueError: An option names a pool that the fleet does not have.
    """
    index = {pool.name: i for i, pool in enumerate(fleet.pools)}
    options: list[Option] = []
    owners: list[int] = []
    for owner, workload in enumerate(fleet.workloads):
        for option in workload.options:
            if option.pool not in index:
                raise ValueError(
                    f"workload {workload.key}: option {option.variant} names the pool {option.pool!r}, "
                    f"there are {', '.join(sorted(index))}"
                )
            fits = np.floor(fleet.pools[index[option.pool]].free_units / max(option.units, 1e-9) + 1e-9)
            if option.accuracy >= workload.target.min_accuracy and fits >= 1:
                options.append(option)
                owners.append(owner)
    return _ways(fleet, options, np.array(owners, dtype=np.intp), index)


def _ways(fleet: Fleet, options: Sequence[Option], owner: IntArray, index: dict[str, int]) -> Ways:
    pool = np.array([index[o.pool] for o in options], dtype=np.intp)
    grams = np.array([p.grams_per_kwh for p in fleet.pools], dtype=np.float64)
    settings = [w.settings for w in fleet.workloads]
    least = np.array([s.fixed_replicas or s.min_replicas for s in settings], dtype=np.float64)
    most = np.array([s.fixed_replicas or s.max_replicas for s in settings], dtype=np.float64)
    speeds = [fleet.workloads[i].running.correction for i in owner]
    return Ways(
        options=tuple(options),
        workloads=fleet.workloads,
        owner=owner,
        pool=pool,
        curves=stack([o.profile for o in options], speeds),
        grams_per_kwh=grams[pool],
        least=least[owner],
        most=most[owner],
    )


@dataclass(frozen=True)
class Rates:
    """What some replicas cost for each hour: one value for each row."""

    usd: FloatArray
    watts: FloatArray
    grams: FloatArray
    priced: FloatArray
    """Cost plus priced carbon."""

    def at(self, row: int) -> Spending:
        """Of one row."""
        return Spending(float(self.usd[row]), float(self.watts[row]), float(self.grams[row]), float(self.priced[row]))


def rates(ways: Ways, load: FloatArray, replicas: FloatArray) -> Rates:
    """Cost, power and carbon of `replicas` under `load` (rows,)."""
    idle, more = ways.watts
    watts = replicas * (idle + more * busy_share(ways.curves, load, replicas, ways.pooled))
    grams = watts / 1000.0 * ways.grams_per_kwh + replicas * ways.embodied_grams_per_hour
    usd = replicas * ways.usd_per_hour
    return Rates(usd, watts, grams, usd + grams * ways.usd_per_gram)


def within(ways: Ways, spent: Rates, share: float = 1.0) -> BoolArray:
    """Whether a part of each limit of the workload is kept (rows,)."""
    usd, grams, watts = ways.caps
    part = share * _SLACK
    return np.asarray((spent.usd <= usd * part) & (spent.grams <= grams * part) & (spent.watts <= watts * part))


def limit_broken(ways: Ways, spent: Rates, row: int) -> str:
    """Which limit a row breaks, with the figures; empty when none."""
    names = (("cost", "USD/h", spent.usd), ("carbon", "gCO2e/h", spent.grams), ("power", "W", spent.watts))
    for (name, unit, values), limits in zip(names, ways.caps, strict=True):
        if values[row] > limits[row] * _SLACK:
            return f"{name} {values[row]:.3g} {unit} is above the limit of {limits[row]:.3g} {unit}"
    return ""


@dataclass(frozen=True)
class Sizes:
    """How many replicas each way needs for a load, as far as the limits allow (rows,)."""

    load: FloatArray
    replicas: FloatArray
    needed: FloatArray
    """What the target needs: as many as may be where that is not enough, whatever the limits say."""
    latency_seconds: FloatArray
    """With `replicas`."""
    spent: Rates
    """With `replicas`."""
    keeps_limits: BoolArray
    held_back: BoolArray
    """The limits keep it from what the target needs."""

    @property
    def cut(self) -> bool:
        """Whether any row is held back."""
        return bool(self.held_back.any())


def size(ways: Ways, load: FloatArray, least: FloatArray) -> Sizes:
    """Fewest replicas, of at least `least`, that hold the target with its margin; fewer where the limits say so."""
    most = np.maximum(ways.most, least)
    needed = np.maximum(least, _fewest_or_nearest(ways, load, most))
    spent = rates(ways, load, needed)
    keeps = within(ways, spent)
    replicas = needed
    if not keeps.all():
        replicas = np.where(keeps, needed, _most_within(ways, load, least, needed))
        spent = rates(ways, load, replicas)
    latency = latency_seconds(ways.curves, load, replicas, ways.quantile, ways.pooled)
    return Sizes(load, replicas, needed, latency, spent, within(ways, spent), ~keeps)


def _fewest_or_nearest(ways: Ways, load: FloatArray, most: FloatArray) -> FloatArray:
    """Fewest replicas that hold the target with its margin; where `most` do not, without it, or come nearly as near."""
    enough = fewest_replicas(ways.curves, load, ways.planned_seconds, ways.quantile, ways.pooled, most)
    missing = np.flatnonzero(~np.isfinite(enough))
    if not missing.size:
        return enough
    curves, pooled, quantile = ways.curves.take(missing), ways.pooled[missing], ways.quantile[missing]
    best = latency_seconds(curves, load[missing], most[missing], quantile, pooled)
    bound = np.maximum(ways.bound_seconds[missing], best * _NEARLY)
    near = fewest_replicas(curves, load[missing], bound, quantile, pooled, most[missing])
    enough[missing] = np.where(np.isfinite(near) & np.isfinite(best), near, most[missing])
    return enough


def _most_within(ways: Ways, load: FloatArray, least: FloatArray, needed: FloatArray) -> FloatArray:
    """Most replicas between `least` and `needed` that keep the limits; `least` where none does.

    By bisection: more replicas never spend less.
    """
    low, high = least.copy(), needed.copy()
    while np.any(high - low > 1.0):
        middle = np.floor((low + high) / 2.0)
        keeps = within(ways, rates(ways, load, middle))
        low, high = np.where(keeps, middle, low), np.where(keeps, high, middle)
    return np.where(within(ways, rates(ways, load, high)), high, low)
