"""Which policies hold for a workload, and what they come to together."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

from trimtab.api.common import LabelExpression, LabelOperator, LabelSelector
from trimtab.api.policy import ClusterEfficiencyPolicySpec, Mode, Preference
from trimtab.plan.snapshot import Fact, ObjectMeta, PolicyState

_Comparable = TypeVar("_Comparable", int, float, timedelta)


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
    names: tuple[str, ...] = ()
    """Keys of the policies, for messages."""


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


def _least(values: Iterable[_Comparable | None]) -> _Comparable | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _mode(policies: list[PolicyState]) -> Mode:
    """Recommend wins over Enforce: who asks to only watch a workload must be able to rely on it."""
    return Mode.RECOMMEND if any(p.spec.mode is Mode.RECOMMEND for p in policies) else Mode.ENFORCE


def effective_policy(policies: Iterable[PolicyState], workload: ObjectMeta) -> EffectivePolicy:
    """Merge the policies that select the workload. Those that are Off count as absent."""
    chosen = [p for p in policies if p.spec.mode is not Mode.OFF and applies(p, workload)]
    preferences = [p.spec.serving.prefer for p in chosen if p.spec.serving.prefer is not None]
    prices = [p.spec.carbon.price_usd_per_tonne or 0.0 for p in chosen]
    return EffectivePolicy(
        mode=_mode(chosen),
        max_intensity_grams_per_kwh=_least(p.spec.carbon.max_intensity_grams_per_kwh for p in chosen),
        allowed_delay=_least(p.spec.carbon.allowed_delay for p in chosen),
        carbon_price_usd_per_gram=max(prices, default=0.0) / 1e6,
        max_cost_usd_per_hour=_least(p.spec.limits.cost_usd_per_hour for p in chosen),
        max_carbon_grams_per_hour=_least(p.spec.limits.carbon_grams_per_hour for p in chosen),
        max_power_watts=_least(p.spec.limits.power_watts for p in chosen),
        prefer=Preference.COST if Preference.COST in preferences or not preferences else Preference.ACCURACY,
        names=tuple(sorted(p.meta.key for p in chosen)),
    )
