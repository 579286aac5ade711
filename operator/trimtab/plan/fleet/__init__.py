"""Serving, all workloads together: variant, hardware class and replicas that carry the load for the least."""
