"""When a variant is made, and when it may serve."""

from tests.unit.worlds import hardware, job, snapshot, training, variant
from trimtab.plan.decisions import VariantDecision
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import TrainingState, VariantState
from trimtab.plan.variants import spec_hash

DONE = {"completionTime": "2026-11-24T11:50:00Z"}


def decide(state: VariantState, *sources: TrainingState) -> VariantDecision:
    return plan(snapshot(training=sources, variants=(state,))).variants[0]


def fresh(name: str = "int8", **spec: object) -> VariantState:
    made = variant(name, 0.97, 100.0, **spec)
    return made.model_copy(update={"status": type(made.status)()})


def made(name: str = "int8", accuracy: float = 0.97, **spec: object) -> VariantState:
    state = variant(name, accuracy, 100.0, **spec)
    status = state.status.model_copy(update={"spec_hash": spec_hash(state, training(status=DONE))})
    return state.model_copy(update={"status": status})


def test_without_its_source_it_names_what_is_missing() -> None:
    decision = decide(fresh())
    assert not decision.build
    assert decision.conditions[0].reason == "SourceNotFound"
    assert "'digits'" in decision.message


def test_it_waits_for_the_training_and_is_then_made_on_a_real_class() -> None:
    assert decide(fresh(), training(job=job())).conditions[0].reason == "WaitsForSource"
    decision = decide(fresh(), training(status=DONE))
    assert (decision.build, decision.hardware_class, decision.claim_name) == (True, "local-cpu", "models")
    simulated = snapshot(hardware=(hardware(simulated=True),), training=(training(status=DONE),), variants=(fresh(),))
    assert plan(simulated).variants[0].conditions[0].reason == "NoClass"


def test_what_is_made_is_not_made_again_and_may_serve() -> None:
    decision = decide(made(), training(status=DONE))
    assert (decision.build, decision.accepted) == (False, True)


def test_a_new_spec_is_made_anew_while_the_old_artifact_serves_on() -> None:
    changed = made(steps=[{"quantize": {}}])
    old = changed.model_copy(update={"status": changed.status.model_copy(update={"spec_hash": "other"})})
    decision = decide(old, training(status=DONE))
    assert (decision.build, decision.accepted) == (True, True)


def test_the_gate_keeps_a_bad_variant_from_serving() -> None:
    decision = decide(made(gate={"minAccuracy": "0.98"}), training(status=DONE))
    assert (decision.build, decision.accepted) == (False, False)
    assert decision.conditions[1].message == "accuracy 0.9700 is below gate.minAccuracy 0.98"
    dropped = decide(made(gate={"maxAccuracyDrop": "0.01"}), training(status=DONE))
    assert dropped.conditions[1].reason == "DropTooLarge"
