"""`trimtab simulate` from the command line, on slices of real traces: what it writes, and what it says of mistakes."""

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trimtab.cli.main import app

DATA = Path(__file__).parents[1] / "data"
GAIA = ["--jobs", str(DATA / "gaia" / "pai_1k.csv"), "--hours", "8"]
CARBON = ["--carbon", str(DATA / "carbon" / "US-CAL-CISO_2022_hourly.csv")]
FIGURES = {
    "carbon_g", "cost", "energy_kwh", "mean_wait_h", "mean_jct_h", "deadline_misses", "slo_attainment",
    "mean_accuracy", "replica_hours", "switches", "plan_ms_p50", "plan_ms_p99", "ratio_to_optimum",
}  # fmt: skip


def simulate(*words: str, width: int = 200) -> Any:
    return CliRunner().invoke(app, ["simulate", *words], env={"COLUMNS": str(width), "NO_COLOR": "1"})


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def without_clock(policies: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in figures.items() if not key.startswith("plan_ms")}
            for name, figures in policies.items()}  # fmt: skip


def test_training_on_a_grid_trace_is_replayed_reported_and_repeatable(tmp_path: Path) -> None:
    done = simulate("training", *GAIA, *CARBON, "--start", "24", "--forecast-error", "10", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = document(tmp_path)
    policies = found["policies"]
    assert all(set(figures) == FIGURES for figures in policies.values())
    assert {"trimtab", "optimum", "run-at-once", "suspend-resume", "lowest-slot", "ecovisor"} <= set(policies)
    assert policies["run-at-once"]["mean_wait_h"] == pytest.approx(0, abs=1e-9)
    assert policies["optimum"]["carbon_g"] == min(figures["carbon_g"] for figures in policies.values())
    assert policies["trimtab"]["carbon_g"] < policies["run-at-once"]["carbon_g"]
    assert [each["axis"] for each in found["sensitivity"]] == [
        "Forecast error (%)",
        "Longest waits (times those of the run)",
    ]
    assert "trimtab" in done.output
    assert f"Wrote {tmp_path / 'result.json'} and {tmp_path / 'report.html'}" in done.output
    command = found["run"]["command"]
    assert command.startswith("trimtab simulate training --jobs ")
    words = shlex.split(command)[2:]
    again = simulate(*(str(tmp_path / "again") if word == str(tmp_path) else word for word in words))
    assert again.exit_code == 0, again.output
    assert without_clock(document(tmp_path / "again")["policies"]) == without_clock(policies)


def test_only_the_policies_that_are_named_are_run_and_capacity_holds(tmp_path: Path) -> None:
    words = [
        *GAIA,
        *CARBON,
        "--policies",
        "run-at-once, trimtab",
        "--capacity",
        "8",
        "--no-sensitivity",
        "--hours",
        "4",
    ]
    done = simulate("training", *words, "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = document(tmp_path)
    assert list(found["policies"]) == ["run-at-once", "trimtab"]
    assert found["sensitivity"] == []
    assert found["run"]["settings"]["capacity"] == "8 units"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policies", "trimtab,fastest"], "'fastest' unknown; the policies with --format gaia are trimtab, optimum,"),
        (["--policies", ","], "no policy is named"),
        (["--start", "240"], "240 hours; give 0 to 239"),
        (["--forecast-error", "nan"], "'--forecast-error'"),
        (["--hours", "inf"], "'--hours'"),
        (["--max-wait-long", "-1"], "'--max-wait-long'"),
        (["--gpus-per-node", "4"], "it has no meaning with --format gaia; leave it out"),
        (["--carbon-column", "grams"], "there is no column 'grams'; name the intensity's column"),
        (["--format", "philly"], "pai_1k.csv:1:3: column 'timestamp' is missing; the header has 'arrival_time'"),
    ],
)
def test_a_wrong_option_or_file_is_said_and_ends_with_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = simulate("training", *GAIA, *CARBON, *words, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_grid_is_needed_for_jobs_on_a_grid(tmp_path: Path) -> None:
    done = simulate("training", *GAIA, "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "give the carbon intensity of a grid" in done.output


def test_a_wrong_value_in_a_file_is_said_with_its_place(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("arrival_time,length,cpus\n0,1,1\n1,-2,1\n2,x,1\n")
    done = simulate("training", "--jobs", str(jobs), *CARBON, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert done.output.splitlines() == [
        f"Error: {jobs}:3:2: length: -2 is not above 0; write a number above 0",
        f"{jobs}:4:2: length: 'x' is not a number; write a finite number such as 12.5",
    ]


def test_a_folder_that_cannot_be_made_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = simulate("training", *GAIA, *CARBON, "--out", str(tmp_path / "file" / "out"))
    assert done.exit_code == 2
    assert "cannot write" in done.output


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "scipy" else real(name, *rest))
    done = simulate("training", *GAIA, *CARBON, "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "trimtab simulate needs scipy: pip install 'trimtab[simulate]'" in done.output


def test_philly_jobs_are_replayed(tmp_path: Path) -> None:
    jobs = ["--jobs", str(DATA / "gaia" / "philly.csv"), "--format", "philly", "--hours", "260"]
    words = [*jobs, "--carbon", str(DATA / "carbonscaler" / "US-CAL-CISO_2022_hourly.csv.gz")]
    done = simulate("training", *words, "--policies", "run-at-once,lowest-slot,trimtab", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    policies = document(tmp_path)["policies"]
    assert list(policies) == ["run-at-once", "lowest-slot", "trimtab"]
    assert policies["trimtab"]["energy_kwh"] == pytest.approx(policies["run-at-once"]["energy_kwh"])


POLLUX = ["--jobs", str(DATA / "pollux" / "workloads" / "first-20.csv"), "--format", "pollux", "--capacity", "16"]


def test_elastic_jobs_are_replayed_and_reported(tmp_path: Path) -> None:
    words = [*POLLUX, *CARBON, "--start", "24", "--policies", "trimtab,run-at-once,tiresias"]
    done = simulate("training", *words, "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = document(tmp_path)
    policies = found["policies"]
    assert list(policies) == ["trimtab", "run-at-once", "tiresias"]
    assert all(figures["ratio_to_optimum"] > 1 for figures in policies.values())
    assert policies["trimtab"]["mean_jct_h"] < policies["run-at-once"]["mean_jct_h"]
    assert found["savings"]["completion_time"]["trimtab"]["low"] > 0
    assert found["run"]["settings"]["cluster"] == "4 nodes of 4 GPUs"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--capacity", "15"], "15 GPUs are no whole nodes of 4; give a multiple, or --gpus-per-node"),
        (["--hours", "3"], "it has no meaning with --format pollux; leave it out"),
        (["--policies", "ecovisor"], "'ecovisor' unknown; the policies with --format pollux are trimtab"),
        (["--gpus-per-node", "8", "--capacity", "16"], "gpus_per_node is 8; give 1 to 4, as the traces have 4"),
    ],
)
def test_a_wrong_option_of_elastic_jobs_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    done = simulate("training", *POLLUX, *words, "--out", str(tmp_path))
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.replace("│", " ").split())


AZURE = ["--arrivals", str(DATA / "azure" / "conv_first_900.csv")]
SPLITWISE = ["--profiles", str(DATA / "splitwise" / "perf_model_part.csv")]


def test_requests_are_replayed_and_reported(tmp_path: Path) -> None:
    words = [*AZURE, *SPLITWISE, *CARBON, "--policies", "trimtab,optimum,fixed-peak", "--slo-ms", "3000"]
    done = simulate("serving", *words, "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = document(tmp_path)
    assert all(set(figures) == FIGURES for figures in found["policies"].values())
    assert list(found["policies"]) == ["trimtab", "optimum", "fixed-peak"]
    assert all(found["policies"][name]["slo_attainment"] >= 0.99 for name in ("optimum", "fixed-peak"))
    assert all(figures["carbon_g"] > 0 for figures in found["policies"].values())
    assert [file["role"] for file in found["run"]["inputs"]] == ["arrivals", "profiles", "carbon"]
    assert "Savings against fixed-peak" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policies", "pollux"], "'pollux' unknown; the policies for serving are trimtab, optimum, hpa-cpu"),
        (["--scale", "0"], "--scale 0 is not above 0"),
        (["--min-accuracy", "2"], "'--min-accuracy'"),
        (["--min-accuracy", "0.9"], "no variant reaches --min-accuracy 0.9"),
        (["--format", "mooncake"], "conv_first_900.csv:1:1: this is no JSON"),
    ],
)
def test_a_wrong_option_of_serving_is_said_and_ends_with_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = simulate("serving", *AZURE, *SPLITWISE, *words, "--out", str(tmp_path))
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "result.json").exists()
