"""Turns meter readings into what was spent. Closed intervals, each sample counted once.

The meter is a cumulative counter, so accounts telescope: however the intervals are cut, and however often the
operator is restarted
between them, the sum is the last value less the first. A pod pays for its share of a node: of the idle power and the
price
by what it holds (its request), of the rest by the CPU time it used. The shares of all pods and of what nobody holds
add up to the node.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from trimtab.api.common import FigureSource, Usage
from trimtab.ledger.meter import MeterReading, PodMeter, Sample
from trimtab.plan.rates import embodied_grams_per_hour
from trimtab.plan.snapshot import HardwareState

Intensity = Callable[[str, datetime, datetime], float | None]
"""Mean gCO2e/kWh of a grid zone over a stretch of time; None when unknown."""

LONGEST_GAP_SECONDS = 120.0
"""Two samples further apart than this have a hole between them: the time counts as unmetered, the counter's increase
still counts."""


@dataclass(frozen=True)
class Spent:
    """An amount spent, ready to be added up."""

    joules: float = 0.0
    usd: float = 0.0
    grams: float = 0.0
    held_seconds: float = 0.0
    unmetered_seconds: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.joules + other.joules,
            self.usd + other.usd,
            self.grams + other.grams,
            self.held_seconds + other.held_seconds,
            self.unmetered_seconds + other.unmetered_seconds,
        )


@dataclass(frozen=True)
class Holding:
    """What one pod holds of a node."""

    hardware: HardwareState
    units: float
    """Units of the class's resource."""

    @property
    def node_share(self) -> float:
        """Part of a node, 0..1."""
        return self.units / self.hardware.units_per_node if self.hardware.units_per_node > 0 else 0.0


@dataclass(frozen=True)
class Step:
    """Two neighbouring samples of a series."""

    start: datetime
    end: datetime
    before: float
    after: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


def _steps(samples: tuple[Sample, ...], reading: MeterReading, started_at: datetime | None) -> list[Step]:
    """The steps that end inside (start, end].

    A pod without a sample at or before the start began its life since the last account, with its counter at zero. One
    that is known
    to be much older lost its samples: its first one is then only a base, and the time up to it is a hole.
    """
    ordered = sorted((s for s in samples if s.at <= reading.end), key=lambda s: s.at)
    if not ordered:
        return []
    first = ordered[0]
    if first.at > reading.start:
        oldest_birth = reading.start - timedelta(seconds=LONGEST_GAP_SECONDS)
        if started_at is not None and started_at < oldest_birth:
            ordered.insert(0, Sample(at=oldest_birth, value=first.value))
        else:
            ordered.insert(0, Sample(at=min(first.at, started_at or first.at), value=0.0))
    steps = (Step(a.at, b.at, a.value, b.value) for a, b in pairwise(ordered))
    return [step for step in steps if step.end > reading.start]


def _charge(holding: Holding, step: Step, joules: float, intensity: Intensity) -> Spent:
    """Price, PUE, grid and embodied carbon of one step."""
    spec = holding.hardware.spec
    at_meter = joules * spec.pue
    operational = at_meter / 3.6e6 * (intensity(spec.grid_zone, step.start, step.end) or 0.0)
    hours = step.seconds / 3600.0
    return Spent(
        joules=at_meter,
        usd=spec.price.usd_per_hour * holding.node_share * hours,
        grams=operational + embodied_grams_per_hour(holding.hardware) * holding.node_share * hours,
        held_seconds=step.seconds,
    )


def _modelled_joules(holding: Holding, seconds: float, cpu_seconds: float) -> float:
    """The class's linear power model: idle by what is held, the rest by the CPU time used."""
    power, cores = holding.hardware.spec.power, holding.hardware.cpu_cores_per_node
    busy = cpu_seconds / cores if cores > 0 else 0.0
    return power.idle_watts * holding.node_share * seconds + (power.peak_watts - power.idle_watts) * busy


def _pod_spent(pod: PodMeter, reading: MeterReading, holding: Holding, intensity: Intensity) -> Spent:
    total = Spent()
    for step in _steps(pod.watts or pod.cpu_seconds, reading, pod.started_at):
        if pod.watts:
            idle, joules = 0.0, step.after * step.seconds
        else:
            # A counter that fell was reset: what it shows now was used since.
            used = step.after - step.before if step.after >= step.before else step.after
            idle = _modelled_joules(holding, step.seconds, 0.0)
            joules = _modelled_joules(holding, step.seconds, used)
        if step.seconds > LONGEST_GAP_SECONDS:
            # What the counter counted is known, when it was is not: energy by use is charged, holding is not.
            known = 0.0 if pod.watts else joules - idle
            charged = _charge(holding, step, known, intensity)
            total += Spent(joules=charged.joules, unmetered_seconds=step.seconds)
        else:
            total += _charge(holding, step, joules, intensity)
    return total


def settle(
    usage: Usage,
    reading: MeterReading,
    units: float,
    hardware: Mapping[str, HardwareState],
    intensity: Intensity,
) -> Usage:
    """Add one closed interval to a workload's account.

    Args:
        usage: The account so far. `reading.start` must be where it ended.
        reading: Samples of the workload's pods.
        units: Units of the class's resource that one of its replicas holds.
        hardware: Classes by name.
        intensity: Of the grids.

    Returns:
        The account up to `reading.end`.

    Raises:
        ValueError: when the reading does not begin where the account ended: it would count twice, or lose.
    """
    if usage.accounted_until is not None and usage.accounted_until != reading.start:
        raise ValueError(f"{reading.key}: account ends at {usage.accounted_until}, reading begins at {reading.start}")
    total, source = Spent(), usage.source
    for pod in reading.pods:
        known = hardware.get(pod.hardware_class)
        if known is None:
            # The class is gone: time was held, but neither its price nor its power is known any more.
            held = sum(step.seconds for step in _steps(pod.cpu_seconds, reading, pod.started_at))
            total += Spent(unmetered_seconds=held)
            continue
        total += _pod_spent(pod, reading, Holding(known, units), intensity)
        source = _worst(source, _source(pod))
    return usage.model_copy(
        update={
            "energy_watt_hours": usage.energy_watt_hours + total.joules / 3600.0,
            "cost_usd": usage.cost_usd + total.usd,
            "carbon_grams": usage.carbon_grams + total.grams,
            "replica_seconds": usage.replica_seconds + total.held_seconds,
            "unmetered_seconds": usage.unmetered_seconds + total.unmetered_seconds,
            "accounted_until": reading.end,
            "source": source,
        }
    )


def _source(pod: PodMeter) -> FigureSource:
    if pod.simulated:
        return FigureSource.SIMULATED
    return FigureSource.MEASURED if pod.watts else FigureSource.MODELLED


def _worst(first: FigureSource | None, second: FigureSource) -> FigureSource:
    """A sum is only as good as its worst part."""
    order = [FigureSource.MEASURED, FigureSource.MODELLED, FigureSource.SIMULATED]
    return second if first is None else max(first, second, key=order.index)
