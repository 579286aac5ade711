"""Latency under load, with queueing and dynamic batching, for thousands of ways to serve at once.

A replica executes batches of up to b requests; execution of k of them takes S(k). Three things are counted:

- *Batching finds its own balance.* What arrives while a batch executes makes the next one, so that under load the batch
  grows to the smallest k with `rate x S(k) = k` (Y. Inoue, "Queueing analysis of GPU-based inference servers with
  dynamic batching: a closed-form characterization", Performance Evaluation, 2021).
- *The queue has a tail.* Where batches hold k, the probability of n waiting falls by a factor of exp(-x) for each one
  more, x being the positive root of `x = u (e^x - 1)` with `u = rate x S(k) / k`: the decay rate of the M/D/1 queue,
  and of the bulk-service queue M/D[b]/1 for k = b (N. T. J. Bailey, "On queueing processes with bulk service", Journal
  of the Royal Statistical Society B, 1954). Service times that vary divide x by `1 + k c2`, which is Kingman's
  heavy-traffic limit (J. F. C. Kingman, "The single server queue in heavy traffic", 1961). The quantile of the queue is
  where these decays, added up from the balance on, reach the quantile's probability.
- *Servers share a queue* where the balancer sends a request to the least loaded: then the probability of waiting at
  all is `u^(sqrt(2(m+1)) - 1)` for m servers (H. Sakasegawa, "An approximation formula Lq = a p^b / (1 - p)", Annals of
  the Institute of Statistical Mathematics, 1977), and the wait itself is m times as short (Allen-Cunneen).

For a language model with continuous batching, prefill is such a server with b = 1, and before it stands a second one:
the slots, each held by a request until its last token (a queue with as many servers as there are slots).

Wait and service vary independently: their deviations from the mean add as squares.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.curves import Curves, FloatArray

Pooled = bool | npt.NDArray[np.bool_]
"""Whether the balancer sends a request to the replica that has least to do; if not, at random. Of all rows or each."""

_LEVELS = 9
"""Sizes between the balance and the largest batch at which the decay of the queue is worked out."""
_TINY = 1e-12


def _decay_table() -> tuple[FloatArray, FloatArray]:
    """Positive root x of `x = u (e^x - 1)` by u in (0, 1): from x, as u is explicit in it."""
    x = np.concatenate(([0.0], np.geomspace(1e-9, 60.0, 4000)))
    u = np.concatenate(([1.0], x[1:] / np.expm1(x[1:])))
    return u[::-1].copy(), x[::-1].copy()


_DECAY_U, _DECAY_X = _decay_table()


@dataclass(frozen=True)
class Flow:
    """A load on replicas, seen from one server: (rows,)."""

    servers: FloatArray
    """Servers that share a queue."""
    rate: FloatArray
    """Requests a second at one server."""
    batch: FloatArray
    """Where batching balances."""
    busy: FloatArray
    """Share of time that a server executes, 0..1."""
    full: FloatArray
    """The load over what a server can do with full batches; 1 and above cannot go on."""


def flow(curves: Curves, requests_per_second: FloatArray, replicas: FloatArray, pooled: Pooled) -> Flow:
    """Spread a load over replicas.

    Args:
        curves: The ways to serve.
        requests_per_second: The load of all replicas together (rows,).
        replicas: How many (rows,).
        pooled: The balancer knows which replica has least to do; if not, it sends requests at random.
    """
    rate = requests_per_second / (replicas * curves.instances)
    servers = curves.instances * np.where(pooled, replicas, 1.0)
    gathered = 1.0 + rate * curves.queue_delay_seconds
    balance = curves.execution.balance(rate, curves.max_batch)
    batch = np.minimum(curves.max_batch, np.maximum(balance, gathered))
    busy = np.minimum(1.0, rate * curves.execution.at(batch) / batch)
    full = rate * curves.execution.at(curves.max_batch) / curves.max_batch
    return Flow(servers, rate, batch, busy, full)


def _waiting_share(busy: FloatArray, servers: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(busy, _TINY) ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0))


def _decay(used: FloatArray, batch: FloatArray, variability: FloatArray) -> FloatArray:
    """How fast the probability of a longer queue falls, for each request more; 0 while the queue still grows."""
    return np.asarray(np.interp(used, _DECAY_U, _DECAY_X) / (1.0 + batch * variability))


def _queue_quantile(curves: Curves, at: Flow, needed: FloatArray) -> FloatArray:
    """Requests that a server has before it, at the quantile: where the decay has added up to `needed`."""
    share = np.linspace(0.0, 1.0, _LEVELS)
    sizes = at.batch[:, None] + share * (curves.max_batch - at.batch)[:, None]
    used = at.rate[:, None] * curves.execution.at(sizes) / sizes
    decay = _decay(used, sizes, curves.variability[:, None])
    steps = (sizes[:, 1:] - sizes[:, :-1]) * (decay[:, 1:] + decay[:, :-1]) / 2.0
    length = at.batch.copy()
    left = needed.copy()
    for i in range(_LEVELS - 1):
        part = np.clip(left / np.maximum(steps[:, i], _TINY), 0.0, 1.0)
        length += part * (sizes[:, i + 1] - sizes[:, i])
        left = np.maximum(0.0, left - steps[:, i])
    return length + left / np.maximum(decay[:, -1], _TINY)


def _execution(curves: Curves, at: Flow, quantile: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean time of the own execution, and quantile and mean of the wait for it. Infinite where it cannot keep up."""
    waiting = _waiting_share(at.busy, at.servers)
    tail = 1.0 - quantile
    waits = waiting > tail
    needed = np.where(waits, np.log(np.maximum(waiting / tail, 1.0)), 0.0)
    length = _queue_quantile(curves, at, needed)
    extra = np.maximum(0.0, length - at.batch) / at.servers
    before = np.where(curves.max_batch > 1.0, np.minimum(curves.max_batch, at.batch + extra), 1.0)
    before_seconds = curves.execution.at(before)
    own = np.clip(at.rate * before_seconds, 1.0, curves.max_batch)
    own_seconds = curves.execution.at(np.maximum(own, np.minimum(at.batch, before)))
    residual = np.where(waits, 1.0 - tail / np.maximum(waiting, tail), 0.0) * before_seconds
    backlog = np.maximum(0.0, length - curves.max_batch) / at.servers
    backlog_seconds = backlog * curves.execution.at(curves.max_batch) / curves.max_batch
    wait = np.maximum(residual, (1.0 - 1.0 / curves.max_batch) * residual + backlog_seconds)
    mean_wait = np.where(waits, waiting * wait / np.maximum(needed, _TINY), 0.0)
    impossible = at.full >= 1.0
    return own_seconds, np.where(impossible, np.inf, wait), np.where(impossible, np.inf, np.minimum(mean_wait, wait))


