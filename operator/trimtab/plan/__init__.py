"""Decides: Snapshot in, Plan out. Pure: no clock, no network, no Kubernetes client, no global state."""
