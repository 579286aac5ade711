"""How fast, how accurate and how costly a model serves: variants by hardware class, with measured speeds.

Formats: trimtab's own YAML or JSON (`profiles_yaml`), Splitwise's `perf_model.csv` (`profiles_splitwise`), and the CSV
that Triton's Model Analyzer writes (`profiles_triton`). `read_profiles` tells them apart.
"""

from dataclasses import dataclass

import numpy as np

FloatTuple = tuple[float, ...]


@dataclass(frozen=True)
class BatchSpeed:
    """A server that executes requests in dynamic batches: an idle instance takes what waits, up to `max_batch`."""

    batches: tuple[int, ...]
    """Sizes that were measured, ascending."""
    seconds: FloatTuple
    """Mean time of an execution at each size; in between it is interpolated, beyond it grows with the size."""
    max_batch: int
    """Most requests in an execution."""
    queue_delay_seconds: float = 0.0
    """How long the oldest request may be held back to fill a batch."""
    instances: int = 1
    """Executions at the same time, each as fast as measured."""
    variability: float = 0.0
    """Squared coefficient of variation of an execution's time."""
    overhead_seconds: float = 0.0
    """Part of a request's latency that occupies no instance (network, serialization, copies)."""

    def table(self) -> FloatTuple:
        """Mean time of an execution by size of the batch, from 0 to `max_batch`."""
        sizes = np.arange(self.max_batch + 1, dtype=np.float64)
        times = np.interp(sizes, self.batches, self.seconds)
        times = np.where(sizes > self.batches[-1], self.seconds[-1] * sizes / self.batches[-1], times)
        return tuple(times.tolist())


@dataclass(frozen=True)
class TokenSpeed:
    """A server of a language model with continuous batching: prompts are prefilled one after another, before decoding
    goes on; each sequence holds one of `max_batch` slots from its prefill to its last token.
    """

    prompt_tokens: tuple[int, ...]
    """Prompt lengths that were measured, ascending."""
    prefill_seconds: FloatTuple
    """Time to the first token of one prompt at each length; beyond the last it grows along the last segment."""
    decode_batches: tuple[int, ...]
    """Numbers of sequences decoded together that were measured, ascending."""
    token_seconds: FloatTuple
    """Time of one decoding step at each: every sequence gets one token."""
    max_batch: int
    """Slots."""

    def prefill(self, tokens: np.typing.NDArray[np.int64]) -> np.typing.NDArray[np.float64]:
        """Prefill time of prompts of these lengths, in seconds."""
        lengths = tokens.astype(np.float64)
        times = np.interp(lengths, self.prompt_tokens, self.prefill_seconds)
        if len(self.prompt_tokens) > 1:
            slope = (self.prefill_seconds[-1] - self.prefill_seconds[-2]) / (
                self.prompt_tokens[-1] - self.prompt_tokens[-2]
            )
        else:
            slope = self.prefill_seconds[-1] / self.prompt_tokens[-1]
        beyond = np.maximum(lengths - self.prompt_tokens[-1], 0.0)
        longer: np.typing.NDArray[np.float64] = times + slope * beyond
        return longer

    def table(self) -> FloatTuple:
        """Time of a decoding step by number of sequences, from 0 to `max_batch`."""
        counts = np.arange(self.max_batch + 1, dtype=np.float64)
        return tuple(np.interp(counts, self.decode_batches, self.token_seconds).tolist())


Speed = BatchSpeed | TokenSpeed


@dataclass(frozen=True)
class ServingOption:
    """A variant on a hardware class: one way to serve. All figures are of one replica."""

    variant: str
    hardware: str
    accuracy: float
    """0..1."""
    speed: Speed
    usd_per_hour: float
    idle_watts: float
    """Power while it waits."""
    busy_watts: float
    """Power while it executes a batch or prefills."""
    decode_watts: float
    """Power while it decodes; that of `busy_watts` for a classic server."""
    units: float = 1.0
    """Units of the hardware class (accelerators)."""
    start_seconds: float = 60.0
    """From the decision until a new replica serves."""
    load_seconds: float = 0.0
    """From the decision until a running replica of the same hardware and units serves this variant in place of its
    own, without a gap; 0 when that is not possible and new replicas are needed."""

    @property
    def name(self) -> str:
        """Variant and hardware class, for messages."""
        return f"{self.variant} on {self.hardware}"


@dataclass(frozen=True)
class ServingProfiles:
    """The ways to serve, in the order of the file."""

    options: tuple[ServingOption, ...]
    notes: tuple[str, ...] = ()
    """What was assumed or left out, for the report."""

    @property
    def tokens(self) -> bool:
        """Whether requests have prompts and output: all options are of one kind."""
        return isinstance(self.options[0].speed, TokenSpeed)
