from __future__ import annotations

from pathlib import Path

import pytest

from tests.workloads import processes


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small but real training."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("trained")
    config = training(folder / "model", channels=[32, 32, 32], epochs=8)
    done = processes.run("train", config, folder)
    assert done.process.returncode == 0, done.text()
    return folder / "model"


@pytest.fixture(scope="session")
def variants(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, processes.Entry]:
    """Finished optimizations of the training, by name; each one's artifact is in its config's output."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("variants")
    prune = {"prune": {"method": "structured", "amount": 0.5, "finetuneEpochs": 1}}
    quantize = {"quantize": {"mode": "static", "dtype": "int8"}}
    made = {}
    for name, steps in {"fp32": [], "small": [prune, quantize]}.items():
        config = {
            "name": name,
            "source": str(trained),
            "steps": steps,
            "output": str(folder / name / "out"),
            "benchmark": {"batches": [1, 8], "secondsPerBatch": 0.2},
        }
        made[name] = processes.run("optimize", config, folder / name)
        assert made[name].process.returncode == 0, made[name].text()
    return made


def training(directory: Path, **changes: object) -> dict[str, object]:
    """A configuration of a small training."""
    return {
        "name": "digits",
        "namespace": "default",
        "epochs": 2,
        "globalBatchSize": 50,
        "learningRate": 0.03,
        "seed": 7,
        "directory": str(directory),
        "channels": [8, 8],
        "metricsPort": 0,
        **changes,
    }
