"""Decides for all training workloads together: which run now, on what, with how many replicas, and the plan ahead."""
