"""Admission and the planner agree: what the planner would run is not refused, and what is refused it does not run."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan.admission.test_judge import STALE, a_class, codes, fresh, said, shape
from tests.unit.worlds import NOW, carbon, policy, snapshot
from trimtab.api.common import ConditionStatus
from trimtab.api.training import TrainingAction
from trimtab.plan.admission.judge import judge
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import HardwareState, PolicyState, Snapshot, TrainingState

NAMES = ("a", "b", "c")
_PLENTY_GIB = 4096.0


@st.composite
def classes(draw: st.DrawFn) -> tuple[HardwareState, ...]:
    """Classes of nodes of one or two sizes, into which replicas rarely fit without a rest, by cores or by memory."""
    made = []
    for name in NAMES[: draw(st.integers(1, 3))]:
        gpu = draw(st.booleans())
        sizes = []
        for units in draw(st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0, 8.0]), min_size=1, max_size=2, unique=True)):
            memory = draw(st.sampled_from([1.5, 3.0, 7.0, _PLENTY_GIB]))
            sizes.append(shape(draw(st.integers(1, 3)), cpu=999.0 if gpu else units, memory_gib=memory, units=units))
        price = draw(st.sampled_from(["0.1", "1", "4"]))
        made.append(
            a_class(name, *sizes, resourceName="nvidia.com/gpu" if gpu else "cpu", price={"usdPerHour": price})
        )  # fmt: skip
    return tuple(made)


@st.composite
def trainings(draw: st.DrawFn) -> TrainingState:
    least = draw(st.integers(1, 12))
    accelerators = draw(st.sampled_from([0, 0, 1, 2, 16]))
    spec: dict[str, Any] = {
        "minReplicas": least,
        "maxReplicas": least + draw(st.integers(0, 6)),
        "resources": {"cpu": str(draw(st.sampled_from([1, 2, 8, 16]))), "accelerators": accelerators},
        "hardware": {"classes": draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2))},
        "work": {"totalSamples": draw(st.sampled_from([100, 36_000]))},
        "profiles": [
            {"hardwareClass": name, "replicas": 1, "samplesPerSecond": "1"}
            for name in draw(st.lists(st.sampled_from(NAMES), unique=True))
        ],
    }
    hours = draw(st.none() | st.integers(1, 12))
    return fresh(**spec, **({"targets": {"completeWithin": f"{hours}h"}} if hours else {}))


@st.composite
def policies(draw: st.DrawFn) -> tuple[PolicyState, ...]:
    limits = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "costUSDPerHour": st.sampled_from(["0.05", "0.5", "5"]),
                "powerWatts": st.sampled_from(["10", "100"]),
                "carbonGramsPerHour": st.sampled_from(["1", "10"]),
            },
        )
    )
    return (policy(limits=limits),) if limits else ()


def world_of(state: TrainingState, hardware: tuple[HardwareState, ...], rules: tuple[PolicyState, ...]) -> Snapshot:
    return snapshot(hardware=hardware, policies=rules, training=(state,), carbon=(carbon("ES", 100.0, 50.0),))


@settings(max_examples=150)
@given(state=trainings(), hardware=classes(), rules=policies())
def test_what_the_planner_runs_is_not_refused_for_room_or_limits(
    state: TrainingState, hardware: tuple[HardwareState, ...], rules: tuple[PolicyState, ...]
) -> None:
    world = world_of(state, hardware, rules)
    (decision,) = plan(world).training
    verdict = said(state, world)
    if decision.action is TrainingAction.RUN:
        assert codes(verdict)[0] <= {"DeadlineTooShort"}
        assert not {"NoRoomNow", "NoNodes"} & codes(verdict)[1]
    if codes(verdict)[0] - {"DeadlineTooShort"}:
        assert decision.action is not TrainingAction.RUN


@settings(max_examples=150)
@given(
    speeds=st.lists(st.floats(min_value=0.5, max_value=20.0), min_size=1, max_size=3),
    cores=st.integers(1, 8),
    most=st.integers(1, 10),
    minutes=st.integers(10, 900),
)
def test_a_deadline_is_refused_where_the_planner_could_not_hold_it_and_nowhere_else(
    speeds: list[float], cores: int, most: int, minutes: int
) -> None:
    names = NAMES[: len(speeds)]
    profiles = [
        {"hardwareClass": name, "replicas": 1, "samplesPerSecond": str(speed)}
        for name, speed in zip(names, speeds, strict=True)
    ]
    state = fresh(
        work={"totalSamples": 36_000}, maxReplicas=most, profiles=profiles, targets={"completeWithin": f"{minutes}m"}
    )
    world = world_of(state, tuple(a_class(name, shape(cpu=cores, memory_gib=_PLENTY_GIB)) for name in names), ())
    (decision,) = plan(world).training
    (feasible,) = [c for c in decision.conditions if c.type == "TargetsFeasible"]
    refused = "DeadlineTooShort" in codes(said(state, world))[0]
    assert refused == (feasible.status is ConditionStatus.FALSE), feasible.message


@settings(max_examples=150)
@given(state=trainings(), hardware=classes(), rules=policies(), taken=st.integers(0, 50))
def test_more_nodes_never_turn_an_admission_into_a_refusal(
    state: TrainingState, hardware: tuple[HardwareState, ...], rules: tuple[PolicyState, ...], taken: int
) -> None:
    """But for the deadline: a speed that was hoped for elsewhere is then known not to be needed."""

    def grown(one: HardwareState) -> HardwareState:
        shapes = tuple(s.model_copy(update={"nodes": s.nodes + 3}) for s in one.shapes)
        nodes, capacity = sum(s.nodes for s in shapes), sum(s.nodes * s.units for s in shapes)
        return one.model_copy(update={"shapes": shapes, "nodes": nodes, "capacity_units": capacity})

    small = said(state, world_of(state, hardware, rules))
    large = said(state, world_of(state, tuple(map(grown, hardware)), rules))
    assert codes(large)[0] - {"DeadlineTooShort", "OverLimit"} <= codes(small)[0]


@settings(max_examples=100)
@given(state=trainings(), hardware=classes(), rules=policies(), age=st.integers(0, 600))
def test_a_verdict_is_the_same_again_and_stale_knowledge_refuses_nothing(
    state: TrainingState, hardware: tuple[HardwareState, ...], rules: tuple[PolicyState, ...], age: int
) -> None:
    world = world_of(state, hardware, rules)
    now = NOW + timedelta(seconds=age)
    verdict = judge(state, None, world, now, STALE)
    assert verdict == judge(state, None, world, now, STALE)
    if age > STALE.total_seconds():
        assert verdict.admitted
        assert codes(verdict)[1] == {"NotChecked"}
    for finding in (*verdict.refused, *verdict.warnings):
        assert finding.path.startswith(("spec", "metadata", "trimtab"))
        assert finding.message
