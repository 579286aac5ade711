"""Chooses among the ways to serve, without going back and forth between two that are nearly as good."""

from dataclasses import dataclass

from trimtab.api.common import Reason
from trimtab.api.policy import Preference
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import limit_broken
from trimtab.plan.serving_options import ServingOption

WORTH_SWITCHING = 0.95
"""A cheaper option replaces the present one only below this part of its price."""
ROOM_FOR_BETTER = 0.8
"""A more accurate option replaces the present one only when it fits in this part of each limit."""


@dataclass(frozen=True)
class Choice:
    """The option taken, and why."""

    option: ServingOption
    reason: Reason


def _price(option: ServingOption) -> str:
    return (
        f"{option.rate.cost_usd_per_hour:.3g} USD/h, {option.rate.carbon_grams_per_hour:.3g} gCO2e/h, "
        f"accuracy {option.accuracy:.4f}, predicted {option.latency_ms:.0f} ms"
    )


def _described(option: ServingOption) -> str:
    why_not = option.held_back or option.over_limit or option.too_slow
    return f"next: {option.label} ({_price(option)}{', but ' + why_not if why_not else ''})"


def _order(option: ServingOption, prefer: Preference) -> tuple[float, float, str, str]:
    if prefer is Preference.ACCURACY:
        return (-option.accuracy, option.score_usd_per_hour, option.variant, option.hardware_class)
    return (option.score_usd_per_hour, -option.accuracy, option.variant, option.hardware_class)


def _better_enough(best: ServingOption, present: ServingOption, policy: EffectivePolicy) -> bool:
    if policy.prefer is Preference.ACCURACY and best.accuracy > present.accuracy:
        return not limit_broken(best.rate, policy, ROOM_FOR_BETTER)
    return best.score_usd_per_hour < WORTH_SWITCHING * present.score_usd_per_hour


def choose(
    options: list[ServingOption], policy: EffectivePolicy, variant: str, hardware_class: str, settling: bool
) -> Choice | None:
    """Take the best option under the policy's preference; what serves now has the advantage.

    Args:
        options: Each variant on each class.
        policy: Limits and preference.
        variant: The one that was decided on last; empty at first.
        hardware_class: Where it serves.
        settling: It was changed just now: it stays, unless the limits do not allow it.
    """
    if not options:
        return None
    present = next((o for o in options if o.variant == variant and o.hardware_class == hardware_class), None)
    if present is not None and settling and not present.held_back and not present.over_limit:
        text = f"keeps {present.label} until its change shows in the metrics: {_price(present)}"
        return Choice(present, Reason(code="VariantSettles", message=text))
    good = sorted((o for o in options if o.holds), key=lambda o: _order(o, policy.prefer))
    if not good:
        return _least_bad(options, present)
    best = good[0]
    if present is not None and present.holds and best is not present and not _better_enough(best, present, policy):
        best = present
    others = [o for o in (*good, *(o for o in options if not o.holds)) if o is not best]
    return Choice(best, _reason(best, present, policy, others[0] if others else None))


def _reason(
    best: ServingOption, present: ServingOption | None, policy: EffectivePolicy, other: ServingOption | None
) -> Reason:
    """Why `best` was taken: because what served could not go on, or by preference."""
    if present is not None and not present.holds and best.variant != present.variant:
        code = "CheaperVariantFitsLimits" if present.held_back else "FasterVariantHoldsTarget"
        why = f"{present.variant}: {present.held_back or present.too_slow}; now "
    else:
        code = "MostAccurateWithinLimits" if policy.prefer is Preference.ACCURACY else "CheapestThatHoldsTargets"
        why = ""
    return Reason(
        code=code,
        message=f"{why}{best.label}: {_price(best)}",
        alternative=_described(other) if other is not None else None,
    )


def _least_bad(options: list[ServingOption], present: ServingOption | None) -> Choice:
    """Nothing holds all: limits come first, then the lowest latency. What serves now stays where it is as good."""
    within = [o for o in options if not o.over_limit] or options
    best = min(within, key=lambda o: (round(o.latency_ms, 3), o.score_usd_per_hour, o.variant))
    if present is not None and present in within and present.latency_ms <= best.latency_ms:
        best = present
    problem = best.held_back or best.over_limit or best.too_slow
    code = "LimitsTooTight" if best.held_back else "TargetOutOfReach"
    text = f"nothing allowed holds the targets; nearest: {best.label} ({problem})"
    return Choice(best, Reason(code=code, message=text))
