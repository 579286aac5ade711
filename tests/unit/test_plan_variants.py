"""When a variant is made, and when it may serve."""

from tests.unit.worlds import hardware, job, snapshot, training, variant
from trimtab.api.variant import StepReport
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


def test_a_search_chose_by_the_gate_and_is_done_again_when_that_changes() -> None:
    wide = variant("int8", 0.97, 100.0, search={"trials": 5}, gate={"maxAccuracyDrop": "0.05"})
    strict = variant("int8", 0.97, 100.0, search={"trials": 5}, gate={"maxAccuracyDrop": "0.02"})
    assert spec_hash(wide, training(status=DONE)) != spec_hash(strict, training(status=DONE))


def test_parity_is_told_from_the_steps_of_what_was_made() -> None:
    state = made()
    assert decide(state, training(status=DONE)).conditions[2].reason == "NotMeasured"
    steps = (
        StepReport(name="prune", digest="a"),
        StepReport(name="export", digest="b", relative_error=2e-7, tolerance=0.001),
    )
    measured = state.model_copy(update={"status": state.status.model_copy(update={"steps": steps})})
    shown = decide(measured, training(status=DONE)).conditions[2]
    assert (shown.type, shown.status, shown.reason) == ("NumericalParity", "True", "WithinTolerance")
    assert shown.message == "relative error of the outputs: export below 1e-06 of 0.001"


def test_a_model_that_computes_something_else_is_told_where() -> None:
    wanted = spec_hash(fresh(), training(status=DONE))
    said = "quantize: outputs are off by 3 of their size"
    ended = {"job": job(spec_hash=wanted, failure="pod failure policy"), "result_error": said}
    wrong = fresh().model_copy(update={**ended, "failure_reason": "ParityFailed"})
    decision = decide(wrong, training(status=DONE))
    assert (decision.conditions[0].reason, decision.conditions[0].message) == ("BuildFailed", said)
    assert (decision.conditions[2].status, decision.conditions[2].reason) == ("False", "ParityFailed")
    assert decision.conditions[2].message == said
    other = decide(fresh().model_copy(update=ended), training(status=DONE))
    assert other.conditions[2].reason == "NotMeasured"


def judged(lost: int, won: int, accuracy: float = 0.97, **rules: str) -> VariantDecision:
    """The decision about a variant measured on 360 samples that lost and won so many of them."""
    state = made(accuracy=accuracy, gate=rules)
    counts = {"baseline_only_right": lost, "variant_only_right": won, "agreement": 0.9}
    status = state.status.model_copy(update=counts)
    return decide(state.model_copy(update={"status": status}), training(status=DONE))


def test_a_figure_on_the_right_side_of_its_limit_is_not_enough() -> None:
    floor = judged(1, 0, minAccuracy="0.965")
    assert (floor.accepted, floor.conditions[1].reason) == (False, "NotShown")
    assert floor.gate is not None
    assert floor.gate.p_value > 0.05
    assert f"it takes about {floor.gate.samples_needed} held-out samples" in floor.conditions[1].message
    drop = judged(9, 2, maxAccuracyDrop="0.03")
    assert (drop.accepted, drop.conditions[1].reason) == (False, "NotShown")
    assert "gate.maxAccuracyDrop 0.03: p 0.15 with 360 samples" in drop.conditions[1].message


def test_the_bare_figures_count_at_a_significance_of_one_half() -> None:
    assert judged(9, 2, maxAccuracyDrop="0.03", significance="0.5").accepted
    assert not judged(9, 2, maxAccuracyDrop="0.03").accepted


def test_what_is_shown_passes_and_says_how_sure_it_is() -> None:
    decision = judged(3, 1, minAccuracy="0.9", maxAccuracyDrop="0.03")
    assert decision.accepted
    assert decision.gate is not None
    assert decision.gate.samples == 360
    assert decision.gate.accuracy_at_least is not None
    assert 0.9 < decision.gate.accuracy_at_least < 0.97
    assert decision.gate.drop_at_most is not None
    assert 2 / 360 < decision.gate.drop_at_most < 0.03
    assert "shown at significance 0.05: above 0.9" in decision.conditions[1].message


def test_figures_of_an_earlier_release_are_taken_at_their_worst() -> None:
    state = made(accuracy=0.985, gate={"maxAccuracyDrop": "0.05"})
    assert decide(state, training(status=DONE)).accepted
    unknown = state.model_copy(update={"status": state.status.model_copy(update={"baseline_accuracy": None})})
    decision = decide(unknown, training(status=DONE))
    assert (decision.accepted, decision.conditions[1].reason) == (False, "NotMeasured")


def test_a_gate_that_changes_judges_anew_and_builds_nothing() -> None:
    state = made()
    stricter = state.model_copy(update={"spec": made(gate={"minAccuracy": "0.99"}).spec})
    decision = decide(stricter, training(status=DONE))
    assert (decision.build, decision.accepted) == (False, False)
