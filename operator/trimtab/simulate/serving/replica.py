"""Replicas of the simulation: a classic server with dynamic batching, and a language model with continuous batching.

A replica is a machine of states that the engine drives: `accept` a request, ask when it changes next (`next_seconds`),
and have it change (`step`), which returns the requests whose latency is now known and those that ended.

Language model (the order of vLLM without chunked prefill): prompts are prefilled first come, first served, one at a
time and before any decoding; all sequences then decode together, a step taking the time that was measured for as many.
A sequence holds a slot from the start of its prefill to its last token. The first token comes out of the prefill.
"""

import heapq
import math
from collections.abc import Callable

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, TokenSpeed
from trimtab.simulate.serving.waiting import WaitingQueue

_EPSILON = 1e-9

Finished = list[tuple[int, float]]
"""Requests whose latency is known now, with the part of it that occupies no server."""


class Replica:
    """What both sorts have in common: a life and counters. The subclass has the queue."""

    __slots__ = (
        "busy_seconds", "clock", "counted", "decode_seconds", "draining", "in_flight", "load_to", "option",
        "option_index", "place", "ready", "scheduled", "version",
    )  # fmt: skip

    def __init__(self, option_index: int, option: ServingOption, now: float) -> None:
        self.option_index = option_index
        self.option = option
        self.ready = False
        self.draining = False
        self.version = 0
        """Counts changes: an event of an older version is stale."""
        self.scheduled = math.inf
        """Time of the event that is on the agenda for it."""
        self.place = -1
        """Its place among those that the balancer knows; -1 when it gets no requests."""
        self.counted = (now, 0.0, 0.0)
        """Time, busy and decoding seconds up to which it was accounted for."""
        self.clock = now
        self.busy_seconds = 0.0
        """Time spent executing batches (all instances) or prefilling."""
        self.decode_seconds = 0.0
        self.in_flight = 0
        """Requests that it has: waiting, and being served."""
        self.load_to = -1
        """Option that it is loading, to serve in place of its own; -1 when none."""

    def score(self) -> float:
        """What the balancer compares: it does not change between events of the replica."""
        raise NotImplementedError

    def accept(self, now: float, request: int, prefill: float, tokens: int) -> None:
        """Take a request."""
        raise NotImplementedError

    def next_seconds(self) -> float:
        """When the state changes next by itself; infinite when it does not."""
        raise NotImplementedError

    def step(self, now: float) -> tuple[Finished, list[int]]:
        """Change state; returns whose latency is known now, and which requests ended."""
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Count the time that has passed."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Requests that are not being served."""
        raise NotImplementedError

    def change_option(self, index: int, option: ServingOption) -> None:
        """Serve another variant from now on (what is executing ends as it began)."""
        self.option_index, self.option = index, option
        self.load_to = -1

    def utilization_seconds(self) -> float:
        """Time in which it did anything, as a monitor of the device would see it."""
        return self.busy_seconds + self.decode_seconds


class TokenReplica(Replica):
    """Continuous batching: prompts first, one at a time; then all sequences decode together."""

    __slots__ = ("_heap", "_prefill", "_prefill_end", "_progress", "_queue", "_queued_seconds", "_slots", "_steps")

    def __init__(
        self, option_index: int, option: ServingOption, now: float, queue_timeout_seconds: float | None = None
    ) -> None:
        super().__init__(option_index, option, now)
        self._queue: WaitingQueue[tuple[int, float, int]] = WaitingQueue(queue_timeout_seconds)
        self._queued_seconds = 0.0
        """Prefill of those that are still in time: a new request waits for these only."""
        self._prefill: tuple[int, float, int] | None = None
        self._prefill_end = math.inf
        self._heap: list[tuple[float, int]] = []
        """Sequences being decoded, by the progress at which they end."""
        self._progress = 0.0
        """Steps decoded so far: each sequence gets a token a step."""
        self._set_speed(option)

    def _set_speed(self, option: ServingOption) -> None:
        assert isinstance(option.speed, TokenSpeed)
        self._steps = option.speed.table()
        self._slots = option.speed.max_batch

    def change_option(self, index: int, option: ServingOption) -> None:
        """See `Replica`."""
        super().change_option(index, option)
        self._set_speed(option)

    def score(self) -> float:
        """When its prefills are done, and a slot is free; replicas that are free now come first, by their sequences."""
        if self._prefill is None and len(self._heap) < self._slots:
            return -1.0 + len(self._heap) / self._slots
        free_at = self._queued_seconds + (self._prefill_end if self._prefill is not None else self.clock)
        excess = len(self._heap) + self._queue.in_time + (self._prefill is not None) + 1 - self._slots
        if excess > 0 and self._heap:
            # It must wait for sequences to end: about as long as their share of the rest of the longest one.
            left = max(self._heap[0][0], self._heap[-1][0]) - self._progress
            free_at += excess / len(self._heap) * left * self._steps[len(self._heap)]
        return free_at

    def accept(self, now: float, request: int, prefill: float, tokens: int) -> None:
        """See `Replica`."""
        self.advance(now)
        self._queue.push(now, (request, prefill, tokens))
        self._queued_seconds += prefill
        self.in_flight += 1
        self._begin(now)

    def _begin(self, now: float) -> None:
        if self._prefill is not None or len(self._heap) >= self._slots:
            return
        self._queued_seconds -= sum(prefill for _, prefill, _ in self._queue.expire(now))
        if self._queue:
            self._prefill, in_time = self._queue.pop()
            self._queued_seconds -= self._prefill[1] if in_time else 0.0
            self._prefill_end = now + self._prefill[1]

    def next_seconds(self) -> float:
        """See `Replica`."""
        if self._prefill is not None:
            return self._prefill_end
        if self._heap:
            left = max(self._heap[0][0] - self._progress, 0.0)
            return self.clock + left * self._steps[len(self._heap)]
        return math.inf

    def step(self, now: float) -> tuple[Finished, list[int]]:
        """See `Replica`."""
        self.advance(now)
        finished: Finished = []
        ended: list[int] = []
        if self._prefill is not None:
            if now >= self._prefill_end - _EPSILON:
                request, _, tokens = self._prefill
                finished.append((request, 0.0))
                self._prefill, self._prefill_end = None, math.inf
                if tokens > 1:
                    heapq.heappush(self._heap, (self._progress + tokens - 1, request))
                else:
                    ended.append(request)
        else:
            while self._heap and self._heap[0][0] <= self._progress + 1e-6:
                ended.append(heapq.heappop(self._heap)[1])
        self.in_flight -= len(ended)
        self._begin(now)
        return finished, ended

    def advance(self, now: float) -> None:
        """See `Replica`."""
        passed = now - self.clock
        if passed > 0:
            if self._prefill is not None:
                self.busy_seconds += passed
            elif self._heap:
                self.decode_seconds += passed
                self._progress += passed / self._steps[len(self._heap)]
        self.clock = now

    def waiting(self) -> int:
        """See `Replica`."""
        return len(self._queue)


