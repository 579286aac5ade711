"""Configuration errors are one line, name the field, and end the process with 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.workloads import processes
from tests.workloads.conftest import training
from trimtab_workloads.benchmark.config import LoadConfig
from trimtab_workloads.common.config import ConfigError, load_config
from trimtab_workloads.optimize.config import OptimizeConfig
from trimtab_workloads.serve.config import ServeConfig
from trimtab_workloads.simulated.config import SimulatedConfig
from trimtab_workloads.train.config import TrainConfig, rank_of

OPTIMIZE = {"name": "v", "source": "/s", "output": "/o"}
SERVE = {"model": "digits", "variants": [{"name": "a", "version": 1, "path": "/a"}], "activeFile": "/f"}
LOAD = {"url": "digits:8001", "model": "digits", "heldout": "/h", "stages": [{"seconds": 1, "requestsPerSecond": 1}]}
PROFILE = {"model": "m", "hardwareClass": "h", "samplesPerSecond": 1, "watts": 1}
SIMULATED = {"profiles": [PROFILE]}
TRAIN = training(Path("/d"))

WRONG = [
    (TrainConfig, TRAIN | {"epochs": 0}, "epochs"),
    (TrainConfig, TRAIN | {"epoch": 3}, "epoch: Extra inputs"),
    (TrainConfig, {k: v for k, v in TRAIN.items() if k != "directory"}, "directory: Field required"),
    (TrainConfig, TRAIN | {"dataset": "imagenet"}, "dataset: Input should be 'digits'"),
    (OptimizeConfig, OPTIMIZE | {"steps": [{"prune": {"amount": 1.0}}]}, "steps.0.prune.amount"),
    (OptimizeConfig, OPTIMIZE | {"steps": [{}]}, "exactly one of prune, distill"),
    (
        OptimizeConfig,
        OPTIMIZE | {"steps": [{"quantize": {}}, {"prune": {"amount": 0.5}}]},
        "steps must be in this order",
    ),
    (OptimizeConfig, OPTIMIZE | {"steps": [{"prune": {}}]}, "amount must be given"),
    (OptimizeConfig, OPTIMIZE | {"steps": [{"quantize": {"dtype": "int4"}}]}, "int4 is for mode weightOnly"),
    (OptimizeConfig, OPTIMIZE | {"benchmark": {"batches": [0]}}, "batches must be at least 1"),
    (ServeConfig, SERVE | {"variants": SERVE["variants"] * 2}, "version 1 is given twice"),
    (ServeConfig, SERVE | {"model": "a/b"}, "model: String should match"),
    (LoadConfig, LOAD | {"stages": []}, "stages: at least one is needed"),
    (LoadConfig, LOAD | {"url": "http://digits:8001"}, "url: String should match"),
    (SimulatedConfig, {"profiles": [PROFILE, PROFILE]}, "m on h is given twice"),
    (SimulatedConfig, SIMULATED | {"speedup": 0}, "speedup"),
]


@pytest.mark.parametrize(("model", "content", "expected"), WRONG)
def test_a_wrong_field_is_named_on_one_line(model, content, expected):
    with pytest.raises(ConfigError) as caught:
        load_config(model, {"TRIMTAB_CONFIG": json.dumps(content)})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "content"),
    [
        (TrainConfig, TRAIN),
        (OptimizeConfig, OPTIMIZE),
        (ServeConfig, SERVE),
        (LoadConfig, LOAD),
        (SimulatedConfig, SIMULATED),
    ],
)
def test_the_smallest_right_configuration_is_taken(model, content):
    config = load_config(model, {"TRIMTAB_CONFIG": json.dumps(content)})
    with pytest.raises(ValidationError):
        config.name = "changed"


@pytest.mark.parametrize("environment", [{}, {"TRIMTAB_CONFIG": ""}])
def test_a_missing_configuration_is_said(environment):
    with pytest.raises(ConfigError, match="TRIMTAB_CONFIG is not set"):
        load_config(TrainConfig, environment)


def test_what_is_no_json_is_said():
    with pytest.raises(ConfigError, match="Invalid JSON"):
        load_config(TrainConfig, {"TRIMTAB_CONFIG": "epochs: 3"})


@pytest.mark.parametrize("index", [None, "2", "-1", "x"])
def test_a_rank_outside_the_world_is_refused(index, monkeypatch):
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    if index is not None:
        monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
    with pytest.raises(ConfigError, match=r"JOB_COMPLETION_INDEX.*0\.\.1"):
        rank_of(TrainConfig.model_validate(TRAIN | {"worldSize": 2}))


def test_a_process_ends_with_2_and_leaves_the_message_in_the_termination_log(tmp_path):
    done = processes.run("simulated", SIMULATED | {"speedup": -1}, tmp_path)
    assert done.process.returncode == 2
    assert done.result()["error"].startswith("TRIMTAB_CONFIG: speedup: Input should be greater than 0 (got -1)")


def test_the_version_to_serve_must_be_one_of_the_variants(tmp_path):
    active = tmp_path / "version"
    active.write_text("7\n")
    done = processes.run("serve", SERVE | {"activeFile": str(active)}, tmp_path)
    assert done.process.returncode == 2
    assert "must hold one of [1], it holds '7'" in done.result()["error"]


def test_serving_and_loading_need_no_torch():
    modules = [
        "serve.repository",
        "serve.triton",
        "serve.probe",
        "benchmark.arrivals",
        "benchmark.config",
        "simulated.progress",
    ]
    code = (
        "import sys\n"
        + "".join(f"import trimtab_workloads.{m}\n" for m in modules)
        + "assert 'torch' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(processes.SOURCES)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
