"""A small discrete-event simulation of replicas with dynamic batching: what the latency formulas are held against."""

import heapq

import numpy as np
import numpy.typing as npt

from trimtab.plan.fleet.profiles import BatchProfile

FloatArray = npt.NDArray[np.float64]


def simulate(
    profile: BatchProfile, requests_per_second: float, replicas: int, pooled: bool, requests: int, seed: int
) -> FloatArray:
    """Latencies of Poisson arrivals; execution times are gamma-distributed with the profile's variability.

    The first tenth is left out: the queue starts empty.
    """
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0 / requests_per_second, requests))
    sent_to = rng.integers(0, replicas, requests)
    queues: list[list[int]] = [[] for _ in range(replicas)]
    load, busy = [0] * replicas, [False] * replicas
    events: list[tuple[float, int, list[int]]] = []
    latency = np.zeros(requests)

    def begin(replica: int, now: float) -> None:
        size = min(profile.max_batch, len(queues[replica]))
        batch, queues[replica] = queues[replica][:size], queues[replica][size:]
        seconds = float(np.interp(size, profile.batches, profile.seconds))
        if profile.variability > 0.0:
            seconds = float(rng.gamma(1.0 / profile.variability, seconds * profile.variability))
        busy[replica] = True
        heapq.heappush(events, (now + seconds, replica, batch))

    def end() -> None:
        now, replica, batch = heapq.heappop(events)
        for request in batch:
            latency[request] = now - arrivals[request]
        load[replica] -= len(batch)
        busy[replica] = False
        if queues[replica]:
            begin(replica, now)

    for i, now in enumerate(arrivals.tolist()):
        while events and events[0][0] <= now:
            end()
        replica = min(range(replicas), key=load.__getitem__) if pooled else int(sent_to[i])
        queues[replica].append(i)
        load[replica] += 1
        if not busy[replica]:
            begin(replica, now)
    while events:
        end()
    return latency[requests // 10 :]