class BatchReplica(Replica):
    """Dynamic batching: an idle instance takes what waits, up to the largest batch, and executes it as one."""

    __slots__ = ("_delay", "_executing", "_factor", "_instances", "_most", "_overhead", "_queue", "_times")

    def __init__(
        self,
        option_index: int,
        option: ServingOption,
        now: float,
        factor: Callable[[], float],
        queue_timeout_seconds: float | None = None,
    ) -> None:
        super().__init__(option_index, option, now)
        self._queue: WaitingQueue[int] = WaitingQueue(queue_timeout_seconds)
        self._executing: list[tuple[float, int, list[int]]] = []
        self._factor = factor
        self._set_speed(option)

    def _set_speed(self, option: ServingOption) -> None:
        assert isinstance(option.speed, BatchSpeed)
        self._times = option.speed.table()
        self._most = option.speed.max_batch
        self._instances = option.speed.instances
        self._delay = option.speed.queue_delay_seconds
        self._overhead = option.speed.overhead_seconds

    def change_option(self, index: int, option: ServingOption) -> None:
        """See `Replica`."""
        super().change_option(index, option)
        self._set_speed(option)

    def score(self) -> float:
        """See `Replica`."""
        # Time to work off what it has, at the speed of full batches.
        return (self.in_flight + 1) * self._times[self._most] / (self._most * self._instances)

    def accept(self, now: float, request: int, prefill: float, tokens: int) -> None:
        """See `Replica`."""
        self.advance(now)
        self._queue.push(now, request)
        self.in_flight += 1
        self._begin(now)

    def _begin(self, now: float) -> None:
        while self._queue and len(self._executing) < self._instances:
            self._queue.expire(now)
            full, oldest = len(self._queue) >= self._most, self._queue.oldest_arrival
            if not full and oldest is not None and now < oldest + self._delay - _EPSILON:
                return
            size = min(len(self._queue), self._most)
            batch = [self._queue.pop()[0] for _ in range(size)]
            end = now + self._times[size] * self._factor()
            heapq.heappush(self._executing, (end, batch[0], batch))

    def next_seconds(self) -> float:
        """See `Replica`."""
        ends = self._executing[0][0] if self._executing else math.inf
        oldest = self._queue.oldest_arrival
        if oldest is not None and len(self._executing) < self._instances:
            return min(ends, oldest + self._delay)
        return ends

    def step(self, now: float) -> tuple[Finished, list[int]]:
        """See `Replica`."""
        self.advance(now)
        finished: Finished = []
        while self._executing and self._executing[0][0] <= now + _EPSILON:
            _, _, batch = heapq.heappop(self._executing)
            finished.extend((request, self._overhead) for request in batch)
        self.in_flight -= len(finished)
        self._begin(now)
        return finished, [request for request, _ in finished]

    def advance(self, now: float) -> None:
        """See `Replica`."""
        self.busy_seconds += max(now - self.clock, 0.0) * len(self._executing) / self._instances
        self.clock = now

    def waiting(self) -> int:
        """See `Replica`."""
        return len(self._queue)
