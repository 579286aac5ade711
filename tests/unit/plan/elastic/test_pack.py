"""Placing jobs on nodes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.elastic.divide import scales
from trimtab.plan.elastic.pack import pack
from trimtab.plan.elastic.placement import ClusterShape, Placement, free_gpus, replicas_of, take_emptiest

SHAPE = ClusterShape(nodes=6, gpus_per_node=4)


@st.composite
def rounds(draw: st.DrawFn) -> list[dict[str, int]]:
    """Counts of jobs over a few rounds, none above the cluster."""
    sizes = scales(SHAPE.gpus, SHAPE.gpus_per_node).tolist()
    found = []
    for _ in range(draw(st.integers(1, 4))):
        counts, left = {}, SHAPE.gpus
        for name in "abcdefghij":
            count = draw(st.sampled_from([size for size in sizes if size <= left]))
            counts[name] = count
            left -= count
        found.append(counts)
    return found


@given(rounds())
def test_every_job_has_its_gpus_on_as_few_nodes_as_hold_it(history: list[dict[str, int]]) -> None:
    before: dict[str, Placement] = {}
    for counts in history:
        placed = pack(counts, before, SHAPE)
        assert {key: replicas_of(placement) for key, placement in placed.items()} == {
            key: count for key, count in counts.items() if count
        }
        free_gpus(SHAPE, placed.values())
        for placement in placed.values():
            assert len(placement) == -(-replicas_of(placement) // SHAPE.gpus_per_node)
            assert max(Counter(node for node, _ in placement).values()) == 1
        before = placed


@given(rounds())
def test_the_same_counts_move_nobody(history: list[dict[str, int]]) -> None:
    before: dict[str, Placement] = {}
    for counts in history:
        before = pack(counts, before, SHAPE)
    assert pack(history[-1], before, SHAPE) == before


def test_only_the_smallest_is_moved_to_make_room() -> None:
    shape = ClusterShape(3, 4)
    before: dict[str, Placement] = {"one": ((0, 1),), "two": ((1, 2),), "four": ((2, 4),)}
    placed = pack({"one": 1, "two": 2, "four": 4, "new": 4}, before, shape)
    assert placed["two"] == before["two"]
    assert placed["four"] == before["four"]
    assert placed["one"] != before["one"]
    assert placed["new"] == ((0, 4),)


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match="25 replicas"):
        pack({"a": 25}, {}, SHAPE)
    with pytest.raises(ValueError, match="node 0 has 4"):
        free_gpus(SHAPE, [((0, 5),)])
    with pytest.raises(ValueError, match="3 are free"):
        take_emptiest([1, 2], 4)


def test_the_emptiest_nodes_are_taken_first() -> None:
    free = [1, 4, 3]
    assert take_emptiest(free, 6) == ((1, 4), (2, 2))
    assert free == [1, 0, 1]


def test_any_counts_find_a_place_though_not_on_few_nodes() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        counts = {}
        left = SHAPE.gpus
        while left:
            count = int(rng.integers(1, left + 1))
            counts[f"job-{len(counts)}"] = count
            left -= count
        placed = pack(counts, {}, SHAPE)
        assert sum(map(replicas_of, placed.values())) == SHAPE.gpus
