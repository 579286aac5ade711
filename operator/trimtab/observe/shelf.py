"""The objects of one resource, kept at their newest state whatever order lists and events come in."""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from trimtab.observe.facts import Fact, Rejected

_MOST_TOMBSTONES = 50_000
_UNKNOWN_VERSION = 2**63

Kept = Fact | Rejected


def version_of(raw: dict[str, Any]) -> int:
    """The resourceVersion of an object as a number; 0 when it has none."""
    return int(raw["metadata"].get("resourceVersion") or 0)


@dataclass(slots=True)
class _Entry:
    version: int
    key: str
    fact: Kept | None
    """None: seen, but not trimtab's business; kept for its version, so that an older state cannot come back."""


class Shelf:
    """Objects by uid. Not thread-safe: the cache that holds it is.

    An object that is missing here is known to be gone when a list at its version or later lacked it, or when it was
    removed.
    """

    def __init__(self) -> None:
        self.listed = False
        self._listed_version = 0
        self._entries: dict[str, _Entry] = {}
        self._uids: dict[str, str] = {}
        self._tombstones: OrderedDict[str, int] = OrderedDict()

    def put(self, uid: str, version: int, key: str, fact: Kept | None) -> bool:
        """Take up the state of an event, unless something newer is known; tells whether the object's fact changed."""
        gone = uid not in self._entries and 0 < version <= self._listed_version
        return False if gone else self._store(uid, version, key, fact)

    def remove(self, uid: str, version: int = 0) -> bool:
        """Take an object out for good; `version` is that of its deletion, where known."""
        entry = self._entries.pop(uid, None)
        if entry is not None and self._uids.get(entry.key) == uid:
            del self._uids[entry.key]
        self._bury(uid, max(version, entry.version if entry else 0) or _UNKNOWN_VERSION)
        return entry is not None and entry.fact is not None

    def replace(
        self, uids: Collection[str], fresh: Iterable[tuple[str, int, str, Kept | None]], list_version: int
    ) -> bool:
        """Take up a list: all its uids, the facts of those that are new to this shelf, and the version of the list."""
        if list_version < self._listed_version:
            return False
        changed = False
        for uid, version, key, fact in fresh:
            changed |= self._store(uid, version, key, fact)
        present = frozenset(uids)
        for uid in [u for u, entry in self._entries.items() if u not in present and entry.version <= list_version]:
            changed |= self.remove(uid)
        for uid in [u for u, version in self._tombstones.items() if u not in present and version <= list_version]:
            del self._tombstones[uid]
        self._listed_version, self.listed = list_version, True
        return changed

    def clear(self) -> bool:
        """The resource itself is not there (any more): nothing of it is. Tells whether anything was."""
        had = any(entry.fact is not None for entry in self._entries.values())
        self._entries.clear()
        self._uids.clear()
        self._tombstones.clear()
        self._listed_version, self.listed = 0, True
        return had

    def get(self, key: str) -> Kept | None:
        """What is kept of the object of that key."""
        uid = self._uids.get(key)
        return self._entries[uid].fact if uid is not None else None

    def all(self) -> tuple[Kept, ...]:
        """What is kept, in order of key."""
        facts = (self._entries[self._uids[key]].fact for key in sorted(self._uids))
        return tuple(fact for fact in facts if fact is not None)

    def versions(self) -> dict[str, int]:
        """The version of each object, by uid."""
        return {uid: entry.version for uid, entry in self._entries.items()}

    def _store(self, uid: str, version: int, key: str, fact: Kept | None) -> bool:
        if uid in self._tombstones:
            return False
        known = self._entries.get(uid)
        if known is not None and 0 < version <= known.version:
            return False
        namesake = self._uids.get(key, uid)
        if namesake != uid:
            # Two objects cannot share a name: the older one was deleted unseen.
            if 0 < version < self._entries[namesake].version:
                return False
            self.remove(namesake)
        self._entries[uid] = _Entry(version, key, fact)
        self._uids[key] = uid
        return fact != (known.fact if known is not None else None)

    def _bury(self, uid: str, version: int) -> None:
        self._tombstones[uid] = version
        self._tombstones.move_to_end(uid)
        while len(self._tombstones) > _MOST_TOMBSTONES:
            self._tombstones.popitem(last=False)
