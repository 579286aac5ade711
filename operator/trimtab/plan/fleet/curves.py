"""Profiles of many ways to serve, stacked into arrays: one row for each, so that thousands are worked out at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.profiles import BatchProfile, Profile, TokenProfile

FloatArray = npt.NDArray[np.float64]
_RELATIVE = 1e-12


@dataclass(frozen=True)
class TimeCurve:
    """Time of one execution (or decoding step) by how many are in it: piecewise linear, one row for each profile."""

    sizes: FloatArray
    """(rows, points), ascending; short rows repeat their last point."""
    seconds: FloatArray
    """(rows, points), never falling along a row."""

    def at(self, size: FloatArray) -> FloatArray:
        """Time at a size for each row (rows,) or several sizes for each row (rows, n)."""
        wide = size if size.ndim == 2 else size[:, None]
        last = self.sizes.shape[1] - 1
        beyond = np.maximum(1.0, wide / self.sizes[:, -1, None])
        if last == 0:
            value = self.seconds * beyond
        else:
            below = (self.sizes[:, None, 1:last] <= wide[:, :, None]).sum(axis=2)
            low, high = np.take_along_axis(self.sizes, below, 1), np.take_along_axis(self.sizes, below + 1, 1)
            at_low, at_high = np.take_along_axis(self.seconds, below, 1), np.take_along_axis(self.seconds, below + 1, 1)
            share = np.minimum(np.maximum((wide - low) / np.maximum(high - low, _RELATIVE), 0.0), 1.0)
            value = (at_low + share * (at_high - at_low)) * beyond
        return value if size.ndim == 2 else value[:, 0]

    def balance(self, rate: FloatArray, most: FloatArray) -> FloatArray:
        """Smallest size k of at least 1 at which `rate` x time(k) = k: what arrives while it executes fills the next.

        Args:
            rate: Arrivals a second at one server (rows,).
            most: Largest size (rows,): taken where no smaller one balances.
        """
        ones, limit = np.ones((len(rate), 1)), most[:, None]
        at_ends = self.at(np.concatenate((ones, limit), axis=1))
        sizes = np.concatenate((ones, np.minimum(self.sizes, limit), limit), axis=1)
        inside = np.where(self.sizes < limit, self.seconds, at_ends[:, 1:])
        excess = rate[:, None] * np.concatenate((at_ends[:, :1], inside, at_ends[:, 1:]), axis=1) - sizes
        keeps_up = excess <= 0.0
        high = np.maximum(1, keeps_up.argmax(axis=1))[:, None]
        before, after = np.take_along_axis(excess, high - 1, 1), np.take_along_axis(excess, high, 1)
        low_size, high_size = np.take_along_axis(sizes, high - 1, 1), np.take_along_axis(sizes, high, 1)
        crosses = (before > 0.0) & (after <= 0.0)
        share = np.where(crosses, before / np.where(crosses, before - after, 1.0), 0.0)
        balanced = (low_size + share * (high_size - low_size))[:, 0]
        return np.asarray(np.where(keeps_up[:, 0], 1.0, np.where(keeps_up.any(axis=1), balanced, most)))


@dataclass(frozen=True)
class Curves:
    """Profiles as arrays (rows,)."""

    execution: TimeCurve
    """Of a batch; for a language model: of one prefill."""
    max_batch: FloatArray
    queue_delay_seconds: FloatArray
    instances: FloatArray
    variability: FloatArray
    tail_ratio: FloatArray
    slots: FloatArray
    """Sequences at a time in a replica; infinite where there is no such limit."""
    decoding: TimeCurve
    """Of one decoding step; all zero where nothing is decoded."""
    tokens: FloatArray
    """Decoded tokens of a request; 0 where nothing is decoded."""

    def __len__(self) -> int:
        return len(self.max_batch)

    def take(self, rows: npt.NDArray[np.intp]) -> "Curves":
        """Some of the rows, in that order."""
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            chosen = TimeCurve(value.sizes[rows], value.seconds[rows]) if isinstance(value, TimeCurve) else value[rows]
            values[item.name] = chosen
        return Curves(**values)


def _stack(curves: Sequence[tuple[Sequence[int], Sequence[float]]], speeds: FloatArray) -> TimeCurve:
    points = max((len(sizes) for sizes, _ in curves), default=1)
    sizes, seconds = np.zeros((len(curves), points)), np.zeros((len(curves), points))
    for row, (at, values) in enumerate(curves):
        if not at or len(at) != len(values) or any(b <= a for a, b in pairwise(at)) or at[0] < 1:
            raise ValueError(f"a profile needs ascending sizes of at least 1, and a time for each; got {at}, {values}")
        if not all(math.isfinite(value) and value >= 0.0 for value in values):
            raise ValueError(f"the times of a profile must be finite and not negative; got {values}")
        rest = points - len(at)
        sizes[row] = (*at, *(at[-1],) * rest)
        seconds[row] = (*values, *(values[-1],) * rest)
    return TimeCurve(sizes, np.maximum.accumulate(seconds, axis=1) / speeds[:, None])


def stack(profiles: Sequence[Profile], speeds: Sequence[float] | None = None) -> Curves:
    """Stack profiles.

    Args:
        profiles: Of one replica each.
        speeds: Real over profiled speed, for each; all 1 unless given.

    Raises:
        ValueError: A profile is empty, not ascending, or has times that are no times.
    """
    speed = np.ones(len(profiles)) if speeds is None else np.asarray(speeds, dtype=np.float64)
    batch = [_as_batch(p) for p in profiles]
    tokens = [p if isinstance(p, TokenProfile) else None for p in profiles]

    def column(values: Sequence[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    return Curves(
        execution=_stack([(p.batches, p.seconds) for p in batch], speed),
        max_batch=column([p.max_batch for p in batch]),
        queue_delay_seconds=column([p.queue_delay_seconds for p in batch]),
        instances=column([p.instances for p in batch]),
        variability=column([p.variability for p in batch]),
        tail_ratio=column([p.tail_ratio for p in batch]),
        slots=column([p.max_batch if p else math.inf for p in tokens]),
        decoding=_stack([(p.decode_batches, p.token_seconds) if p else ((1,), (0.0,)) for p in tokens], speed),
        tokens=column([max(0.0, p.tokens_per_request - 1.0) if p else 0.0 for p in tokens]),
    )


def _as_batch(profile: Profile) -> BatchProfile:
    """A language model's prefill is a server that takes prompts one by one."""
    if isinstance(profile, BatchProfile):
        return profile
    ratio = max(1.0, profile.prefill_tail_seconds / profile.prefill_seconds) if profile.prefill_seconds > 0.0 else 1.0
    return BatchProfile(
        batches=(1,), seconds=(profile.prefill_seconds,), variability=profile.prefill_variability, tail_ratio=ratio
    )
