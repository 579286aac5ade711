"""Elastic training: jobs whose scale and batch may change while they run, on a cluster of nodes with GPUs."""
