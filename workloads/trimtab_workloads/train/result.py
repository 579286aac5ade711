"""What a training leaves behind, on the volume and in the pod's status."""

from __future__ import annotations

import json
import math

from trimtab_workloads.common.files import write_atomically, write_with_digest
from trimtab_workloads.common.interval import wilson
from trimtab_workloads.train import data, model
from trimtab_workloads.train.config import TrainConfig
from trimtab_workloads.train.loop import count_right
from trimtab_workloads.train.state import TrainState

MODEL_FILE = "model.pt"
RESULT_FILE = "result.json"

Result = dict[str, object]


def publish(config: TrainConfig, state: TrainState, digits: data.Digits, total_samples: int) -> Result:
    """Writes the model, both parts of the data and the result; returns the result.

    Doing it again, after a crash in the middle, overwrites each file as a whole.
    """
    config.directory.mkdir(parents=True, exist_ok=True)
    data.save(digits, config.directory)
    digest = write_with_digest(config.directory / MODEL_FILE, model.dumps(state.model))
    held_out = len(digits.held_out_x)
    right = count_right(state.model, digits.held_out_x, digits.held_out_y)
    low, high = wilson(right, held_out)
    result: Result = {
        "kind": "training",
        "completedSamples": state.completed_samples,
        "totalSamples": total_samples,
        "visitsMin": int(state.visits.min()),
        "visitsMax": int(state.visits.max()),
        "accuracy": round(right / held_out, 6),
        "accuracyLow": round(low, 6),
        "accuracyHigh": round(high, 6),
        "heldOutSamples": held_out,
        "loss": round(state.loss, 6),
        "resumes": state.resumes,
        "trainingSeconds": round(state.training_seconds, 3),
        "sha256": digest,
    }
    write_atomically(config.directory / RESULT_FILE, json.dumps(result, indent=2).encode() + b"\n")
    return result


def stopped(rank: int, state: TrainState | None, total_samples: int) -> Result:
    """The result of a rank that saved its work and stopped on request."""
    result: Result = {"kind": "training", "stopped": True, "rank": rank}
    if rank == 0:
        result["completedSamples"] = state.completed_samples if state else 0
        result["totalSamples"] = total_samples
        if state and math.isfinite(state.loss):
            result["loss"] = round(state.loss, 6)
    return result
