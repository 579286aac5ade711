"""The state of the cluster as last heard of: fed by watch events and by lists, in whatever order they come."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from trimtab.kube.paths import (
    DEPLOYMENTS,
    JOBS,
    NODES,
    OWN,
    PODS,
    SCALED_OBJECTS,
    SCALERS,
    VERTICAL_SCALERS,
    Resource,
)
from trimtab.observe.facts import DeploymentFact, Fact, JobFact, PodFact, Rejected
from trimtab.observe.foreign_writes import WriteMemory
from trimtab.observe.projection import PROJECTORS, object_key, project
from trimtab.observe.result_memory import LastWords, ResultMemory
from trimtab.observe.shelf import Shelf, version_of
from trimtab.plan.snapshot import ForeignWrite

WATCHED: Final[tuple[Resource, ...]] = (*OWN.values(), JOBS, DEPLOYMENTS, PODS, NODES, SCALERS)
"""The resources that the cache holds, to be watched and listed."""
LISTED: Final[tuple[Resource, ...]] = (SCALED_OBJECTS, VERTICAL_SCALERS)
"""Resources of others, which may not be there, or come later: they are listed now and then, and not watched."""


@dataclass(frozen=True)
class ClusterView:
    """All that the cache held at one instant, in order of key."""

    facts: dict[str, tuple[Fact, ...]]
    """By plural name."""
    rejected: tuple[Rejected, ...]
    words: dict[str, LastWords]
    """What ended pods said, by uid of their Job."""
    writes: dict[str, tuple[ForeignWrite, ...]] = field(default_factory=dict)
    """What others write of the children, by uid of the child."""


class ClusterCache:
    """Projections of the watched objects. Thread-safe: events come from the event loop, the worker of the pass reads.

    Events of one object come in order; a list may be older than events that came before it. The newest state wins.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shelves = {plural: Shelf() for plural in PROJECTORS}
        self._heard_at: dict[str, datetime] = {}
        self._memory = ResultMemory()
        self._writes = WriteMemory()

    def put(self, resource: Resource, raw: dict[str, Any], at: datetime | None = None) -> bool:
        """Take up an object from a watch event (added or modified).

        Args:
            resource: The resource that it is of.
            raw: The object as the API server sent it.
            at: When it came, for `staleness`.

        Returns:
            Whether anything that trimtab looks at is different now.
        """
        plural = resource.plural
        fact = project(plural, raw)
        with self._lock:
            self._heard(plural, at)
            self._note(plural, fact)
            return self._shelves[plural].put(raw["metadata"]["uid"], version_of(raw), object_key(raw), fact)

    def remove(
        self, resource: Resource, uid: str, last: dict[str, Any] | None = None, at: datetime | None = None
    ) -> bool:
        """Take an object out after a deletion event.

        Args:
            resource: The resource that it was of.
            uid: Its uid.
            last: The object as the event carries it: a pod's last words are kept from it.
            at: When the event came, for `staleness`.

        Returns:
            Whether it had been there.
        """
        plural = resource.plural
        fact = project(plural, last) if last is not None else None
        with self._lock:
            self._heard(plural, at)
            self._note(plural, fact)
            self._writes.forget(uid)
            return self._shelves[plural].remove(uid, version_of(last) if last is not None else 0)

    def clear(self, resource: Resource, at: datetime | None = None) -> bool:
        """The API server does not serve the resource: there are no objects of it.

        Returns:
            Whether there had been.
        """
        with self._lock:
            self._heard(resource.plural, at)
            return self._shelves[resource.plural].clear()

    def replace(
        self,
        resource: Resource,
        raws: Iterable[dict[str, Any]],
        list_resource_version: str,
        at: datetime | None = None,
    ) -> bool:
        """Take up a whole list: what it no longer has is gone, unless it is newer than the list.

        Returns:
            Whether anything that trimtab looks at is different now.
        """
        plural, raws = resource.plural, list(raws)
        shelf = self._shelves[plural]
        with self._lock:
            known = shelf.versions()
        # Projecting is the slow part: outside the lock, and only what is new.
        listed = {raw["metadata"]["uid"]: raw for raw in raws}
        facts = {
            uid: project(plural, raw)
            for uid, raw in listed.items()
            if known.get(uid, -1) < version_of(raw) or not version_of(raw)
        }
        with self._lock:
            self._heard(plural, at)
            for fact in facts.values():
                self._note(plural, fact)
            fresh = [(uid, version_of(listed[uid]), object_key(listed[uid]), fact) for uid, fact in facts.items()]
            return shelf.replace(listed.keys(), fresh, int(list_resource_version or 0))

    def get(self, resource: Resource, key: str) -> Fact | None:
        """The object of that key (`namespace/name`, or a cluster-scoped one's name); None when unknown or rejected."""
        with self._lock:
            fact = self._shelves[resource.plural].get(key)
        return None if isinstance(fact, Rejected) else fact

    def all(self, resource: Resource) -> tuple[Fact, ...]:
        """All readable objects of a resource, in order of key."""
        with self._lock:
            facts = self._shelves[resource.plural].all()
        return tuple(fact for fact in facts if not isinstance(fact, Rejected))

    def view(self) -> ClusterView:
        """Everything at one instant."""
        with self._lock:
            shelves = {plural: shelf.all() for plural, shelf in self._shelves.items()}
            words, writes = self._memory.all(), self._writes.all()
        return ClusterView(
            facts={
                plural: tuple(fact for fact in facts if not isinstance(fact, Rejected))
                for plural, facts in shelves.items()
            },
            rejected=tuple(fact for facts in shelves.values() for fact in facts if isinstance(fact, Rejected)),
            words=words,
            writes=writes,
        )

    def rejected(self) -> tuple[Rejected, ...]:
        """Objects that could not be read, each with what is wrong with it."""
        return self.view().rejected

    def synced(self) -> bool:
        """Whether every resource has been listed once: before that, what is missing may just not have come yet."""
        with self._lock:
            return all(shelf.listed for shelf in self._shelves.values())

    def staleness(self, now: datetime) -> dict[str, float]:
        """Seconds since each resource was last heard of, by plural name; infinite for one never heard of."""
        with self._lock:
            heard = dict(self._heard_at)
        return {
            plural: (now - heard[plural]).total_seconds() if plural in heard else float("inf") for plural in PROJECTORS
        }

    def _heard(self, plural: str, at: datetime | None) -> None:
        if at is not None:
            self._heard_at[plural] = max(at, self._heard_at.get(plural, at))

    def _note(self, plural: str, fact: Fact | Rejected | None) -> None:
        if plural == PODS.plural and isinstance(fact, PodFact):
            self._memory.note(fact)
        elif isinstance(fact, JobFact | DeploymentFact) and fact.foreign:
            self._writes.note(fact.state.uid if isinstance(fact, JobFact) else fact.uid, fact.foreign)
