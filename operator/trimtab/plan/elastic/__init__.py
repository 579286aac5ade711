"""Elastic training jobs: how fast each would be at any scale, and who gets how much of a cluster."""
