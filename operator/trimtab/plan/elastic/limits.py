"""How large a batch may be, in all and on each replica."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a job's batch (samples)."""

    initial: int
    """Batch for which the learning rate was tuned; progress is counted in its steps. Smaller ones are not used."""
    maximum: int
    """Largest global batch that still trains well."""
    local_minimum: int
    """Fewest samples that a replica is given for a pass."""
    local_maximum: int
    """Most samples that fit in a replica's memory."""

    @property
    def most_replicas(self) -> int:
        """More than these would have less than the smallest local batch."""
        return self.maximum // self.local_minimum


@dataclass(frozen=True)
class BatchSplit:
    """How a global batch is spread: passes of `local` samples on each replica, gradients summed over `passes`."""

    local: int
    passes: int = 1

    def batch_size(self, replicas: int) -> int:
        """The global batch."""
        return self.local * self.passes * replicas


TOLERANCE = 1e-8
"""Slack of floor and ceiling."""


def split_batch(batch_size: float, replicas: int, limits: BatchLimits) -> BatchSplit:
    """Spreads a global batch over replicas, with gradient accumulation where it does not fit in memory.

    A single replica that trains with more than the initial batch accumulates at least twice: gradient variance cannot
    be told from one pass.
    """
    share = math.ceil(batch_size / replicas - TOLERANCE)
    passes = math.ceil(share / limits.local_maximum - TOLERANCE)
    if replicas == 1 and batch_size > limits.initial:
        passes = max(passes, 2)
    local = math.ceil(share / passes - TOLERANCE)
    return BatchSplit(min(local, limits.maximum // (replicas * passes)), passes)
