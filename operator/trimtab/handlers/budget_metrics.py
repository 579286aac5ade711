"""How budgets stand, as metrics: for alerts before one is exhausted."""

from prometheus_client import CollectorRegistry, Gauge

from trimtab.plan.decisions import Plan

_LABELS = ("policy_namespace", "policy", "budget")


class BudgetMetrics:
    """Gauges that are set anew after each pass: a budget that is gone leaves no series behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            name: Gauge(f"trimtab_{name}", text, _LABELS, registry=registry)
            for name, text in (
                ("budget_spent_ratio", "Spent in this period, over the limit"),
                ("budget_forecast_ratio", "Spent at the end of this period by the present plan, over the limit"),
                (
                    "budget_exhaustion_timestamp_seconds",
                    "When the limit is reached by the present plan, before the period ends",
                ),
            )
        }

    def publish(self, plan: Plan) -> None:
        """Set all gauges from one plan."""
        for gauge in self._gauges.values():
            gauge.clear()
        for policy in plan.policies:
            namespace, _, name = policy.key.rpartition("/")
            for budget in policy.budgets:
                if budget.limit <= 0.0:
                    continue
                labels = (namespace, name, budget.name)
                self._gauges["budget_spent_ratio"].labels(*labels).set(budget.spent / budget.limit)
                if budget.forecast_spent is not None:
                    self._gauges["budget_forecast_ratio"].labels(*labels).set(budget.forecast_spent / budget.limit)
                if budget.forecast_exhaustion is not None:
                    at = budget.forecast_exhaustion.timestamp()
                    self._gauges["budget_exhaustion_timestamp_seconds"].labels(*labels).set(at)
