"""Serves variants of one model as versions of one Triton model."""
