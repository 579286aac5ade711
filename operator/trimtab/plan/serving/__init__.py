"""Decides for all serving workloads together: from a Snapshot to the problem of `plan/fleet`, and back to decisions."""
