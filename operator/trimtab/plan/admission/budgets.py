"""Whether what a workload spends at least fits into the budgets of its policies at all."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.budget import Budget, BudgetAction, BudgetPeriod
from trimtab.api.common import Rate
from trimtab.api.policy import Mode
from trimtab.plan.admission.findings import Finding, Severity, number, span
from trimtab.plan.policy import applies
from trimtab.plan.snapshot import ObjectMeta, PolicyState, ServingState, TrainingState

_SHORTEST = {
    BudgetPeriod.DAY: timedelta(days=1),
    BudgetPeriod.WEEK: timedelta(days=7),
    BudgetPeriod.MONTH: timedelta(days=28),
}
"""Of each sort the shortest period: what is too much for it is too much for all."""


@dataclass(frozen=True)
class Spending:
    """A way to run, and for how long."""

    class_name: str
    hours: float
    rate: Rate


@dataclass(frozen=True)
class _Account:
    """A budget, and what is left of it in its present period."""

    policy: PolicyState
    budget: Budget
    limit: float
    left: float
    ends: datetime | None
    unit: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"budget {self.budget.name!r} of {self.policy.meta.key}"

    @property
    def holds(self) -> bool:
        """Whether it is enforced to the end: without Suspend, what runs goes on when it is exhausted."""
        return self.policy.spec.mode is Mode.ENFORCE and BudgetAction.SUSPEND in self.budget.actions

    def least(self, ways: Iterable[Spending]) -> Spending:
        """The way that spends least of it."""
        return min(ways, key=lambda way: (self.amount(way), way.class_name))

    def amount(self, way: Spending) -> float:
        """What a way to run spends, in the budget's unit."""
        rate = way.rate
        an_hour = {
            "USD": rate.cost_usd_per_hour,
            "kWh": rate.power_watts / 1000.0,
            "kgCO2e": rate.carbon_grams_per_hour / 1000.0,
        }
        return an_hour[self.unit] * way.hours


def _accounts(policies: Iterable[PolicyState], meta: ObjectMeta) -> Iterator[_Account]:
    for policy in policies:
        if policy.spec.mode is Mode.OFF or not applies(policy, meta):
            continue
        stands = {status.name: status for status in policy.status.budgets}
        for budget in policy.spec.budgets:
            limit, unit = limit_of(budget)
            status = stands.get(budget.name)
            left = limit if status is None else max(0.0, limit + status.carried_over - status.spent)
            yield _Account(policy, budget, limit, left, status.period_end if status else None, unit)


def limit_of(budget: Budget) -> tuple[float, str]:
    """What a budget allows for a period, and in which unit."""
    if budget.cost_usd is not None:
        return budget.cost_usd, "USD"
    if budget.energy_kwh is not None:
        return budget.energy_kwh, "kWh"
    return budget.carbon_kilograms or 0.0, "kgCO2e"


def training_budget_findings(
    state: TrainingState, policies: Iterable[PolicyState], ways: list[Spending]
) -> list[Finding]:
    """The budgets that the rest of the work does not fit into, alone and done as sparingly as possible. What a period
    leaves unused may be carried over, but all periods together have no more than their limits.

    Args:
        state: The workload.
        policies: All policies.
        ways: How the rest of its work could be done, each from now to its end; at least one.
    """
    deadline, findings = state.spec.targets.complete_within, list[Finding]()
    ends = state.meta.created_at + deadline if deadline is not None else None
    for account in _accounts(policies, state.meta):
        way = account.least(ways)
        needed, budget = account.amount(way), account.budget
        periods = _periods_ahead(account, ends)
        available = account.left + periods * account.limit
        spent = f"the rest of the work spends {number(needed)} {account.unit} at least, on {way.class_name}"
        if needed > available * (1 + 1e-9):
            span_of = "" if budget.period is BudgetPeriod.TOTAL else " until its deadline"
            text = (
                f"{spent}: {number(needed - available)} {account.unit} more than the {number(available)} "
                f"{account.unit} that {account.name} has left for it{span_of}"
            )
            right = "; give it less work" + (", a later deadline" if span_of else "") + " or have the budget raised"
            severity = Severity.REFUSE if account.holds else Severity.WARN
            findings.append(Finding("OverBudget", "spec", text + right, severity))
        elif needed > account.left:
            text = f"{spent}, {number(needed - account.left)} {account.unit} more than {account.name} has left now"
            more = math.ceil((needed - account.left) / account.limit)
            after = f"it takes {more} more period{'s' if more > 1 else ''} ({budget.period}) at least"
            findings.append(Finding("OverBudgetNow", "spec", f"{text}: {after}", Severity.WARN))
    return findings


def _periods_ahead(account: _Account, ends: datetime | None) -> float:
    """Periods that begin before the deadline, after the present one."""
    if account.budget.period is BudgetPeriod.TOTAL:
        return 0
    if ends is None or account.ends is None:
        return math.inf  # Without a deadline, or before the account was opened: nothing says that it cannot wait.
    return max(0, math.ceil((ends - account.ends) / _SHORTEST[account.budget.period]))


def serving_budget_findings(
    state: ServingState, policies: Iterable[PolicyState], ways: list[Spending]
) -> list[Finding]:
    """The budgets that the fewest replicas without any load exhaust before a period is over.

    Args:
        state: The workload.
        policies: All policies.
        ways: What these replicas spend in an hour; at least one.
    """
    findings = []
    for account in _accounts(policies, state.meta):
        way, budget = account.least(ways), account.budget
        an_hour = account.amount(way)
        if an_hour <= 0.0:
            continue
        replicas = f"the fewest replicas without any load spend {number(an_hour)} {account.unit} an hour at least"
        if budget.period is BudgetPeriod.TOTAL:
            lasts = span(timedelta(hours=min(account.left / an_hour, 1e6)))
            text = f"{replicas}: {account.name} lasts for {lasts} at most"
            findings.append(Finding("BudgetEnds", "spec.minReplicas", text, Severity.WARN))
            continue
        needed = an_hour * _SHORTEST[budget.period] / timedelta(hours=1)
        if needed > account.limit * (1 + 1e-9):
            text = (
                f"{replicas}, on {way.class_name}; that is {number(needed)} {account.unit} a {budget.period.lower()}, "
                f"{number(needed - account.limit)} {account.unit} more than {account.name} allows: lower minReplicas, "
                "ask for less in spec.resources, or have the budget raised"
            )
            severity = Severity.REFUSE if account.holds else Severity.WARN
            findings.append(Finding("OverBudget", "spec.minReplicas", text, severity))
    return findings
