"""How good a variant is, beside the model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import torch
from trimtab_workloads.common.session import create_session
from trimtab_workloads.common.tensors import INPUT
from trimtab_workloads.optimize.source import Source
from trimtab_workloads.train.sampling import Floats, Integers

_BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """Counts over the held-out samples, both models on the same ones."""

    samples: int
    right: int
    baseline_right: int
    equal: int
    """Predictions that are the source model's, right or wrong."""
    baseline_only_right: int
    """With `variant_only_right`, what a paired test (McNemar) needs."""
    variant_only_right: int


def evaluate(artifact: Path, source: Source, threads: int) -> Evaluation:
    """Runs the artifact itself and the source model over the held-out samples."""
    predicted = _predict(artifact, source.held_out_x, threads)
    with torch.inference_mode():
        baseline = source.model(torch.from_numpy(source.held_out_x)).argmax(1).numpy()
    right, baseline_right = predicted == source.held_out_y, baseline == source.held_out_y
    return Evaluation(
        samples=len(predicted),
        right=int(right.sum()),
        baseline_right=int(baseline_right.sum()),
        equal=int((predicted == baseline).sum()),
        baseline_only_right=int((baseline_right & ~right).sum()),
        variant_only_right=int((right & ~baseline_right).sum()),
    )


def _predict(artifact: Path, x: Floats, threads: int) -> Integers:
    session = create_session(artifact, threads)
    parts = [session.run(None, {INPUT: x[i : i + _BATCH]})[0].argmax(1) for i in range(0, len(x), _BATCH)]
    return np.concatenate(parts)
