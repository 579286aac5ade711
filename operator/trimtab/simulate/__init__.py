"""Replays traces through the planner, with published policies as baselines and the offline optimum as the limit."""
