"""Budgets over time: how they stand, when they will be exhausted, and who has to do with less so that they hold."""
