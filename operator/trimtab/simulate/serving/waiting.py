"""The queue of a replica: first come, first served, and what has waited for too long behind all others.

That is the dynamic batcher's queue policy of Triton with `timeout_action: DELAY` (`ModelQueuePolicy` of Triton's
model_config.proto): a request whose time in the queue is over is moved behind those whose time is not. Where more
arrives than a server can do, serving in order makes every request late; this way, only as many as are too many.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WaitingQueue(Generic[Item]):
    """Requests that wait for a replica, with the time at which each came."""

    __slots__ = ("_fresh", "_late", "_timeout_seconds")

    def __init__(self, timeout_seconds: float | None = None) -> None:
        """An empty queue.

        Args:
            timeout_seconds: Time after which a request goes behind the others; None serves all in order.
        """
        self._timeout_seconds = timeout_seconds
        self._fresh: deque[tuple[float, Item]] = deque()
        self._late: deque[Item] = deque()

    def push(self, arrived: float, item: Item) -> None:
        """Add a request; arrivals do not decrease."""
        self._fresh.append((arrived, item))

    def expire(self, now: float) -> Iterable[Item]:
        """Move those whose time is over behind the others, and return them."""
        limit, fresh = self._timeout_seconds, self._fresh
        if limit is None or not fresh or fresh[0][0] + limit >= now:
            return ()
        moved = []
        while fresh and fresh[0][0] + limit < now:
            moved.append(fresh.popleft()[1])
        self._late.extend(moved)
        return moved

    def pop(self) -> tuple[Item, bool]:
        """Take the next request, and whether it was still in time; `expire` first.

        Raises:
            IndexError: None waits.
        """
        if self._fresh:
            return self._fresh.popleft()[1], True
        return self._late.popleft(), False

    @property
    def in_time(self) -> int:
        """Requests that have not waited for too long."""
        return len(self._fresh)

    @property
    def oldest_arrival(self) -> float | None:
        """When the first of those in time came; None where there are none."""
        return self._fresh[0][0] if self._fresh else None

    def __len__(self) -> int:
        return len(self._fresh) + len(self._late)
