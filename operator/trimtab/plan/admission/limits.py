"""Whether the fewest replicas of a workload stay within the hourly limits of its policies."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from trimtab.api.common import Rate
from trimtab.api.policy import Mode
from trimtab.plan.admission.findings import Finding, Severity, number
from trimtab.plan.admission.room import Room
from trimtab.plan.intensity import intensity_at
from trimtab.plan.policy import EffectivePolicy, applies
from trimtab.plan.snapshot import IntensityPoint, ObjectMeta, PolicyState

RateOf = Callable[[Room, float], Rate]
"""What the fewest replicas spend on a class at an intensity (gCO2e/kWh)."""


@dataclass(frozen=True)
class _Excess:
    """A limit that is broken."""

    what: str
    value: float
    limit: float
    unit: str
    path: str
    """Of the limit, in a policy's spec."""

    @property
    def share(self) -> float:
        """How many times the limit it is."""
        return self.value / self.limit if self.limit else float("inf")


def _excesses(rate: Rate, policy: EffectivePolicy) -> list[_Excess]:
    checks = (
        ("cost", rate.cost_usd_per_hour, policy.max_cost_usd_per_hour, "USD/h", "costUSDPerHour"),
        ("emit", rate.carbon_grams_per_hour, policy.max_carbon_grams_per_hour, "gCO2e/h", "carbonGramsPerHour"),
        ("draw", rate.power_watts, policy.max_power_watts, "W", "powerWatts"),
    )
    return [
        _Excess(what, value, limit, unit, path)
        for what, value, limit, unit, path in checks
        if limit is not None and value > limit * (1 + 1e-9)
    ]


def _limit_of(policy: PolicyState, path: str) -> float | None:
    limits = policy.spec.limits
    return {
        "costUSDPerHour": limits.cost_usd_per_hour,
        "carbonGramsPerHour": limits.carbon_grams_per_hour,
        "powerWatts": limits.power_watts,
    }[path]


def owners(policies: Iterable[PolicyState], meta: ObjectMeta, path: str, limit: float) -> str:
    """Keys of the policies that set this limit for the workload."""
    found = [
        p.meta.key for p in policies if p.spec.mode is not Mode.OFF and applies(p, meta) and _limit_of(p, path) == limit
    ]
    return " and ".join(sorted(found)) or "its policies"


def least_intensity(points: tuple[IntensityPoint, ...], now: datetime) -> float:
    """The lowest intensity in force now or known to come; 0 while nothing is known."""
    present = intensity_at(points, now)
    known = [point.grams_per_kwh for point in points if point.start > now]
    return min([*known, *([present] if present is not None else [])], default=0.0)


def limit_findings(
    rooms: tuple[Room, ...],
    rate_of: RateOf,
    least: int,
    path: str,
    policy: EffectivePolicy,
    policies: tuple[PolicyState, ...],
    meta: ObjectMeta,
    points_of: Callable[[Room], tuple[IntensityPoint, ...]],
    now: datetime,
) -> list[Finding]:
    """What is wrong when the fewest replicas break a limit on every class that has room for them.

    A limit of carbon counts as broken for good only where it is at the lowest intensity that is known.

    Args:
        rooms: The classes.
        rate_of: What these replicas spend there.
        least: The fewest replicas.
        path: The field that says so many.
        policy: What holds for the workload.
        policies: Where it comes from.
        meta: The workload.
        points_of: Intensities of a class's grid.
        now: The instant.
    """
    ever = {r.name: _excesses(rate_of(r, least_intensity(points_of(r), now)), policy) for r in rooms}
    present = {r.name: _excesses(rate_of(r, intensity_at(points_of(r), now) or 0.0), policy) for r in rooms}
    if not rooms or not all(present.values()):
        return []
    severity = Severity.REFUSE if all(ever.values()) else Severity.WARN
    shown = ever if severity is Severity.REFUSE else present
    name, broken = min(shown.items(), key=lambda item: (max((e.share for e in item[1]), default=0.0), item[0]))
    findings = []
    for excess in broken:
        who = owners(policies, meta, excess.path, excess.limit)
        text = (
            f"{least} replica{'s' if least != 1 else ''} {excess.what} {number(excess.value)} {excess.unit} on {name}, "
            f"where it is least: {number(excess.value - excess.limit)} {excess.unit} above the limit of "
            f"{number(excess.limit)} {excess.unit} of {who}"
        )
        later = "; it waits for a cleaner grid" if severity is Severity.WARN else _what_is_right(excess, least)
        findings.append(Finding("OverLimit", path, text + later, severity))
    return findings


def _what_is_right(excess: _Excess, least: int) -> str:
    fitting = int(excess.limit / (excess.value / least) + 1e-9) if excess.value else 0
    fewer = f"ask for {fitting}, " if 0 < fitting < least else ""
    return f"; {fewer}ask for less in spec.resources, or have spec.limits.{excess.path} raised"
