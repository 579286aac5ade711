"""What was saved against the stated baseline: the same work, started at once, by the baseline variant, on the most
replicas. Worked out from the account as it stands, so that it needs no account of its own.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Savings, Usage
from trimtab.ledger.booking import Intensity


@dataclass(frozen=True)
class TrainingBaseline:
    """What a training's baseline is worked out from."""

    created_at: datetime
    max_replicas: int
    time_per_sample: float
    """Replica time that a sample takes on the most replicas, as a multiple of what it took: scaling costs. 1 where it
    was not measured."""
    zone: str


@dataclass(frozen=True)
class ServingBaseline:
    """What a service's baseline is worked out from."""

    created_at: datetime
    max_replicas: int
    work_per_item: float
    """Energy for use of one item by the baseline variant, as a multiple of the active variant's: by their measured CPU
    time. 1 where either was not measured."""
    variant: str


def training_savings(usage: Usage, baseline: TrainingBaseline, intensity: Intensity) -> Savings | None:
    """Against running from creation on, without a pause, on the most replicas.

    The same samples take `time_per_sample` times the replica time, with it cost, embodied carbon and idle energy; the
    energy for use stays. Operational carbon is that energy at the mean intensity of the stretch from creation on in
    which the baseline would have run.
    """
    if usage.replica_seconds <= 0:
        return None
    more = baseline.time_per_sample
    lasts = timedelta(seconds=usage.replica_seconds * more / baseline.max_replicas)
    energy = usage.idle_watt_hours * more + (usage.energy_watt_hours - usage.idle_watt_hours)
    grams = intensity(baseline.zone, baseline.created_at, baseline.created_at + lasts)
    operational = usage.carbon_grams - usage.embodied_grams
    if grams is not None:
        operational = energy / 1000.0 * grams
    words = "unknown" if grams is None else f"{grams:.0f}"
    text = (
        f"{baseline.max_replicas} replicas from {baseline.created_at:%Y-%m-%dT%H:%M}Z on"
        f" for {lasts.total_seconds():.0f} s at {words} gCO2e/kWh; replica time x {more:.3g}"
    )
    return _against(usage, usage.cost_usd * more, energy, operational + usage.embodied_grams * more, text)


def serving_savings(usage: Usage, baseline: ServingBaseline) -> Savings | None:
    """Against the most replicas from creation on, serving the same items with the baseline variant."""
    if usage.replica_seconds <= 0 or usage.accounted_until is None:
        return None
    lasted = (usage.accounted_until - baseline.created_at).total_seconds()
    held = baseline.max_replicas * max(0.0, lasted) / usage.replica_seconds
    for_use = usage.energy_watt_hours - usage.idle_watt_hours
    energy = usage.idle_watt_hours * held + for_use * baseline.work_per_item
    operational = usage.carbon_grams - usage.embodied_grams
    if usage.energy_watt_hours > 0:
        operational *= energy / usage.energy_watt_hours
    text = (
        f"{baseline.max_replicas} replicas of {baseline.variant} all the time: replica time x {held:.3g},"
        f" energy for use x {baseline.work_per_item:.3g}"
    )
    return _against(usage, usage.cost_usd * held, energy, operational + usage.embodied_grams * held, text)


def _against(usage: Usage, usd: float, watt_hours: float, grams: float, text: str) -> Savings:
    return Savings(
        cost_usd=usd - usage.cost_usd,
        energy_watt_hours=watt_hours - usage.energy_watt_hours,
        carbon_grams=grams - usage.carbon_grams,
        baseline=text,
    )
