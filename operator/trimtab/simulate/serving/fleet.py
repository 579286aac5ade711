"""The replicas of a run: starting, switching, draining and retiring them, the balancer, and what they cost."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from trimtab.simulate.inputs.profiles import ServingOption, TokenSpeed
from trimtab.simulate.serving.policy import Desired
from trimtab.simulate.serving.replica import BatchReplica, Replica, TokenReplica

FloatArray = npt.NDArray[np.float64]

CHANGE, READY, LOADED = 0, 1, 2
"""Kinds of events: a replica's own next change; it begins to serve; it has loaded another variant."""

Event = tuple[float, int, int, int, Replica]
"""Time, number (for a stable order), kind, version of the replica, replica."""


class Ledger:
    """Money, energy and replica time by control interval."""

    def __init__(self, intervals: int, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self.usd = np.zeros(intervals)
        self.joules = np.zeros(intervals)
        self.replica_seconds = np.zeros(intervals)
        self.index = 0
        """The interval that is being filled; what comes after the last is not accounted for."""

    def add(self, replica: Replica, now: float) -> None:
        """Account for a replica up to now, within the present interval."""
        then, busy, decode = replica.counted
        replica.counted = (now, replica.busy_seconds, replica.decode_seconds)
        if self.index >= len(self.usd):
            return
        held, option = now - then, replica.option
        self.usd[self.index] += held * option.usd_per_hour / 3600.0
        self.replica_seconds[self.index] += held
        self.joules[self.index] += (
            held * option.idle_watts
            + (replica.busy_seconds - busy) * (option.busy_watts - option.idle_watts)
            + (replica.decode_seconds - decode) * (option.decode_watts - option.idle_watts)
        )


class Fleet:
    """All replicas of a run.

    A replica is paid for from the decision that starts it until it has drained. Fewer replicas: those that are still
    starting go first, then those with the fewest requests; they take no more requests and end when they are empty. Of
    a change from one option to another, the old replicas go when the new ones are ready (make before break). Where a
    running replica can load the new variant (same hardware and units), it does, and serves its own until then.
    """

    def __init__(
        self,
        options: Sequence[ServingOption],
        ledger: Ledger,
        seed: int,
        queue_timeout_seconds: float | None = None,
    ) -> None:
        self._queue_timeout_seconds = queue_timeout_seconds
        self.options = tuple(options)
        self.ledger = ledger
        self.replicas: list[Replica] = []
        self.serving: list[Replica] = []
        self.scores: list[float] = []
        """Of the serving replicas, in their order."""
        self.central: deque[int] = deque()
        """Requests that wait because no replica serves."""
        self.agenda: list[Event] = []
        self.desired: dict[int, int] = {}
        self.switches = 0
        self._number = 0
        self._factors = _lognormal_factors(np.random.default_rng(seed))

    def apply(self, desired: Desired, now: float, at_once: bool = False) -> None:
        """Want these replicas from now on; `at_once` has new ones serve immediately (how a run begins)."""
        wanted = {index: count for index, count in desired.items() if count > 0}
        if self.desired and set(wanted) != set(self.desired):
            self.switches += 1
        self.desired = wanted
        for index, count in wanted.items():
            missing = count - len(self._of(index))
            for replica in self._convertible(index, missing):
                self._convert(replica, index, now)
                missing -= 1
            for _ in range(missing):
                self._start(index, now, 0.0 if at_once else self.options[index].start_seconds)
        self._shrink(now)

    def _of(self, index: int) -> list[Replica]:
        """Replicas that serve an option, or will."""
        return [
            replica
            for replica in self.replicas
            if not replica.draining and (replica.load_to if replica.load_to >= 0 else replica.option_index) == index
        ]

    def _convertible(self, index: int, missing: int) -> list[Replica]:
        to = self.options[index]
        if missing <= 0 or to.load_seconds <= 0:
            return []
        found: list[Replica] = []
        for other in range(len(self.options)):
            option = self.options[other]
            if other == index or option.hardware != to.hardware or option.units != to.units:
                continue
            surplus = self._of(other)
            surplus = [replica for replica in surplus if replica.load_to < 0]
            found.extend(surplus[: max(len(surplus) - self.desired.get(other, 0), 0)])
        return found[:missing]

    def _convert(self, replica: Replica, index: int, now: float) -> None:
        if not replica.ready:
            self.ledger.add(replica, now)
            replica.change_option(index, self.options[index])
            return
        replica.load_to = index
        self._push(now + self.options[index].load_seconds, LOADED, replica)

    def _start(self, index: int, now: float, seconds: float) -> None:
        option = self.options[index]
        replica: Replica
        if isinstance(option.speed, TokenSpeed):
            replica = TokenReplica(index, option, now, self._queue_timeout_seconds)
        else:
            factor = self._factors(option.speed.variability)
            replica = BatchReplica(index, option, now, factor, self._queue_timeout_seconds)
        self.replicas.append(replica)
        if seconds <= 0:
            self.on_ready(replica, now)
        else:
            self._push(now + seconds, READY, replica)

    def _shrink(self, now: float) -> None:
        """Let go of what is not wanted, as far as what is wanted is there."""
        for index in {replica.option_index for replica in self.replicas} | set(self.desired):
            surplus = len(self._of(index)) - self.desired.get(index, 0)
            if surplus <= 0:
                continue
            pending = any(
                (not replica.ready and replica.option_index != index) or replica.load_to >= 0
                for replica in self.replicas
                if not replica.draining
            )
            own = [replica for replica in self._of(index) if replica.load_to < 0]
            starting = [replica for replica in reversed(own) if not replica.ready]
            running = [] if pending else sorted((r for r in own if r.ready), key=lambda r: r.in_flight)
            for replica in (starting + running)[:surplus]:
                self._drain(replica, now)

    def _drain(self, replica: Replica, now: float) -> None:
        replica.draining = True
        if replica.place >= 0:
            self._leave(replica)
        if replica.in_flight == 0:
            self._retire(replica, now)

    def _leave(self, replica: Replica) -> None:
        del self.serving[replica.place], self.scores[replica.place]
        for place in range(replica.place, len(self.serving)):
            self.serving[place].place = place
        replica.place = -1

    def _retire(self, replica: Replica, now: float) -> None:
        replica.advance(now)
        self.ledger.add(replica, now)
        replica.version += 1
        self.replicas.remove(replica)

    def on_ready(self, replica: Replica, now: float) -> None:
        """A replica begins to serve."""
        if replica.draining:
            return
        replica.advance(now)
        replica.ready = True
        replica.place = len(self.serving)
        self.serving.append(replica)
        self.scores.append(replica.score())
        self._shrink(now)

    def on_loaded(self, replica: Replica, now: float) -> None:
        """A replica has loaded the variant that it was to serve."""
        if replica.draining or replica.load_to < 0:
            return
        replica.advance(now)
        self.ledger.add(replica, now)
        replica.change_option(replica.load_to, self.options[replica.load_to])
        self.touch(replica)
        self._shrink(now)

    def on_ended(self, replica: Replica, now: float) -> None:
        """Requests of a replica ended: one that drains goes when it is empty."""
        if replica.draining and replica.in_flight == 0:
            self._retire(replica, now)

    def touch(self, replica: Replica) -> None:
        """The replica's state has changed: tell the balancer, and put its next change on the agenda."""
        if replica.place >= 0:
            self.scores[replica.place] = replica.score()
        following = replica.next_seconds()
        if following != replica.scheduled:
            replica.scheduled = following
            replica.version += 1
            if following < math.inf:
                self._push(following, CHANGE, replica)

    def account(self, now: float) -> None:
        """Close the present interval."""
        for replica in self.replicas:
            replica.advance(now)
            self.ledger.add(replica, now)
        self.ledger.index += 1

    def _push(self, at: float, kind: int, replica: Replica) -> None:
        self._number += 1
        heapq.heappush(self.agenda, (at, self._number, kind, replica.version, replica))


def _lognormal_factors(rng: np.random.Generator) -> Callable[[float], Callable[[], float]]:
    """Makes, for a squared coefficient of variation, a source of factors with mean 1."""

    def stream(variability: float) -> Iterator[float]:
        sigma = math.sqrt(math.log1p(variability))
        while True:
            yield from np.exp(sigma * rng.standard_normal(4096) - sigma**2 / 2.0).tolist()

    def make(variability: float) -> Callable[[], float]:
        if variability <= 0:
            return lambda: 1.0
        return stream(variability).__next__

    return make
