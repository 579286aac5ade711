"""What is said about a budget: in its status, on the workloads that it touches, and as events."""

import math
from datetime import datetime

from trimtab.api.budget import Budget, BudgetStatus
from trimtab.api.common import Condition, Reason
from trimtab.plan.budget.account import unit_of
from trimtab.plan.budget.problem import RESUME_HOURS, Standing, Verdict
from trimtab.plan.conditions import condition
from trimtab.plan.decisions import ConditionValue, EventNote

STALE_SECONDS = 600.0
"""An account that ends longer ago than this is not up to date."""
_AT_THE_LINE = 0.985
"""From this part of its limit on a budget counts as exhausted: the rest is kept for what is spent while pods stop."""
NEARLY, EXHAUSTED, LATER, FORECAST = (
    "BudgetNearlyExhausted",
    "BudgetExhausted",
    "BudgetLaterSlots",
    "ForecastExhaustion",
)


def minute(instant: datetime) -> str:
    """An instant for a person."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def action_in_force(standing: Standing, verdict: Verdict) -> str:
    """The last action that is taken; empty when none is."""
    return standing.actions[verdict.level - 1].value if verdict.level else ""


def figures(policy: str, budget: Budget, standing: Standing, verdict: Verdict) -> str:
    """How the budget stands, in a sentence."""
    unit, ends = unit_of(budget), standing.period_end
    share = verdict.spent_now / standing.limit if standing.limit > 0.0 else 0.0
    text = (
        f"budget {budget.name} of policy {policy}: {verdict.spent_now:.4g} of {standing.limit:.4g} {unit} "
        f"({share:.0%}) spent"
    )
    if ends is not None:
        text += f", {verdict.forecast[verdict.planned]:.4g} forecast until {minute(ends)}"
    return text


def without(budget: Budget, standing: Standing, verdict: Verdict) -> str | None:
    """What it would come to without the action that is in force; None when none is."""
    if not verdict.level:
        return None
    last, below = action_in_force(standing, verdict), verdict.forecast[verdict.level - 1]
    return f"without {last} it would be {below:.4g} {unit_of(budget)} at the end of the period"


def saving_reason(policy: str, budget: Budget, standing: Standing, verdict: Verdict) -> Reason:
    """Why a workload has to save."""
    taken = ", ".join(a.value for a in standing.actions[: verdict.level])
    text = f"{figures(policy, budget, standing, verdict)}; in force: {taken}"
    return Reason(code=NEARLY, message=text, alternative=without(budget, standing, verdict))


def stop_reason(policy: str, budget: Budget, standing: Standing, verdict: Verdict, per_hour: float) -> Reason:
    """Why a workload may not run."""
    at_line = verdict.spent_now >= _AT_THE_LINE * standing.limit
    minutes = (standing.limit - verdict.spent_now) / per_hour * 60.0 if per_hour > 0.0 else math.inf
    if at_line:
        why = "nothing is left of it"
    elif minutes < RESUME_HOURS * 60.0:
        why = (
            f"what is left of it pays for {minutes:.0f} min, and nothing is begun for less than {RESUME_HOURS * 60:.0f}"
        )
    else:
        why = "what is left of it goes to workloads of higher rank"
    until = f" until {minute(standing.period_end)}" if standing.period_end is not None else ""
    return Reason(
        code=EXHAUSTED if at_line else NEARLY,
        message=f"{figures(policy, budget, standing, verdict)}; {why}{until}",
        alternative=f"running on would cost {per_hour:.3g} {unit_of(budget)} an hour",
    )


def wait_reason(policy: str, budget: Budget, standing: Standing, verdict: Verdict, per_hour: float) -> Reason:
    """Why a training is put off."""
    until = f" until {minute(standing.period_end)}" if standing.period_end is not None else ""
    return Reason(
        code=LATER,
        message=f"{figures(policy, budget, standing, verdict)}; put off{until}: its deadline allows it",
        alternative=f"running now would cost {per_hour:.3g} {unit_of(budget)} an hour of this period",
    )


def budget_message(policy: str, budget: Budget, standing: Standing, verdict: Verdict, mode: str) -> str:
    """What is done about a budget and why."""
    text = figures(policy, budget, standing, verdict)
    if verdict.level:
        text += f"; {'in force' if mode == 'Enforce' else 'would be in force'}: "
        text += ", ".join(a.value for a in standing.actions[: verdict.level])
        text += f"; {without(budget, standing, verdict)}"
    if verdict.planned > verdict.level:
        next_ = standing.actions[verdict.planned - 1].value
        text += f"; {next_} will be needed later: what is left is enough to wait for it"
    if verdict.stopped:
        text += f"; stopped: {_names(verdict.stopped)}"
    if verdict.waiting:
        text += f"; put off: {_names(verdict.waiting)}"
    if verdict.unreachable:
        text += "; it will not hold: no action that is left may touch what runs"
    return text[:1024]


def _names(keys: frozenset[str]) -> str:
    """Some of many."""
    shown = sorted(key.partition("/")[2] for key in keys)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def within_budget(statuses: tuple[BudgetStatus, ...], now: datetime) -> ConditionValue | None:
    """`WithinBudget` of a policy: the worst of its budgets; None when it has none."""
    if not statuses:
        return None
    done = next((s for s in statuses if s.limit > 0.0 and s.spent >= _AT_THE_LINE * s.limit), None)
    if done is not None:
        return condition("WithinBudget", False, "Exhausted", done.message)
    stale = next((s for s in statuses if _age_seconds(s, now) > STALE_SECONDS), None)
    if stale is not None:
        text = f"budget {stale.name}: nothing is metered since {minute(stale.usage.accounted_until or now)}"
        return condition("WithinBudget", None, "AccountStale", text)
    soon = next((s for s in statuses if s.forecast_exhaustion is not None), None)
    if soon is not None and soon.forecast_exhaustion is not None:
        text = f"{soon.message}; exhausted at {minute(soon.forecast_exhaustion)} by the present plan"
        return condition("WithinBudget", False, FORECAST, text[:4096])
    acting = next((s for s in statuses if s.action), None)
    if acting is not None:
        return condition("WithinBudget", True, "ActionsInForce", acting.message)
    return condition("WithinBudget", True, "WithinBudgets")


def _age_seconds(status: BudgetStatus, now: datetime) -> float:
    until = min(now, status.period_end) if status.period_end is not None else now
    return (until - (status.usage.accounted_until or status.period_start)).total_seconds()


def budget_events(
    value: ConditionValue | None,
    conditions: tuple[Condition, ...],
    before: tuple[BudgetStatus, ...],
    after: tuple[BudgetStatus, ...],
) -> tuple[EventNote, ...]:
    """What is news: a budget that will be, or is exhausted; an action that is taken or taken back.

    Args:
        value: The condition `WithinBudget` as it is now.
        conditions: As they were written last.
        before: The budgets as they were written last.
        after: The budgets now.
    """
    notes: list[EventNote] = []
    last = next((c for c in conditions if c.type == "WithinBudget"), None)
    if value is not None and value.reason in ("Exhausted", FORECAST) and (last is None or last.reason != value.reason):
        notes.append(EventNote(reason=f"Budget{value.reason}", message=value.message[:1024], warning=True))
    known = {b.name: b.action for b in before}
    for status in after:
        if status.action != known.get(status.name, ""):
            word = "BudgetAction" if status.action else "BudgetActionsEnded"
            notes.append(EventNote(reason=word, message=status.message))
    return tuple(notes)
