"""Runs a budget over simulated time, each suspension judged with hindsight."""

from trimtab.simulate.budgets.hindsight import JudgedReplay
from trimtab.simulate.budgets.replay import BudgetResult, BudgetRun


def run_budget(options: BudgetRun) -> BudgetResult:
    """Simulate.

    Raises:
        ValueError: The limit is not above zero.
    """
    if not options.limit > 0.0:
        raise ValueError(f"the limit is {options.limit}; give a number above 0")
    return JudgedReplay(options).run()
