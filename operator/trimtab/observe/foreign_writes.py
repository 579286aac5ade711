"""Who else writes the fields of children that trimtab decides: read from `metadata.managedFields`, and remembered.

An apply of trimtab takes a field back, and with it the trace that somebody else had set it. So what was seen is kept
for a while: one edit by hand is put right in silence, but two writers that go on and on are a conflict.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trimtab.plan.snapshot import ForeignWrite

OWN_MANAGER: Final = "trimtab"
_ANY_CONTAINER: Final = "k:*"
_CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", _ANY_CONTAINER)
_TEMPLATE = (
    (*_CONTAINER, "f:resources"),
    (*_CONTAINER, "f:image"),
    ("f:spec", "f:template", "f:spec", "f:nodeSelector"),
)
DEPLOYMENT_FIELDS: Final = (("f:spec", "f:replicas"), *_TEMPLATE)
JOB_FIELDS: Final = (("f:spec", "f:suspend"), ("f:spec", "f:parallelism"), ("f:spec", "f:completions"), *_TEMPLATE)
_MOST_TIMES, _MOST_OBJECTS = 8, 20_000


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """A manager other than trimtab holds a field since some time."""

    manager: str
    field: str
    time: datetime


def foreign_fields(metadata: dict[str, Any], fields: Iterable[tuple[str, ...]]) -> tuple[FieldWrite, ...]:
    """The fields of an object that others hold.

    Args:
        metadata: Of the object.
        fields: The fields to look for, as paths in `fieldsV1`.
    """
    wanted, found = tuple(fields), list[FieldWrite]()
    for entry in metadata.get("managedFields") or ():
        manager, at = entry.get("manager", ""), entry.get("time")
        if manager == OWN_MANAGER or not at:
            continue
        names = {name for path in wanted for name in _matches(entry.get("fieldsV1") or {}, path)}
        found += [FieldWrite(manager, name, datetime.fromisoformat(at)) for name in sorted(names)]
    return tuple(found)


def _matches(held: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if not path:
        yield ""
        return
    first, rest = path[0], path[1:]
    if first == _ANY_CONTAINER:
        for key, inside in held.items():
            if key.startswith("k:"):
                yield from _matches(inside, rest)
    elif first in held:
        name = first.removeprefix("f:")
        for tail in _matches(held[first], rest):
            yield f"{name}.{tail}" if tail else name


class WriteMemory:
    """What others were seen to write, by uid of the child. Not thread-safe: the cache that holds it is."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, dict[tuple[str, str], tuple[datetime, ...]]] = OrderedDict()

    def note(self, uid: str, writes: Iterable[FieldWrite]) -> None:
        """Take up what an object's managedFields say now."""
        for write in writes:
            known = self._seen.setdefault(uid, {})
            key = (write.manager, write.field)
            times = known.get(key, ())
            if write.time not in times:
                known[key] = tuple(sorted((*times, write.time)))[-_MOST_TIMES:]
            self._seen.move_to_end(uid)
        while len(self._seen) > _MOST_OBJECTS:
            self._seen.popitem(last=False)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._seen.pop(uid, None)

    def all(self) -> dict[str, tuple[ForeignWrite, ...]]:
        """Everything, by uid."""
        return {
            uid: tuple(ForeignWrite(manager=m, field=f, times=times) for (m, f), times in sorted(known.items()))
            for uid, known in self._seen.items()
        }
