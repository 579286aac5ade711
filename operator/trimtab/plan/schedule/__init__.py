"""Training over time: which jobs run in which slot, on what, with how many replicas, for the least cost and carbon."""
