"""How fast a replica serves, as measured: by size of the dynamic batch, or by tokens for a language model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchProfile:
    """A replica that serves requests in dynamic batches (Triton's batcher, TorchServe, TensorFlow Serving).

    An idle instance takes what waits, up to `max_batch` requests, and executes it as one batch.
    """

    batches: tuple[int, ...]
    """Sizes that were measured, ascending. Between them time is interpolated; beyond the last, throughput is that of
    the last: a batch of twice the size takes twice as long."""
    seconds: tuple[float, ...]
    """Mean time of one execution at each size."""
    max_batch: int = 1
    """Most requests in an execution."""
    queue_delay_seconds: float = 0.0
    """How long the batcher may hold requests back to fill a batch."""
    instances: int = 1
    """Executions at the same time in one replica, each as fast as measured."""
    variability: float = 1.0
    """Squared coefficient of variation of an execution's time; 1 (exponential) is on the safe side."""
    tail_ratio: float = 1.0
    """The target's percentile of an execution's time over its mean."""


@dataclass(frozen=True)
class TokenProfile:
    """A replica that serves a language model with continuous batching; its latency target is time to first token.

    Prompts are prefilled one after another, before decoding goes on; each request then holds one of `max_batch` slots
    until its last token.
    """

    prefill_seconds: float
    """Mean prefill time of a request: of the prompts that arrive, not of one prompt of mean length."""
    prefill_tail_seconds: float
    """The target's percentile of it, over the prompts that arrive."""
    prefill_variability: float
    """Squared coefficient of variation of it, over the prompts that arrive."""
    decode_batches: tuple[int, ...]
    """Numbers of sequences decoded together that were measured, ascending."""
    token_seconds: tuple[float, ...]
    """Time of one decoding step at each of them: each sequence gets one token."""
    tokens_per_request: float
    """Mean number of tokens generated for a request."""
    max_batch: int
    """Slots: most sequences at a time."""


Profile = BatchProfile | TokenProfile
