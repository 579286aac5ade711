"""Which policies hold for a workload, and what they come to together."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from trimtab.api.budget import BudgetAction
from trimtab.api.common import LabelExpression, LabelOperator, LabelSelector, Reason
from trimtab.api.policy import ClusterEfficiencyPolicySpec, Mode, Preference
from trimtab.api.policy_rules import SloClass, Window, WindowAction
from trimtab.plan.fact import Fact
from trimtab.plan.hours import acts, eco_status, next_edge
from trimtab.plan.snapshot import ObjectMeta, PolicyState

_Comparable = TypeVar("_Comparable", int, float, timedelta)
_CLASSES = (SloClass.LATENCY_CRITICAL, SloClass.STANDARD, SloClass.BEST_EFFORT)
"""The most protected first."""


class EffectivePolicy(Fact):
    """All policies that select a workload, merged: of each limit the strictest, of the modes the most careful."""

    mode: Mode = Mode.ENFORCE
    max_intensity_grams_per_kwh: int | None = None
    allowed_delay: timedelta | None = None
    carbon_price_usd_per_gram: float = 0.0
    max_cost_usd_per_hour: float | None = None
    max_carbon_grams_per_hour: float | None = None
    max_power_watts: float | None = None
    prefer: Preference = Preference.COST
    min_accuracy: float = 0.0
    slo_class: SloClass = SloClass.STANDARD
    max_replicas: int | None = None
    """By a window."""
    names: tuple[str, ...] = ()
    """Keys of the policies, for messages."""
    actions: tuple[BudgetAction, ...] = ()
    """Actions that budgets or eco mode have in force for it."""
    saving: tuple[Reason, ...] = ()
    """Why these actions are in force, and what it would cost otherwise."""
    stop: Reason | None = None
    """Why it may not run now."""
    shift_until: datetime | None = None
    """LaterSlots: until when a training without a deadline may be shifted."""

    def saves(self, action: BudgetAction) -> bool:
        """Whether an action is in force."""
        return action in self.actions


def _holds(expression: LabelExpression, labels: dict[str, str]) -> bool:
    value = labels.get(expression.key)
    match expression.operator:
        case LabelOperator.IN:
            return value in expression.values
        case LabelOperator.NOT_IN:
            return value not in expression.values
        case LabelOperator.EXISTS:
            return value is not None
        case LabelOperator.DOES_NOT_EXIST:
            return value is None


def selects(selector: LabelSelector, labels: dict[str, str]) -> bool:
    """Whether a label selector matches, by the rules of Kubernetes."""
    return all(labels.get(k) == v for k, v in selector.match_labels.items()) and all(
        _holds(expression, labels) for expression in selector.match_expressions
    )


def applies(policy: PolicyState, workload: ObjectMeta) -> bool:
    """Whether a policy is meant for a workload."""
    if policy.meta.namespace:
        in_namespace = policy.meta.namespace == workload.namespace
    else:
        named = policy.spec.namespaces if isinstance(policy.spec, ClusterEfficiencyPolicySpec) else ()
        in_namespace = not named or workload.namespace in named
    return in_namespace and selects(policy.spec.selector, workload.labels)


def in_force(policies: Iterable[PolicyState], workload: ObjectMeta) -> list[PolicyState]:
    """The policies that hold for a workload, by key. Those that are Off count as absent."""
    chosen = (p for p in policies if p.spec.mode is not Mode.OFF and applies(p, workload))
    return sorted(chosen, key=lambda p: p.meta.key)


def _least(values: Iterable[_Comparable | None]) -> _Comparable | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _most(values: Iterable[float | None], default: float) -> float:
    return max((value for value in values if value is not None), default=default)


def _mode(policies: list[PolicyState]) -> Mode:
    """Recommend wins over Enforce: who asks to only watch a workload must be able to rely on it."""
    return Mode.RECOMMEND if any(p.spec.mode is Mode.RECOMMEND for p in policies) else Mode.ENFORCE


def effective_policy(
    policies: Iterable[PolicyState], workload: ObjectMeta, now: datetime | None = None, *, service: bool = True
) -> EffectivePolicy:
    """Merge the policies that select the workload. Those that are Off count as absent.

    Args:
        policies: All policies.
        workload: The workload.
        now: The instant for which windows and eco mode are looked at; None leaves both out.
        service: Whether it serves: windows that scale to zero are for services.
    """
    chosen = in_force(policies, workload)
    preferences = [p.spec.serving.prefer for p in chosen if p.spec.serving.prefer is not None]
    classes = [p.spec.slo_class for p in chosen if p.spec.slo_class is not None]
    merged = EffectivePolicy(
        mode=_mode(chosen),
        max_intensity_grams_per_kwh=_least(p.spec.carbon.max_intensity_grams_per_kwh for p in chosen),
        allowed_delay=_least(p.spec.carbon.allowed_delay for p in chosen),
        carbon_price_usd_per_gram=_most((p.spec.carbon.price_usd_per_tonne for p in chosen), 0.0) / 1e6,
        max_cost_usd_per_hour=_least(p.spec.limits.cost_usd_per_hour for p in chosen),
        max_carbon_grams_per_hour=_least(p.spec.limits.carbon_grams_per_hour for p in chosen),
        max_power_watts=_least(p.spec.limits.power_watts for p in chosen),
        prefer=Preference.COST if Preference.COST in preferences or not preferences else Preference.ACCURACY,
        min_accuracy=_most((p.spec.serving.min_accuracy for p in chosen), 0.0),
        slo_class=min(classes, key=_CLASSES.index, default=SloClass.STANDARD),
        names=tuple(p.meta.key for p in chosen),
    )
    return merged if now is None else _timed(merged, chosen, now, service=service)


def _timed(merged: EffectivePolicy, chosen: list[PolicyState], now: datetime, *, service: bool) -> EffectivePolicy:
    """The policy with the windows and eco modes that hold at an instant."""
    acting = [(p, w) for p in chosen for w in p.spec.windows if acts(w, now)]
    stopping = {WindowAction.SUSPEND, WindowAction.SCALE_TO_ZERO} if service else {WindowAction.SUSPEND}
    stop = next((_window_reason(p, w, now) for p, w in acting if w.action in stopping), None)
    eco = [(p, s) for p in chosen if (s := eco_status(p.spec.eco_mode, p.status.eco_mode, now)) and s.active]
    actions = {a for p, _ in eco if p.spec.eco_mode is not None for a in p.spec.eco_mode.actions}
    reasons = tuple(
        Reason(
            code="EcoMode",
            message=f"eco mode of policy {p.meta.key}, switched on by {s.enabled_by}, until {_minute(s.until)}",
        )
        for p, s in eco
    )
    return merged.model_copy(
        update={
            "max_replicas": _least(w.replicas for _, w in acting if w.action is WindowAction.SCALE_DOWN_TO),
            "stop": stop,
            "actions": tuple(a for a in BudgetAction if a in actions),
            "saving": reasons,
            "shift_until": max((s.until for _, s in eco), default=None),
            "prefer": Preference.COST if BudgetAction.CHEAPER_VARIANT in actions else merged.prefer,
        }
    )


def _window_reason(policy: PolicyState, window: Window, now: datetime) -> Reason:
    edge = next_edge(window, now)
    until = f" until {_minute(edge)}" if edge is not None else ""
    text = f"window {window.name} of policy {policy.meta.key} ({window.action.value}){until}"
    return Reason(code="OutOfHours", message=text)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def next_change_of(policies: Iterable[PolicyState], now: datetime) -> datetime | None:
    """When a window opens or closes, eco mode begins or ends, or a budget's period is over: plan again then."""
    edges: list[datetime | None] = []
    for policy in policies:
        if policy.spec.mode is Mode.OFF:
            continue
        edges.extend(next_edge(w, now) for w in policy.spec.windows)
        eco = eco_status(policy.spec.eco_mode, policy.status.eco_mode, now)
        edges.extend((eco.since, eco.until) if eco is not None else ())
        edges.extend(b.period_end for b in policy.status.budgets)
    return min((edge for edge in edges if edge is not None and edge > now), default=None)