def _sequences(curves: Curves, at: Flow) -> FloatArray:
    """Sequences that a replica decodes at a time, on average; at most as many as there are slots."""
    if not np.isfinite(curves.slots).any():
        return np.zeros_like(at.rate)
    per_token_rate = at.rate * curves.tokens / np.maximum(1.0 - at.busy, 1e-9)
    limit = np.where(np.isfinite(curves.slots), curves.slots, 1.0)
    alone = per_token_rate * curves.decoding.at(np.ones_like(limit))
    return np.asarray(np.where(alone <= 1.0, alone, curves.decoding.balance(per_token_rate, limit)))


def _slots(curves: Curves, at: Flow, quantile: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Quantile and mean of the wait for a slot of a language model; 0 where there are none."""
    has_slots = np.isfinite(curves.slots)
    if not has_slots.any():
        return np.zeros_like(at.rate), np.zeros_like(at.rate)
    limit = np.where(has_slots, curves.slots, 1.0)
    held = _sequences(curves, at) + at.busy
    used = held / limit
    servers = limit * at.servers
    hold_seconds = held / np.maximum(at.rate, _TINY)
    waiting = np.where(has_slots, _waiting_share(np.minimum(used, 1.0), servers), 0.0)
    tail = 1.0 - quantile
    needed = np.log(np.maximum(waiting / tail, 1.0))
    mean_if_waiting = hold_seconds / (servers * np.maximum(1.0 - used, _TINY))
    impossible = has_slots & (used >= 1.0)
    return (
        np.where(impossible, np.inf, needed * mean_if_waiting),
        np.where(impossible, np.inf, np.where(needed > 0.0, waiting * mean_if_waiting, 0.0)),
    )


def latency_seconds(
    curves: Curves, requests_per_second: FloatArray, replicas: FloatArray, quantile: FloatArray, pooled: Pooled
) -> FloatArray:
    """The quantile of a request's latency inside the server; infinite where the load is more than it can do.

    Args:
        curves: The ways to serve (rows).
        requests_per_second: The load of all replicas together (rows,).
        replicas: How many (rows,).
        quantile: Share of requests that are to be faster, below 1 (rows,).
        pooled: Whether the balancer sends a request to the replica that has least to do.
    """
    at = flow(curves, requests_per_second, replicas, pooled)
    own, wait, mean_wait = _execution(curves, at, quantile)
    slot_wait, mean_slot_wait = _slots(curves, at, quantile)
    mean = own + mean_wait + mean_slot_wait
    # Stalls (a CPU quota that is used up, a collection of garbage) lengthen a single execution as much as a full batch.
    stall = curves.execution.at(np.ones_like(own)) * (curves.tail_ratio - 1.0)
    with np.errstate(invalid="ignore"):
        spread = stall**2 + np.maximum(0.0, wait - mean_wait) ** 2 + np.maximum(0.0, slot_wait - mean_slot_wait) ** 2
        total = mean + np.sqrt(spread) + curves.queue_delay_seconds
    return np.asarray(np.where(np.isfinite(mean) & ~np.isnan(total), total, np.inf))


def busy_share(curves: Curves, requests_per_second: FloatArray, replicas: FloatArray, pooled: Pooled) -> FloatArray:
    """Share of time that a replica works, 0..1: a language model also while it decodes (rows,)."""
    at = flow(curves, requests_per_second, replicas, pooled)
    sequences = np.minimum(_sequences(curves, at), np.where(np.isfinite(curves.slots), curves.slots, 0.0))
    return np.asarray(at.busy + (1.0 - at.busy) * -np.expm1(-sequences))


def fewest_replicas(
    curves: Curves,
    requests_per_second: FloatArray,
    bound_seconds: FloatArray,
    quantile: FloatArray,
    pooled: Pooled,
    most: FloatArray,
) -> FloatArray:
    """Fewest replicas whose latency keeps the bound (rows,); infinite where `most` are not enough.

    By bisection: more replicas are never slower.
    """
    low, high = np.zeros(len(curves)), np.maximum(most, 1.0)
    enough = latency_seconds(curves, requests_per_second, high, quantile, pooled) <= bound_seconds
    rows = np.flatnonzero(enough & (high > 1.0))
    while rows.size:
        middle = np.floor((low[rows] + high[rows]) / 2.0)
        middle = np.maximum(middle, 1.0)
        some = curves.take(rows) if rows.size < len(curves) else curves
        shared = pooled[rows] if isinstance(pooled, np.ndarray) else pooled
        fits = latency_seconds(some, requests_per_second[rows], middle, quantile[rows], shared) <= bound_seconds[rows]
        high[rows] = np.where(fits, middle, high[rows])
        low[rows] = np.where(fits, low[rows], middle)
        rows = rows[high[rows] - low[rows] > 1.0]
    return np.asarray(np.where(enough & (most >= 1.0), high, np.inf))
