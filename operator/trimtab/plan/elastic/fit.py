"""Fits the step time of a job to what it has measured: two small least-squares problems, and a search over the overlap.

Errors are relative, as step times of one job span two orders of magnitude. What has not been measured is taken for
good, so that it is tried: no exchange costs anything until it is seen, and none grows with the replicas until more
than two were seen.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trimtab.plan.elastic.throughput import NOTHING, StepModel, StepSample

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

OVERLAPS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
"""Candidates of the overlap of computing and exchanging."""
OVERLAP_PENALTY = 1e-3
"""Of two overlaps that fit alike the smaller one is taken."""
BETWEEN_OVER_WITHIN = 1.1
"""Exchange between nodes is taken for at least so much slower than within one, until it is measured."""


def fit_steps(samples: Sequence[StepSample]) -> StepModel:
    """Fits the step model.

    Args:
        samples: at least one.

    Raises:
        ValueError: there is no sample, or a time of one is not above zero.
    """
    if not samples:
        raise ValueError("a step model needs at least one measured step")
    for sample in samples:
        if not 0 < sample.compute_seconds <= sample.step_seconds:
            raise ValueError(f"a step takes longer than its computing, and both longer than 0: {sample}")
    local = np.array([float(sample.local_batch) for sample in samples])
    replicas = np.array([sample.replicas for sample in samples])
    several = np.array([sample.nodes > 1 for sample in samples])
    computing = np.array([sample.compute_seconds for sample in samples])
    step = np.array([sample.step_seconds for sample in samples])
    constant, per_sample = _fit_compute(local, computing)
    within = ~several & (replicas > 1)
    best: tuple[float, StepModel] | None = None
    for overlap in OVERLAPS:
        exchange, weight = _implied_exchange(computing, step, overlap)
        within_line = _fit_line(replicas, exchange, weight, within)
        between_line = _fit_line(replicas, exchange, weight, several)
        model = StepModel(constant, per_sample, *between_line, *within_line, overlap)
        predicted = model.step_seconds(several, replicas, local, np.ones(local.size, dtype=np.int64))
        loss = float(np.sqrt(np.mean((np.log(predicted) - np.log(step)) ** 2))) + OVERLAP_PENALTY * (overlap - 1.0) ** 2
        if best is None or loss < best[0]:
            best = loss, model
    assert best is not None
    return best[1] if several.any() else _with_prior(best[1])


def _fit_compute(local: FloatArray, computing: FloatArray) -> tuple[float, float]:
    """Constant and slope of a pass; half each where a single batch size cannot tell them apart."""
    if np.all(local == local[0]):
        mean = float(computing.mean())
        return mean / 2, mean / 2 / float(local[0])
    return _non_negative_line(local, computing, 1.0 / computing)


def _implied_exchange(computing: FloatArray, step: FloatArray, overlap: float) -> tuple[FloatArray, FloatArray]:
    """Exchange that explains the step at an overlap, and how much an error in it changes the logarithm of the step."""
    ratio = np.maximum((step / computing) ** overlap - 1.0, 0.0)
    exchange = np.maximum(computing * ratio ** (1.0 / overlap), NOTHING)
    weight = (exchange / step) ** overlap / exchange
    return exchange, weight


def _fit_line(
    replicas: npt.NDArray[np.int64], exchange: FloatArray, weight: FloatArray, rows: BoolArray
) -> tuple[float, float]:
    """Constant and growth of an exchange over one kind of link."""
    if not rows.any():
        return NOTHING, NOTHING
    beyond = np.maximum(replicas[rows] - 2.0, 0.0)
    if np.all(beyond == beyond[0]):
        # One point does not tell growth: all of it is taken for constant.
        return float(np.average(exchange[rows], weights=weight[rows] ** 2 + NOTHING)), NOTHING
    constant, growth = _non_negative_line(beyond, exchange[rows], weight[rows])
    return max(constant, NOTHING), max(growth, NOTHING)


def _non_negative_line(x: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Weighted least squares of y = a + b x with a, b >= 0."""
    w = weight**2 + NOTHING * float(np.max(weight**2))
    total, mean_x, mean_y = w.sum(), np.average(x, weights=w), np.average(y, weights=w)
    variance = float(w @ (x - mean_x) ** 2)
    slope = float(w @ ((x - mean_x) * (y - mean_y))) / variance if variance > 0 else 0.0
    constant = float(mean_y - slope * mean_x)
    if slope < 0 or total <= 0:
        return float(mean_y), NOTHING
    if constant < 0:
        return NOTHING, float(w @ (x * y) / (w @ (x * x)))
    return constant, slope


def _with_prior(model: StepModel) -> StepModel:
    """Nodes are no better connected than GPUs within one."""
    return StepModel(
        model.compute,
        model.compute_per_sample,
        max(model.between_nodes, BETWEEN_OVER_WITHIN * model.within_node),
        max(model.between_nodes_per_replica, BETWEEN_OVER_WITHIN * model.within_node_per_replica),
        model.within_node,
        model.within_node_per_replica,
        model.overlap,
    )
