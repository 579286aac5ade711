"""Reads the world: the cluster, Prometheus, Triton and carbon sources, into one immutable Snapshot."""
