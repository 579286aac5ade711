"""Policies that scale a serving workload: the planner, published baselines, and the offline optimum."""
