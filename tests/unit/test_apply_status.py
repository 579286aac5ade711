"""What is written to status: derived from the last status and the facts, each thing counted once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import NOW, job, meta, serving, serving_pod, training, variant
from trimtab.api.common import Condition, ConditionStatus, Usage
from trimtab.api.policy import Mode
from trimtab.api.serving import ServingWorkloadStatus, VariantVersion
from trimtab.api.training import ScheduleSlot, TrainingAction, TrainingWorkloadStatus
from trimtab.api.variant import GateFigures
from trimtab.apply.conditions import failing_already, merged, with_failure
from trimtab.apply.events import event_manifest
from trimtab.apply.figures import rounded
from trimtab.apply.other_status import variant_status
from trimtab.apply.serving_status import quiet_serving_status, serving_status
from trimtab.apply.training_status import quiet_training_status, training_status
from trimtab.plan.decisions import ConditionValue, EventNote, ServingDecision, TrainingDecision, VariantDecision
from trimtab.plan.snapshot import (
    FrontResult,
    MeasuredPoint,
    SearchResult,
    StepResult,
    TrainingMetrics,
    TrainingResult,
    TrainingState,
    VariantResult,
    WorkloadPod,
)

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
VERSIONS = (VariantVersion(name="fp32", version=1), VariantVersion(name="int8", version=2))


def value(type_: str, status: ConditionStatus, reason: str, message: str = "") -> ConditionValue:
    return ConditionValue(type=type_, status=status, reason=reason, message=message)


def decided(action: TrainingAction = TrainingAction.RUN, mode: Mode = Mode.ENFORCE) -> TrainingDecision:
    return TrainingDecision(key="demo/digits", mode=mode, action=action, replicas=2, hardware_class="local-cpu")


def written(
    state: TrainingState, action: TrainingAction = TrainingAction.RUN, now: datetime = NOW, **more: Any
) -> TrainingWorkloadStatus:
    return training_status(state, decided(action, **more), (value("Ready", TRUE, "Running"),), None, now)


def after(state: TrainingState, status: TrainingWorkloadStatus, **facts: Any) -> TrainingState:
    return state.model_copy(update={"status": status, **facts})


def metrics(completed: float, total: float = 1000, speed: float = 12.3456) -> TrainingMetrics:
    return TrainingMetrics(
        completed_samples=completed, total_samples=total, samples_per_second=speed, observed_at=NOW
    )  # fmt: skip


def running_pod(started: datetime) -> WorkloadPod:
    return WorkloadPod(name="p", phase="Running", ready=True, created_at=started, started_at=started)


def test_a_transition_is_dated_only_when_the_status_flips() -> None:
    old = (Condition(type="Ready", status=FALSE, reason="Starting", last_transition_time=NOW, observed_generation=1),)
    later = NOW + timedelta(minutes=1)
    (same,) = merged(old, [value("Ready", FALSE, "Waiting", "why")], 2, later)
    assert (same.last_transition_time, same.reason, same.observed_generation) == (NOW, "Waiting", 2)
    (flipped,) = merged(old, [value("Ready", TRUE, "Running")], 2, later)
    assert flipped.last_transition_time == later


def test_an_outage_leaves_ready_alone_and_a_refusal_does_not() -> None:
    conditions = (value("Ready", TRUE, "Serving"), value("TargetsFeasible", TRUE, "TargetsHold"))
    passing = {c.type: c for c in with_failure(conditions, "ApplyFailed", "timeout", passing=True)}
    assert (passing["Ready"].status, passing["Ready"].reason) == (TRUE, "Serving")
    assert (passing["Progressing"].status, passing["Progressing"].reason) == (FALSE, "ApplyFailed")
    refused = {c.type: c for c in with_failure(conditions, "Rejected", "name: required", passing=False)}
    assert (refused["Ready"].status, refused["Ready"].reason) == (TRUE, "Rejected")
    assert refused["Progressing"].message == "name: required"
    assert refused["TargetsFeasible"] == conditions[1]
    assert failing_already(merged((), refused.values(), 1, NOW), "Rejected")
    assert not failing_already(merged((), refused.values(), 1, NOW), "ApplyFailed")


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e9, allow_nan=False), min_size=1, max_size=8))
def test_progress_never_goes_down_and_is_whole_only_at_the_end(seen: list[float]) -> None:
    state, highest = training(job=job()), 0
    for completed in seen:
        state = state.model_copy(update={"metrics": metrics(completed)})
        status = written(state)
        assert status.progress is not None
        assert highest <= status.progress.completed_samples <= 1000
        assert status.progress.percent <= 99
        highest, state = status.progress.completed_samples, after(state, status)
    finished = after(state, state.status, job=job(complete=True, completed_at=NOW), metrics=None)
    progress = written(finished, TrainingAction.NONE).progress
    assert progress is not None
    assert (progress.completed_samples, progress.percent) == (1000, 100)


def test_the_result_proves_that_no_work_was_lost_or_repeated() -> None:
    result = TrainingResult(
        completed_samples=1000, total_samples=1000, visits_min=3, visits_max=3, accuracy=0.97,
        accuracy_low=0.95, accuracy_high=0.98, held_out_samples=360,
    )  # fmt: skip
    state = training(job=job(complete=True, completed_at=NOW), result=result)
    status = written(state, TrainingAction.NONE)
    assert status.progress is not None
    assert status.accuracy is not None
    assert (status.progress.visits_min, status.progress.visits_max) == (3, 3)
    assert (status.accuracy.value, status.accuracy.samples) == (0.97, 360)
    assert (status.completion_time, status.artifact) == (NOW, "training/digits/model.pt")
    # The pods are gone, and with them their last words: what was written stays.
    kept = written(after(state, status, result=None, job=None), TrainingAction.NONE, NOW + timedelta(hours=1))
    assert (kept.accuracy, kept.progress, kept.completion_time) == (status.accuracy, status.progress, NOW)


def test_a_stop_with_work_left_has_no_accuracy_and_no_visits() -> None:
    result = TrainingResult(completed_samples=400, total_samples=1000, visits_min=0, visits_max=1, stopped=True)
    status = written(training(job=job(suspended=True), result=result), TrainingAction.SUSPEND)
    assert status.progress is not None
    assert (status.progress.completed_samples, status.progress.percent) == (400, 40)
    assert (status.progress.visits_min, status.accuracy) == (None, None)


@pytest.mark.parametrize(
    ("mode", "jobs", "expected"),
    [(Mode.ENFORCE, {"job": job()}, 1), (Mode.RECOMMEND, {"job": job()}, 0), (Mode.ENFORCE, {}, 0)],
)
def test_suspensions_count_what_was_stopped(mode: Mode, jobs: dict[str, Any], expected: int) -> None:
    state = training(**jobs)
    state = after(state, written(state))
    for _ in range(3):
        status = written(state, TrainingAction.SUSPEND, mode=mode)
        assert status.suspensions == expected
        state = after(state, status)


def slot(start_seconds: float, end_seconds: float, replicas: int = 2) -> ScheduleSlot:
    return ScheduleSlot(
        start=NOW + timedelta(seconds=start_seconds), end=NOW + timedelta(seconds=end_seconds), replicas=replicas,
        hardware_class="local-cpu" if replicas else "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("new", "same"),
    [
        ((slot(0, 600, 0), slot(600, 4200)), True),
        ((slot(10, 600, 0), slot(600, 4210)), True),
        ((slot(500, 600, 0), slot(600, 4200)), True),
        ((slot(0, 700, 0), slot(700, 4300)), False),
        ((slot(0, 600, 0), slot(600, 4300)), False),
        ((slot(0, 600, 0), slot(600, 4200, 3)), False),
        ((slot(600, 4200),), False),
        ((), False),
    ],
)
def test_a_schedule_is_written_anew_only_when_it_says_something_else(new: tuple[ScheduleSlot, ...], same: bool) -> None:
    old = (slot(0, 600, 0), slot(600, 4200))
    state = training()

    def written_with(schedule: tuple[ScheduleSlot, ...]) -> TrainingWorkloadStatus:
        return training_status(state, decided().model_copy(update={"schedule": schedule}), (), None, NOW)

    state = after(state, written_with(old))
    shown = written_with(new).decision
    assert shown is not None
    assert shown.schedule == (old if same else new)


def test_a_schedule_that_slips_little_by_little_is_not_shown_as_it_was_for_ever() -> None:
    state = training()
    for minute in range(10):
        now = NOW + timedelta(minutes=minute, seconds=minute)
        drawn = (ScheduleSlot(start=now, end=now + timedelta(hours=1), replicas=2, hardware_class="local-cpu"),)
        status = training_status(state, decided().model_copy(update={"schedule": drawn}), (), None, now)
        assert status.decision is not None
        assert abs(status.decision.schedule[0].end - drawn[0].end) <= timedelta(minutes=1)
        state = after(state, status)


def test_running_time_is_the_sum_of_closed_runs() -> None:
    minute = timedelta(minutes=1)
    state = training(job=job(active=2), pods=(running_pod(NOW),))
    state = after(state, written(state, now=NOW + minute))
    assert (state.status.start_time, state.status.running_since, state.status.running_seconds) == (NOW, NOW, 0)
    state = after(state, state.status, job=job(suspended=True), pods=())
    state = after(state, written(state, TrainingAction.SUSPEND, NOW + 3 * minute))
    assert (state.status.running_since, state.status.running_seconds) == (None, 180)
    state = after(state, written(state, TrainingAction.SUSPEND, NOW + 9 * minute))
    assert state.status.running_seconds == 180
    state = after(state, state.status, job=job(active=2), pods=(running_pod(NOW + 10 * minute),))
    state = after(state, written(state, now=NOW + 11 * minute))
    # The operator was away when it ended: the Job's own time counts.
    done = job(complete=True, completed_at=NOW + 12 * minute)
    state = after(state, state.status, job=done, pods=())
    state = after(state, written(state, TrainingAction.NONE, NOW + 60 * minute))
    assert state.status.running_seconds == 300
    assert state.status.start_time == NOW


def test_figures_that_always_change_do_not_ask_for_a_write_but_a_decision_does() -> None:
    state = training(job=job(), metrics=metrics(100))
    old = written(state)
    moved = state.model_copy(update={"metrics": metrics(150), "status": old})
    usage = Usage(energy_watt_hours=1.0, accounted_until=NOW)
    ready = (value("Ready", TRUE, "Running", "other words"),)
    new = training_status(moved, decided(), ready, usage, NOW + timedelta(seconds=5))
    assert new != old
    assert quiet_training_status(new, old) == old
    stopped = written(moved, TrainingAction.SUSPEND)
    assert quiet_training_status(stopped, old) != old


def serving_decided(variant: str = "fp32", replicas: int = 2, mode: Mode = Mode.ENFORCE) -> ServingDecision:
    return ServingDecision(
        key="demo/digits-serving", mode=mode, variant=variant, versions=VERSIONS, available=("fp32", "int8"),
        hardware_class="local-cpu", replicas=replicas,
    )  # fmt: skip


def served(state: Any, decision: ServingDecision) -> ServingWorkloadStatus:
    return serving_status(state, decision, (value("Ready", TRUE, "Serving"),), None, {}, NOW)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [((1, 1), "fp32"), ((2, 2), "int8"), ((1, 2), ""), ((2, None), "int8"), ((None, None), "before"), ((), "")],
)
def test_the_active_variant_is_what_all_ready_pods_serve(versions: tuple[int | None, ...], expected: str) -> None:
    pods = tuple(
        serving_pod(f"p{i}").model_copy(update={"loaded_version": version}) for i, version in enumerate(versions)
    )
    unready = serving_pod("starting", version=1, ready=False)
    state = serving(pods=(*pods, unready), status={"activeVariant": "before"})
    assert served(state, serving_decided()).active_variant == expected


def test_switches_count_changes_of_the_variant_once_and_only_when_enforced() -> None:
    state = serving(2)
    state = state.model_copy(update={"status": served(state, serving_decided("fp32"))})
    assert state.status.switches == 0
    assert served(state, serving_decided("int8", mode=Mode.RECOMMEND)).switches == 0
    for _ in range(3):
        state = state.model_copy(update={"status": served(state, serving_decided("int8"))})
        assert state.status.switches == 1
    assert served(state, serving_decided("int8", replicas=4)).switches == 1


def test_a_changed_number_of_replicas_asks_for_a_write_and_a_latency_does_not() -> None:
    state = serving(2)
    old = served(state, serving_decided())
    calm = serving_decided().model_copy(update={"predicted_latency_ms": 12.0, "message": "other words"})
    assert quiet_serving_status(served(state, calm), old) == old
    assert quiet_serving_status(served(state, serving_decided(replicas=3)), old) != old


def test_a_variant_keeps_its_figures_until_those_of_its_successor_are_there() -> None:
    state = variant("int8", 0.9, 100)
    decision = VariantDecision(key="demo/int8", build=True, spec_hash="new", hardware_class="big", claim_name="models")
    building = variant_status(state, decision, (value("Ready", TRUE, "Building"),), NOW)
    assert (building.spec_hash, building.accuracy) == (state.status.spec_hash, state.status.accuracy)
    point = MeasuredPoint(batch=1, p50_ms=1, p95_ms=2, p99_ms=3, items_per_second=500, cpu_seconds_per_item=0.002)
    result = VariantResult(
        artifact="model.onnx", sha256="a" * 64, size_bytes=7, accuracy=0.95, accuracy_low=0.93, accuracy_high=0.97,
        held_out_samples=360, baseline_accuracy=0.98, agreement=0.97, peak_memory_bytes=1, profile=(point,),
        baseline_only_right=12, variant_only_right=1, steps=(StepResult(name="export", digest="ab", seconds=2.5),),
        search=SearchResult(
            trials=3, skipped=1, front=(FrontResult(steps="", accuracy=0.95, cpu_seconds_per_item=1e-4, size_bytes=7),)
        ),
    )  # fmt: skip
    stale = state.model_copy(update={"result": result, "job": job(spec_hash="old", complete=True)})
    assert variant_status(stale, decision, (), NOW).spec_hash == state.status.spec_hash
    fresh = state.model_copy(update={"result": result, "job": job(spec_hash="new", complete=True)})
    made = variant_status(fresh, decision, (), NOW)
    assert (made.spec_hash, made.hardware_class) == ("new", "big")
    assert made.artifact is not None
    assert made.artifact.path == "variants/int8/model.onnx"
    assert made.profile[0].p95_milliseconds == 2
    assert (made.baseline_only_right, made.variant_only_right, made.steps[0].seconds) == (12, 1, 2.5)
    assert made.search is not None
    assert (made.search.trials, made.search.front[0].size_bytes) == (3, 7)


def test_the_tests_of_a_gate_stand_beside_the_figures_that_they_are_of() -> None:
    tests = GateFigures(significance=0.05, p_value=0.01, samples=360)
    state = variant("int8", 0.9, 100)
    decision = VariantDecision(key="demo/int8", build=False, spec_hash="new", gate=tests)
    assert variant_status(state, decision, (), NOW).gate == tests
    point = MeasuredPoint(batch=1, p50_ms=1, p95_ms=2, p99_ms=3, items_per_second=500, cpu_seconds_per_item=0.002)
    result = VariantResult(
        artifact="model.onnx", sha256="a" * 64, size_bytes=7, accuracy=0.95, accuracy_low=0.93, accuracy_high=0.97,
        held_out_samples=360, baseline_accuracy=0.98, agreement=0.97, peak_memory_bytes=1, profile=(point,),
    )  # fmt: skip
    reported = state.model_copy(update={"result": result, "job": job(spec_hash="new", complete=True)})
    fresh = variant_status(reported, decision, (), NOW)
    assert fresh.gate is None, "the decision was about the figures before"
    settled = reported.model_copy(update={"status": fresh})
    assert variant_status(settled, decision, (), NOW).gate == tests


def test_an_event_has_one_name_within_its_minute() -> None:
    note = EventNote(reason="Suspended", message="the grid is dirty")
    first = event_manifest(meta("digits"), "TrainingWorkload", note, NOW)
    again = event_manifest(meta("digits"), "TrainingWorkload", note, NOW + timedelta(seconds=30))
    later = event_manifest(meta("digits"), "TrainingWorkload", note, NOW + timedelta(minutes=2))
    other = event_manifest(meta("digits"), "TrainingWorkload", note.model_copy(update={"message": "x"}), NOW)
    names = [event["metadata"]["name"] for event in (first, again, later, other)]
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("figure", "expected"),
    [(None, None), (0.0, 0.0), (1234.5, 1230.0), (0.00123456, 0.00123), (float("nan"), None), (float("inf"), None)],
)
def test_figures_are_rounded_to_three_digits(figure: float | None, expected: float | None) -> None:
    assert rounded(figure) == expected
