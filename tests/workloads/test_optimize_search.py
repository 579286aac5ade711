"""A search really builds what it compares, goes on after an interruption, and says what it skipped."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch")
optuna = pytest.importorskip("optuna")
pytest.importorskip("onnxruntime")

from trimtab_workloads.optimize import parity, picture, search, source  # noqa: E402
from trimtab_workloads.optimize.config import BenchmarkSettings, OptimizeConfig, Search, Step  # noqa: E402
from trimtab_workloads.optimize.run import run  # noqa: E402
from trimtab_workloads.train.architecture import Architecture  # noqa: E402


def candidate(trial, accuracy, cpu_seconds, size):
    return search.Candidate(trial, (), accuracy, cpu_seconds, size)


def test_the_fastest_is_chosen_of_those_that_the_gate_is_likely_to_pass():
    front = (candidate(0, 0.99, 9e-5, 900), candidate(1, 0.98, 5e-5, 400), candidate(2, 0.95, 2e-5, 500))
    strict = Search(max_accuracy_drop=0.03)
    assert search.choose(front, strict, 0.99) == front[1]  # The third loses more than half of what is allowed.
    assert search.choose(front, Search(max_accuracy_drop=0.1), 0.99) == front[2]
    assert search.choose(front, Search(max_accuracy_drop=0.1, prefer="Size"), 0.99) == front[1]
    assert search.choose(front, Search(min_accuracy=0.985), 0.99) == front[0]
    assert search.choose(front, Search(min_accuracy=0.999), 0.99) == front[0], "nothing fits: the most accurate"


def test_what_is_proposed_are_chains_of_allowed_steps_that_fit_the_family():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(60):
        steps = search.draw(study.ask(), Search(), Architecture((8, 8), family="digits-gru"))
        OptimizeConfig(name="v", source=Path("/s"), output=Path("/o"), steps=steps)  # In an order that is allowed.
        seen |= {step.name for step in steps}
    assert seen == {"distill", "factorize", "quantize"}, "channels of a recurrent network are not pruned"
    only = search.draw(study.ask(), Search(steps=("quantize",)), Architecture((8, 8)))
    assert {step.name for step in only} <= {"quantize"}


def test_both_halves_are_all_held_out_samples(trained):
    whole = source.load(trained)
    deciding, confirming = search.halves(whole)
    assert len(deciding.held_out_y) + len(confirming.held_out_y) == len(whole.held_out_y)
    assert deciding.digest == confirming.digest == whole.digest


def settings(folder, **changes):
    return OptimizeConfig(
        name="v",
        source=Path("/s"),
        output=folder / "out",
        cache=folder / "steps",
        benchmark=BenchmarkSettings(batches=(1, 8), seconds_per_batch=0.05),
        **changes,
    )


def trials(folder):
    (journal,) = (folder / "out").glob("search-*.log")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


def test_a_search_goes_on_where_it_was_interrupted(trained, tmp_path):
    deciding, _ = search.halves(source.load(trained))
    wanted = Search(trials=3, steps=("quantize",))
    first = search.search(settings(tmp_path), wanted, deciding)
    study = trials(tmp_path)
    done = {trial.number: trial.values for trial in study.trials}
    assert len(done) == 3
    assert study.trials[0].user_attrs["steps"] == "[]", "the model as it is comes first"
    study.ask()  # The pod is killed while it works on this one.
    again = search.search(settings(tmp_path), wanted.model_copy(update={"trials": 5}), deciding)
    study = trials(tmp_path)
    assert {trial.number: trial.values for trial in study.trials if trial.number in done} == done
    states = [trial.state.name for trial in study.trials]
    assert (states[3], states.count("COMPLETE")) == ("FAIL", 5)
    assert again.tried >= first.tried
    other = search.search(settings(tmp_path), wanted.model_copy(update={"trials": 5, "min_accuracy": 1.0}), deciding)
    assert len(trials(tmp_path).trials) == len(study.trials), "another limit chooses from the same trials"
    assert other.chosen.accuracy == max(one.accuracy for one in other.front)
    assert again.chosen in again.front
    for one in again.front:
        beaten = [
            other for other in again.front
            if other != one and other.accuracy >= one.accuracy
            and other.cpu_seconds_per_item <= one.cpu_seconds_per_item and other.size_bytes <= one.size_bytes
        ]  # fmt: skip
        assert beaten == []


def test_what_cannot_be_built_is_skipped_and_said(trained, tmp_path, monkeypatch):
    deciding, _ = search.halves(source.load(trained))
    for dtype in ("int8", "int4"):
        monkeypatch.setitem(parity.TOLERANCES, dtype, 1e-9)  # No rounding at all is right any more.
    found = search.search(settings(tmp_path), Search(trials=4, steps=("quantize",)), deciding)
    assert [one.steps for one in found.front] == [()]
    assert found.tried == 1
    assert len(found.skipped) >= 1
    assert all("outputs are off by" in reason for reason in found.skipped)
    shown = search.report(found)
    assert shown["skipped"] == len(found.skipped)
    assert len(json.dumps(shown)) < 1500


def test_the_picture_is_valid_and_has_every_point():
    points = [picture.Point("as it is", 0.99, 9e-5, 900, False), picture.Point("a <b> & c", 0.97, 2e-5, 300, True)]
    root = ElementTree.fromstring(picture.svg("digits: 2 chains", points))
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert [circle.get("fill") for circle in circles] == ["none", "#2b6cb0"]
    assert "a <b> & c: accuracy 0.9700, 20 us, 300 bytes" in "".join(root.itertext())
    assert "nan" not in picture.svg("one", points[:1])


@pytest.fixture
def own_signals():
    """The entry point takes over SIGTERM; the tests' process gets it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("own_signals")
def test_a_variant_is_found_and_judged_by_the_other_half(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMTAB_TERMINATION_LOG", str(tmp_path / "termination-log"))
    wanted = Search(trials=3, steps=("quantize",), max_accuracy_drop=0.05)
    config = settings(tmp_path, search=wanted).model_copy(update={"source": trained})
    assert run(config) == 0
    result = json.loads((tmp_path / "termination-log").read_text())
    assert result["heldOutSamples"] == 180
    report = result["search"]
    assert 1 <= report["trials"] <= 3
    (chosen,) = [point for point in report["front"] if point["chosen"]]
    assert chosen["sizeBytes"] == result["sizeBytes"]
    assert all(step["reused"] for step in result["steps"]), "what was chosen had been built already"
    ElementTree.fromstring((tmp_path / "out" / "front.svg").read_text())


def test_a_chain_is_named_in_short():
    steps = [{"distill": {"width": 0.5, "depth": 2}}, {"prune": {"amount": 0.25}}, {"factorize": {"energy": 0.9}}]
    steps.append({"quantize": {"mode": "weightOnly", "dtype": "int4"}})
    text = search.label(tuple(Step.model_validate(step) for step in steps))
    assert text == "distill 0.5 depth 2, prune 0.25, factorize 0.9, quantize weightOnly int4"
    assert search.label(()) == ""
