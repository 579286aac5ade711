"""Replicas fit whole onto nodes: one rule for admission and for the plan."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.admission.test_judge import a_class, codes, fresh, said, shape
from tests.unit.worlds import carbon, job, snapshot
from trimtab.api.common import Resources
from trimtab.api.training import TrainingAction
from trimtab.plan.capacity import Capacity
from trimtab.plan.node_fit import NodePacking, most_replicas, needs_of
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import HardwareState, TrainingState

SIZES = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0]), st.sampled_from([2.0, 6.0, 32.0])),
    min_size=1,
    max_size=3,
    unique_by=lambda size: size[1:],
)
GANGS = st.lists(
    st.tuples(st.sampled_from(["500m", "1", "2", "3"]), st.sampled_from(["1Gi", "3Gi"]), st.integers(1, 4)),
    min_size=1,
    max_size=6,
)


def of_sizes(sizes: list[tuple[int, float, float]]) -> HardwareState:
    return a_class("pool", *(shape(n, cpu=cpu, memory_gib=memory) for n, cpu, memory in sizes))


def asks(cpu: str, memory: str) -> Resources:
    return Resources.model_validate({"cpu": cpu, "memory": memory})


@given(SIZES, GANGS)
def test_gangs_go_whole_onto_nodes_and_no_node_has_more_than_it_holds(
    sizes: list[tuple[int, float, float]], gangs: list[tuple[str, str, int]]
) -> None:
    hardware = of_sizes(sizes)
    packing = NodePacking((hardware,), {})
    cores = memory = 0.0
    for cpu, gib, replicas in gangs:
        room = packing.room("pool", asks(cpu, gib))
        placed = packing.place("pool", asks(cpu, gib), replicas)
        assert placed == (room >= replicas)
        if placed:
            needs = needs_of(asks(cpu, gib), hardware)
            cores, memory = cores + needs["CPU"] * replicas, memory + needs["memory"] * replicas
            assert packing.room("pool", asks(cpu, gib)) == room - replicas
    assert cores <= sum(n * cpu for n, cpu, _ in sizes) + 1e-6
    assert memory <= sum(n * gib for n, _, gib in sizes) * 1024**3 + 1e-3


@given(SIZES, st.sampled_from(["500m", "1", "2", "3"]), st.floats(0.0, 30.0))
def test_the_plan_offers_no_more_replicas_than_fit_onto_nodes(
    sizes: list[tuple[int, float, float]], cpu: str, held: float
) -> None:
    hardware, resources = of_sizes(sizes), asks(cpu, "1Gi")
    capacity = Capacity((hardware,))
    assert capacity.replicas(hardware, resources) <= most_replicas(resources, hardware)
    capacity.take("pool", held)
    assert capacity.replicas(hardware, resources) * resources.cpu <= capacity.left("pool") + 1e-6


def test_nodes_that_are_not_ready_count_for_what_can_ever_fit_and_not_for_what_is_planned() -> None:
    half = shape(2, cpu=4.0).model_copy(update={"ready": 1})
    hardware = a_class("pool", half).model_copy(update={"nodes": 1, "capacity_units": 4.0, "units_per_node": 4.0})
    resources = asks("3", "1Gi")
    assert (most_replicas(resources, hardware), most_replicas(resources, hardware, ready=True)) == (2, 1)
    state = fresh(minReplicas=2, maxReplicas=2, resources={"cpu": "3"})
    world = snapshot(hardware=(hardware,), training=(state,))
    assert plan(world).training[0].action is TrainingAction.WAIT
    assert not codes(said(state, world))[0]


def gang(name: str, replicas: int, cpu: str, **facts: Any) -> TrainingState:
    state = fresh(minReplicas=facts.pop("least", replicas), maxReplicas=replicas, resources={"cpu": cpu},
                  profiles=[{"hardwareClass": "pool", "samplesPerSecond": 1}], **facts)  # fmt: skip
    return state.model_copy(update={"meta": state.meta.model_copy(update={"name": name, "uid": name})})


def test_a_gang_that_would_be_pending_in_part_waits_and_says_why() -> None:
    """Two nodes of three cores: a replica of two runs on each; six cores are no room for a third, nor two for one."""
    hardware = a_class("pool", shape(2, cpu=3.0))
    world = snapshot(hardware=(hardware,), training=(gang("wide", 3, "2"),), carbon=(carbon("ES", 100.0),))
    (decision,) = plan(world).training
    assert (decision.action, decision.reasons[0].code) == (TrainingAction.WAIT, "CapacityShort")
    runs = gang("runs", 2, "2", job=job("pool", replicas=2))
    both = snapshot(hardware=(hardware,), training=(runs, gang("next", 1, "2")), carbon=(carbon("ES", 100.0),))
    decisions = {d.key: d for d in plan(both).training}
    assert decisions["demo/runs"].action is TrainingAction.RUN
    waits = decisions["demo/next"]
    assert (waits.action, waits.reasons[0].code) == (TrainingAction.WAIT, "CapacityShort")
    assert "each whole on one node" in waits.reasons[0].message


def test_an_elastic_gang_is_as_wide_as_the_nodes_let_it() -> None:
    hardware = a_class("pool", shape(2, cpu=3.0))
    runs = gang("runs", 1, "2", job=job("pool", replicas=1))
    other = gang("elastic", 2, "2", least=1)
    decisions = {d.key: d for d in plan(snapshot(hardware=(hardware,), training=(runs, other))).training}
    assert (decisions["demo/elastic"].action, decisions["demo/elastic"].replicas) == (TrainingAction.RUN, 1)


@settings(max_examples=40)
@given(SIZES, GANGS)
def test_what_is_planned_to_run_now_fits_onto_the_nodes_together(
    sizes: list[tuple[int, float, float]], gangs: list[tuple[str, str, int]]
) -> None:
    hardware = of_sizes(sizes)
    states = tuple(gang(f"gang-{i}", replicas, cpu) for i, (cpu, _, replicas) in enumerate(gangs))
    found = plan(snapshot(hardware=(hardware,), training=states, carbon=(carbon("ES", 100.0),)))
    by_key = {state.meta.key: state for state in states}
    packing = NodePacking((hardware,), {})
    running = [d for d in found.training if d.action is TrainingAction.RUN]
    for decision in sorted(running, key=lambda d: -by_key[d.key].spec.resources.cpu):
        assert packing.place("pool", by_key[decision.key].spec.resources, decision.replicas)
