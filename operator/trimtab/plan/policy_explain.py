"""Which line of which policy decided what holds for a workload, and which lost: for `trimtab policy explain`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trimtab.api.budget import Budget, BudgetStatus
from trimtab.api.policy import EfficiencyPolicySpec, Mode, Preference
from trimtab.api.policy_rules import SloClass
from trimtab.api.quantity import format_duration, format_quantity
from trimtab.plan.budget.account import limit_of, unit_of
from trimtab.plan.hours import acts, eco_status, next_edge
from trimtab.plan.policy import applies, in_force
from trimtab.plan.snapshot import ObjectMeta, PolicyState


@dataclass(frozen=True)
class Line:
    """One line of one policy."""

    policy: str
    """Kind and key, such as `EfficiencyPolicy team-a/thrifty`."""
    path: str
    """JSON path in the object, such as `spec.limits.costUSDPerHour`."""
    value: str


@dataclass(frozen=True)
class Setting:
    """What holds in one respect."""

    name: str
    value: str
    decided: Line | None
    """None where no policy says anything, and the default holds."""
    lost: tuple[Line, ...] = ()
    """What other policies say, which is less strict."""
    note: str = ""
    """What it means just now."""


@dataclass(frozen=True)
class _Rule:
    """How one field is read, compared and shown."""

    path: str
    read: Callable[[EfficiencyPolicySpec], Any]
    key: Callable[[Any], Any]
    """The least wins."""
    show: Callable[[Any], str]
    default: str


def _number(unit: str) -> Callable[[float], str]:
    return lambda value: f"{format_quantity(value)} {unit}"


def _itself(value: Any) -> Any:
    return value


def _negative(value: float) -> float:
    return -value


_CLASSES = (SloClass.LATENCY_CRITICAL, SloClass.STANDARD, SloClass.BEST_EFFORT)
_MODES = (Mode.RECOMMEND, Mode.ENFORCE)
_PREFERENCES = (Preference.COST, Preference.ACCURACY)
RULES = (
    _Rule("spec.mode", lambda s: s.mode, _MODES.index, str, "Enforce"),
    _Rule("spec.sloClass", lambda s: s.slo_class, _CLASSES.index, str, "standard"),
    _Rule(
        "spec.carbon.maxIntensityGramsPerKWh",
        lambda s: s.carbon.max_intensity_grams_per_kwh,
        _itself,
        _number("gCO2e/kWh"),
        "no ceiling",
    ),
    _Rule("spec.carbon.allowedDelay", lambda s: s.carbon.allowed_delay, _itself, format_duration, "its deadline's"),
    _Rule(
        "spec.carbon.priceUSDPerTonne", lambda s: s.carbon.price_usd_per_tonne, _negative, _number("USD/t"), "0 USD/t"
    ),
    _Rule("spec.limits.costUSDPerHour", lambda s: s.limits.cost_usd_per_hour, _itself, _number("USD/h"), "no limit"),
    _Rule(
        "spec.limits.carbonGramsPerHour",
        lambda s: s.limits.carbon_grams_per_hour,
        _itself,
        _number("gCO2e/h"),
        "no limit",
    ),
    _Rule("spec.limits.powerWatts", lambda s: s.limits.power_watts, _itself, _number("W"), "no limit"),
    _Rule("spec.serving.prefer", lambda s: s.serving.prefer, _PREFERENCES.index, str, "Cost"),
    _Rule("spec.serving.minAccuracy", lambda s: s.serving.min_accuracy, _negative, format_quantity, "no floor"),
)
"""Every field of which one value holds for a workload, in the order in which they are shown."""


def title(policy: PolicyState) -> str:
    """Kind and key of a policy."""
    kind = "EfficiencyPolicy" if policy.meta.namespace else "ClusterEfficiencyPolicy"
    return f"{kind} {policy.meta.key}"


def explain_policies(policies: Iterable[PolicyState], workload: ObjectMeta, now: datetime) -> tuple[Setting, ...]:
    """What holds for a workload, line by line.

    Args:
        policies: All policies, with what was written to their status last.
        workload: The workload.
        now: The instant for which windows and eco mode are looked at.
    """
    known = tuple(policies)
    chosen = in_force(known, workload)
    settings = [_single(rule, chosen) for rule in RULES]
    settings += [_window(p, i, now) for p in chosen for i in range(len(p.spec.windows))]
    settings += [_eco(p, now) for p in chosen if p.spec.eco_mode is not None]
    settings += [_budget(p, i) for p in chosen for i in range(len(p.spec.budgets))]
    off = [p for p in known if p.spec.mode is Mode.OFF and applies(p, workload)]
    settings += [
        Setting("(off)", "counts as absent", Line(title(p), "spec.mode", "Off")) for p in sorted(off, key=title)
    ]
    return tuple(settings)


def _single(rule: _Rule, chosen: list[PolicyState]) -> Setting:
    said = [(p, rule.read(p.spec)) for p in chosen]
    lines = sorted(((rule.key(v), p.meta.key, p, v) for p, v in said if v is not None), key=lambda x: x[:2])
    shown = [Line(title(p), rule.path, rule.show(v)) for _, _, p, v in lines]
    name = rule.path.removeprefix("spec.")
    if not shown:
        return Setting(name, rule.default, None)
    return Setting(name, shown[0].value, shown[0], tuple(shown[1:]))


def _window(policy: PolicyState, index: int, now: datetime) -> Setting:
    window = policy.spec.windows[index]
    days = ",".join(window.days)
    what = window.action.value + (f" {window.replicas}" if window.replicas is not None else "")
    text = f"{what} {window.when.value.lower()} {days} {window.start}-{window.end} {window.time_zone}"
    edge = next_edge(window, now)
    until = f" until {edge:%Y-%m-%d %H:%M} UTC" if edge is not None else ""
    note = ("in force" if acts(window, now) else "not in force") + until
    return Setting(f"windows/{window.name}", text, Line(title(policy), f"spec.windows[{index}]", what), note=note)


def _eco(policy: PolicyState, now: datetime) -> Setting:
    eco, found = policy.spec.eco_mode, eco_status(policy.spec.eco_mode, policy.status.eco_mode, now)
    if eco is None or found is None:
        raise ValueError(f"{title(policy)} has no ecoMode")
    actions = ", ".join(a.value for a in eco.actions)
    state = "on until" if found.active else "over since" if now >= found.until else "begins at"
    at = found.since if state == "begins at" else found.until
    note = f"{state} {at:%Y-%m-%d %H:%M} UTC, switched on by {eco.enabled_by}"
    return Setting("ecoMode", actions, Line(title(policy), "spec.ecoMode", actions), note=note)


def _budget(policy: PolicyState, index: int) -> Setting:
    budget = policy.spec.budgets[index]
    status = next((b for b in policy.status.budgets if b.name == budget.name), None)
    path = f"spec.budgets[{index}].{_field(budget)}"
    limit = f"{limit_of(budget):.6g} {unit_of(budget)} a {budget.period.value.lower()}"
    return Setting(f"budgets/{budget.name}", limit, Line(title(policy), path, limit), note=_standing(budget, status))


def _field(budget: Budget) -> str:
    if budget.cost_usd is not None:
        return "costUSD"
    return "energyKWh" if budget.energy_kwh is not None else "carbonKilograms"


def _standing(budget: Budget, status: BudgetStatus | None) -> str:
    if status is None:
        return "not metered yet"
    unit = unit_of(budget)
    text = f"spent {status.spent:.4g} of {status.limit:.4g} {unit} ({status.spent_share:.1%})"
    if status.carried_over:
        text += f", {status.carried_over:.4g} of it carried over"
    if status.forecast_spent is not None and status.period_end is not None:
        text += f"; forecast {status.forecast_spent:.4g} {unit} until {status.period_end:%Y-%m-%d %H:%M} UTC"
    if status.forecast_exhaustion is not None:
        text += f"; exhausted at {status.forecast_exhaustion:%Y-%m-%d %H:%M} UTC by the present plan"
    taken = [a.value for a in budget.actions]
    if status.action in taken:
        text += f"; in force: {', '.join(taken[: taken.index(status.action) + 1])}"
    return text + ("" if status.action else "; no action in force")
