"""What a policy shows of itself: whether it is in force, its budgets, and what is news."""

from datetime import datetime

from trimtab.api.budget import BudgetStatus
from trimtab.api.policy import Mode
from trimtab.plan.budget.words import budget_events, minute, within_budget
from trimtab.plan.conditions import condition
from trimtab.plan.decisions import ConditionValue, EventNote, PolicyDecision
from trimtab.plan.hours import eco_status
from trimtab.plan.snapshot import PolicyState


def shown_policy(state: PolicyState, budgets: tuple[BudgetStatus, ...], now: datetime) -> PolicyDecision:
    """The policy's conditions, budgets, eco mode and events.

    Args:
        state: The policy.
        budgets: How its budgets stand.
        now: The instant of the decision.
    """
    off = state.spec.mode is Mode.OFF
    ready = condition("Ready", True, "Off" if off else "InForce", "it counts as absent" if off else "")
    within = None if off else within_budget(budgets, now)
    eco = eco_status(state.spec.eco_mode, state.status.eco_mode, now)
    conditions: list[ConditionValue] = [ready] + ([within] if within is not None else [])
    events: list[EventNote] = []
    if eco is not None:
        word, until = ("On", "until") if eco.active else ("Over" if now >= eco.until else "NotYet", "until")
        text = f"switched on by {eco.enabled_by}, {until} {minute(eco.until)}"
        conditions.append(condition("EcoMode", eco.active, word, text))
        before = state.status.eco_mode
        if eco.active is not (before is not None and before.active):
            events.append(EventNote(reason="EcoModeOn" if eco.active else "EcoModeOver", message=text))
    if not off:
        events.extend(budget_events(within, state.status.conditions, state.status.budgets, budgets))
    return PolicyDecision(
        key=state.meta.key, conditions=tuple(conditions), budgets=budgets, eco_mode=eco, events=tuple(events)
    )
