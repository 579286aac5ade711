"""Whatever order lists and events come in, the cache ends at the newest state."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.kube.paths import JOBS, NODES, OWN, PODS
from trimtab.observe.cache import LISTED, WATCHED, ClusterCache
from trimtab.observe.facts import NodeFact

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def node(name: str, uid: str, version: int, mark: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": uid, "resourceVersion": str(version), "labels": {"mark": mark}},
        "status": {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(name: str, version: int, *, message: str = "", kind: str = "TrainingWorkload") -> dict[str, Any]:
    terminated = {"terminated": {"exitCode": 0, "message": message, "finishedAt": "2026-11-24T12:00:00Z"}}
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-24T11:00:00Z",
            "labels": {"trimtab.dev/workload": "digits", "trimtab.dev/workload-kind": kind},
            "ownerReferences": [{"uid": "job-1", "controller": True}],
        },
        "status": {"phase": "Running", "containerStatuses": [{"state": terminated if message else {"running": {}}}]},
    }


def names_and_marks(cache: ClusterCache) -> dict[str, str]:
    facts = [fact for fact in cache.all(NODES) if isinstance(fact, NodeFact)]
    return {fact.name: fact.labels["mark"] for fact in facts}


@dataclass
class Server:
    """A small history of a collection, as an API server would have it: every write has its own version."""

    version: int = 0
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    """Not yet delivered, by uid: in order for one object, in any order between objects."""
    lists: list[tuple[list[dict[str, Any]], int]] = field(default_factory=list)

    def write(self, name: str) -> None:
        self.version += 1
        known = self.objects.get(name)
        uid = known["metadata"]["uid"] if known else f"{name}-{self.version}"
        self.objects[name] = node(name, uid, self.version, mark=str(self.version))
        self.events.setdefault(uid, []).append(("MODIFIED" if known else "ADDED", self.objects[name]))

    def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            last = self.objects.pop(name)
            uid = last["metadata"]["uid"]
            gone = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.version)}}
            self.events[uid].append(("DELETED", gone))

    def take_list(self) -> None:
        self.lists.append((list(self.objects.values()), self.version))

    def truth(self) -> dict[str, str]:
        return {name: raw["metadata"]["labels"]["mark"] for name, raw in self.objects.items()}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "delete", "list", "deliver", "deliver", "deliver-list"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 10),
    ),
    max_size=60,
)


def deliver(cache: ClusterCache, server: Server, choice: int, *, with_last: bool) -> None:
    waiting = sorted(uid for uid, events in server.events.items() if events)
    if waiting:
        uid = waiting[choice % len(waiting)]
        kind, raw = server.events[uid].pop(0)
        if kind == "DELETED":
            cache.remove(NODES, uid, raw if with_last else None)
        else:
            cache.put(NODES, raw)


def deliver_list(cache: ClusterCache, server: Server, choice: int = 0) -> None:
    if server.lists:
        raws, version = server.lists.pop(choice % len(server.lists))
        cache.replace(NODES, raws, str(version))


@settings(max_examples=400, deadline=None)
@given(STEPS, st.booleans(), st.booleans())
def test_any_interleaving_of_lists_and_events_ends_in_the_newest_state(
    steps: list[tuple[str, str, int]], with_last: bool, lists_come_last: bool
) -> None:
    server, cache = Server(), ClusterCache()
    newest: dict[str, int] = {}
    for action, name, choice in steps:
        if action == "write":
            server.write(name)
        elif action == "delete":
            server.delete(name)
        elif action == "list":
            server.take_list()
        elif action == "deliver":
            deliver(cache, server, choice, with_last=with_last)
        else:
            deliver_list(cache, server, choice)
        held = {name: int(mark) for name, mark in names_and_marks(cache).items()}
        assert all(mark >= newest.get(name, 0) for name, mark in held.items()), "an older state came back"
        newest |= held

    def all_events() -> None:
        while any(server.events.values()):
            deliver(cache, server, 0, with_last=with_last)

    if not lists_come_last:
        all_events()
    while server.lists:
        deliver_list(cache, server)
    all_events()
    assert names_and_marks(cache) == server.truth()


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_a_list_alone_heals_every_lost_event(steps: list[tuple[str, str, int]]) -> None:
    server, cache = Server(), ClusterCache()
    for action, name, choice in steps:
        if action == "write":
            server.write(name)
        elif action == "delete":
            server.delete(name)
        elif action == "deliver":
            deliver(cache, server, choice, with_last=True)
        else:
            server.events = {uid: [] for uid in server.events}  # the watch broke: these never come
    server.take_list()
    deliver_list(cache, server)
    assert names_and_marks(cache) == server.truth()


def test_an_event_from_before_a_list_does_not_bring_back_what_the_list_lacks() -> None:
    cache = ClusterCache()
    cache.replace(NODES, [], "50")
    assert not cache.put(NODES, node("ghost", "u1", 40))
    assert cache.all(NODES) == ()


def test_a_list_older_than_the_last_one_is_passed_over() -> None:
    cache = ClusterCache()
    cache.replace(NODES, [node("a", "u1", 10)], "20")
    cache.replace(NODES, [], "50")
    assert not cache.replace(NODES, [node("a", "u1", 10), node("b", "u2", 15)], "30")
    assert cache.all(NODES) == ()


def test_a_successor_replaces_its_namesake_before_the_deletion_is_heard_of() -> None:
    cache = ClusterCache()
    cache.put(NODES, node("a", "old", 5, "old"))
    cache.put(NODES, node("a", "new", 9, "new"))
    cache.put(NODES, node("a", "old", 7, "late"))
    assert names_and_marks(cache) == {"a": "new"}
    assert not cache.remove(NODES, "old")
    assert names_and_marks(cache) == {"a": "new"}


def test_a_change_that_nobody_looks_at_is_no_change() -> None:
    cache = ClusterCache()
    assert cache.put(NODES, node("a", "u", 5, "x"))
    assert not cache.put(NODES, node("a", "u", 6, "x"))
    assert cache.put(NODES, node("a", "u", 7, "y"))


def test_the_last_words_of_a_pod_outlive_it_even_when_only_its_deletion_was_seen() -> None:
    cache = ClusterCache()
    stopped = '{"kind":"training","stopped":true,"completedSamples":40,"totalSamples":100}'
    done = '{"kind":"training","completedSamples":100,"totalSamples":100}'
    cache.put(PODS, pod("p", 5))
    cache.remove(PODS, "uid-p", last=pod("p", 6, message=done))
    cache.put(PODS, pod("q", 7, message=stopped))
    assert cache.all(PODS) != ()
    words = cache.view().words["job-1"].training
    assert words is not None
    assert (words.completed_samples, words.stopped) == (100, False)


def test_children_of_others_are_not_kept_and_unreadable_objects_are_set_apart() -> None:
    cache = ClusterCache()
    job = {"metadata": {"name": "other", "namespace": "demo", "uid": "u", "resourceVersion": "3"}}
    assert not cache.put(JOBS, job)
    assert cache.all(JOBS) == ()
    workload = {
        "metadata": {
            "name": "odd", "namespace": "demo", "uid": "w", "resourceVersion": "4",
            "creationTimestamp": "2026-11-24T11:00:00Z",
        },
        "spec": {"model": "digits", "variants": ["fp32"], "targets": {"latency": {"milliseconds": "soon"}}},
    }  # fmt: skip
    assert cache.put(OWN["ServingWorkload"], workload)
    assert cache.all(OWN["ServingWorkload"]) == ()
    (rejected,) = cache.rejected()
    assert (rejected.resource, rejected.key) == ("servingworkloads", "demo/odd")
    assert "spec.targets.latency.milliseconds" in rejected.message


def test_synced_after_every_resource_was_listed_once_and_staleness_since_it_was_heard_of() -> None:
    cache = ClusterCache()
    for resource in (*WATCHED, *LISTED):
        assert not cache.synced()
        cache.replace(resource, [], "1", at=NOW)
    assert cache.synced()
    cache.put(NODES, node("a", "u", 5), at=NOW + timedelta(seconds=20))
    staleness = cache.staleness(NOW + timedelta(seconds=30))
    assert staleness["nodes"] == 10
    assert staleness["pods"] == 30
    assert ClusterCache().staleness(NOW)["pods"] == float("inf")
