import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.observe.results import better_training, training_result, variant_failure_reason, variant_result

TRAINING = {
    "kind": "training", "completedSamples": 100, "totalSamples": 100, "visitsMin": 2, "visitsMax": 2, "accuracy": 0.97,
    "accuracyLow": 0.95, "accuracyHigh": 0.98, "heldOutSamples": 360, "loss": 0.1, "resumes": 1, "sha256": "ab",
}  # fmt: skip
VARIANT = {
    "kind": "variant", "artifact": "model.onnx", "sha256": "a" * 64, "sizeBytes": 1000, "accuracy": 0.97,
    "accuracyLow": 0.95, "accuracyHigh": 0.98, "heldOutSamples": 360, "baselineAccuracy": 0.975, "agreement": 0.99,
    "peakMemoryBytes": 5000,
    "profile": [
        {"batch": 1, "p50Ms": 0.2, "p95Ms": 0.3, "p99Ms": 0.4, "itemsPerSecond": 4000, "cpuSecondsPerItem": 0.0002}
    ],
}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_training_result_is_read() -> None:
    result = training_result(json.dumps(TRAINING))
    assert result is not None
    assert (result.completed_samples, result.visits_min, result.accuracy, result.stopped) == (100, 2, 0.97, False)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Killed",
        '{"kind":"training","rank":3}',
        '{"error":"no such model"}',
        '{"kind":"training","completedSamples":-4}',
        json.dumps({**TRAINING, "accuracy": 1.5}),
        json.dumps({**TRAINING, "accuracy": float("nan")}),
        json.dumps(TRAINING)[:60],
    ],
)
def test_other_messages_are_no_training_result(message: str) -> None:
    assert training_result(message) is None


def test_a_stopped_result_never_takes_the_place_of_a_finished_one() -> None:
    finished = training_result(json.dumps(TRAINING))
    stopped = training_result(json.dumps({**TRAINING, "stopped": True, "completedSamples": 120}))
    further = training_result(json.dumps({**TRAINING, "stopped": True, "completedSamples": 130}))
    assert better_training(finished, stopped) == finished
    assert better_training(stopped, finished) == finished
    assert better_training(stopped, further) == further
    assert better_training(further, stopped) == further
    assert better_training(None, stopped) == stopped
    assert better_training(stopped, None) == stopped


def test_a_variant_result_is_read() -> None:
    result, error = variant_result(json.dumps(VARIANT), 0)
    assert error == ""
    assert result is not None
    assert result.profile[0].items_per_second == 4000
    assert result.size_bytes == 1000


def test_what_became_of_each_step_is_read() -> None:
    steps = [
        {"name": "prune", "digest": "ab", "reused": True, "seconds": 0.1, "note": "half"},
        {"name": "export", "digest": "cd", "reused": False, "seconds": 3, "relativeError": 2e-7, "tolerance": 1e-3},
    ]
    result, error = variant_result(json.dumps({**VARIANT, "steps": steps}), 0)
    assert error == ""
    assert result is not None
    assert [(step.name, step.reused, step.relative_error) for step in result.steps] == [
        ("prune", True, None),
        ("export", False, 2e-7),
    ]


def test_what_a_search_tried_is_read() -> None:
    point = {"steps": "prune 0.5", "accuracy": 0.97, "cpuSecondsPerItem": 0.0001, "sizeBytes": 100, "chosen": True}
    search = {"trials": 9, "skipped": 1, "reasons": ["off by 3"], "front": [point]}
    result, error = variant_result(json.dumps({**VARIANT, "search": search}), 0)
    assert error == ""
    assert result is not None
    assert result.search is not None
    assert (result.search.trials, result.search.reasons, result.search.front[0].chosen) == (9, ("off by 3",), True)
    _, error = variant_result(json.dumps({**VARIANT, "search": {**search, "trials": -1}}), 0)
    assert "search.trials" in error


def test_the_optimizers_word_for_a_failure_is_read_and_nothing_else() -> None:
    assert variant_failure_reason('{"error": "off by 3", "reason": "ParityFailed"}') == "ParityFailed"
    assert variant_failure_reason('{"error": "off by 3"}') == ""
    assert variant_failure_reason('{"error": "off by 3", "reason": "no word"}') == ""
    assert variant_failure_reason('{"reason": "ParityFailed"}') == ""
    assert variant_failure_reason("Killed") == ""


@pytest.mark.parametrize(
    ("message", "exit_code", "said"),
    [
        ('{"error":"source model is missing"}', 2, "source model is missing"),
        ("", 137, "exit code 137"),
        ("", 0, "no report"),
        ("{", 0, "no report"),
        (json.dumps({**VARIANT, "profile": []}), 0, "profile"),
        (json.dumps({**VARIANT, "sha256": "short"}), 0, "sha256"),
        (json.dumps({**VARIANT, "accuracy": None}), 0, "accuracy"),
        (json.dumps({**VARIANT, "profile": [{**VARIANT["profile"][0], "p95Ms": float("inf")}]}), 0, "p95Ms"),
    ],
)
def test_what_is_wrong_with_a_variant_is_said(message: str, exit_code: int, said: str) -> None:
    result, error = variant_result(message, exit_code)
    assert result is None
    assert said in error


def test_nothing_is_said_of_an_optimizer_that_still_runs() -> None:
    assert variant_result("", None) == (None, "")


@settings(deadline=None)
@given(JSON, st.none() | st.integers(0, 255))
def test_any_message_is_survived(message: Any, exit_code: int | None) -> None:
    for text in (json.dumps(message), str(message)):
        assert training_result(text) is None or "completedSamples" in text
        result, error = variant_result(text, exit_code)
        assert result is None
        assert isinstance(error, str)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(VARIANT)), JSON, max_size=4))
def test_a_report_with_any_field_damaged_is_read_or_explained(damage: dict[str, Any]) -> None:
    result, error = variant_result(json.dumps({**VARIANT, **damage}), 0)
    assert (result is None) == bool(error)
