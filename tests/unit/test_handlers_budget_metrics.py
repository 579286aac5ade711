"""Budgets as metrics: what alerts ask for."""

from prometheus_client import CollectorRegistry

from tests.unit.test_plan_budget_orders import capped, spent, trains, world
from trimtab.handlers.budget_metrics import BudgetMetrics
from trimtab.plan.planner import plan


def test_a_budget_that_will_not_last_is_published_and_one_that_is_gone_is_not() -> None:
    registry = CollectorRegistry()
    metrics = BudgetMetrics(registry)
    decided = plan(world(spent(capped("10"), 9.5), training=(trains(),)))
    metrics.publish(decided)
    labels = {"policy_namespace": "demo", "policy": "cap", "budget": "month"}
    (status,) = decided.policies[0].budgets
    assert status.forecast_exhaustion is not None
    assert registry.get_sample_value("trimtab_budget_spent_ratio", labels) == status.spent / 10.0
    at = registry.get_sample_value("trimtab_budget_exhaustion_timestamp_seconds", labels)
    assert at == status.forecast_exhaustion.timestamp()
    assert registry.get_sample_value("trimtab_budget_forecast_ratio", labels) is not None
    metrics.publish(plan(world(training=(trains(),))))
    assert registry.get_sample_value("trimtab_budget_spent_ratio", labels) is None
