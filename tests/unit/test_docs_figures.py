"""The figures of a run get into the README as they are, and what was not measured stays unknown."""

import json
from pathlib import Path

import pytest
from docs.fill_figures import UNKNOWN, UnknownFigureError, figure, fill, main, unfilled

from trimtab.demo.facts import Facts

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


@pytest.fixture
def facts() -> Facts:
    variant = {
        "accuracy": {"value": "0.991667"},
        "artifact": {"sizeBytes": 3503663},
        "profile": [{"batch": 1, "p95Milliseconds": "2.1196", "itemsPerSecond": "1237.27"}],
    }
    return Facts(
        cluster_and_operator_ready_seconds=13.474,
        first_training_step_seconds=10.833,
        breach_to_new_pod_seconds=0.0,
        failed_requests_in_switch=0,
        requests_in_switch=4321,
        failed_requests=2,
        requests=123456,
        training={
            "progress": {"completedSamples": 28740},
            "suspensions": 1,
            "accuracy": {"value": "0.991667", "low": "0.975789", "high": "0.997162"},
            "usage": {
                "energyWattHours": "0.21532682",
                "costUSD": "0.001073602",
                "carbonGrams": "0.073579764",
                "source": "modelled",
            },
        },
        variants={"digits-fp32": variant, "digits-int8": variant, "digits-pruned": variant},
    )


def written(facts: Facts) -> dict[str, object]:
    """As the demo writes them."""
    content: dict[str, object] = json.loads(facts.model_dump_json())
    return content


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cluster_and_operator_ready_seconds", "13.5 s"),
        ("breach_to_new_pod_seconds", "0.0 s"),
        ("failed_requests_in_switch", "0"),
        ("requests", "123,456"),
        ("training_accuracy", "0.9917"),
        ("training_energy_watt_hours", "0.215"),
        ("training_cost_usd", "0.00107"),
        ("training_carbon_grams", "0.0736"),
        ("training_figures", "modelled"),
        ("digits-int8.accuracy", "0.9917"),
        ("digits-int8.kib", "3,422"),
        ("digits-int8.p95_milliseconds", "2.12"),
        ("digits-int8.items_per_second", "1,237"),
    ],
)
def test_a_figure_is_printed_with_its_unit(facts: Facts, name: str, shown: str) -> None:
    assert figure(written(facts), name) == shown


def test_the_readme_is_filled_whole_and_again(facts: Facts) -> None:
    text = README.read_text(encoding="utf-8")
    filled = fill(text, written(facts))
    assert unfilled(filled) == []
    assert "13.5 s<!-- /figure -->" in filled
    assert fill(filled, written(facts)) == filled
    again = fill(filled, written(facts.model_copy(update={"first_training_step_seconds": 9.0})))
    assert "<!-- figure:first_training_step_seconds -->9.0 s<!-- /figure -->" in again


def test_nothing_but_the_figures_changes(facts: Facts) -> None:
    text = README.read_text(encoding="utf-8")
    assert fill(fill(text, written(facts)), {}) == fill(text, {})


def test_what_a_run_did_not_reach_stays_unknown() -> None:
    nothing = written(Facts())
    text = README.read_text(encoding="utf-8")
    filled = fill(text, nothing)
    assert len(unfilled(filled)) == filled.count("<!-- /figure -->")
    assert figure(nothing, "digits-fp32.kib") == UNKNOWN


def test_a_name_that_no_run_gives_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownFigureError, match=r"'speed'.*first_training_step_seconds"):
        fill("<!-- figure:speed -->1<!-- /figure -->", {})


def test_the_command_fills_a_file_and_says_what_is_missing(
    facts: Facts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, source = tmp_path / "page.md", tmp_path / "facts.json"
    page.write_text("ready: <!-- figure:cluster_and_operator_ready_seconds -->?<!-- /figure -->\n", encoding="utf-8")
    source.write_text(facts.model_dump_json(), encoding="utf-8")
    assert main([str(source), str(page)]) == 0
    assert "-->13.5 s<!--" in page.read_text(encoding="utf-8")

    source.write_text(Facts().model_dump_json(), encoding="utf-8")
    assert main([str(source), str(page)]) == 1
    assert "cluster_and_operator_ready_seconds" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "{"])
def test_facts_that_cannot_be_read_leave_the_page_alone(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, source = tmp_path / "page.md", tmp_path / "facts.json"
    page.write_text("<!-- figure:requests -->7<!-- /figure -->", encoding="utf-8")
    if content is not None:
        source.write_text(content, encoding="utf-8")
    assert main([str(source), str(page)]) == 2
    assert page.read_text(encoding="utf-8") == "<!-- figure:requests -->7<!-- /figure -->"
    assert capsys.readouterr().err.startswith("fill_figures: ")


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: " in capsys.readouterr().err
