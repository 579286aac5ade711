"""Elastic data-parallel training: constant global batch, exactly-once work, resumable with another world size."""
