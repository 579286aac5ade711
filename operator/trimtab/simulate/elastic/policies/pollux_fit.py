"""The fit of Pollux's agent: parameters of the step time from all configurations that the job has run in.

Qiao et al., "Pollux", OSDI 2021, section 4.1: least root mean squared logarithmic error, with priors while a job has
not been on several GPUs or nodes: exploration must look worthwhile. The artifact minimizes by L-BFGS-B; here it is
the truncated Newton method (Nash, SIAM Journal on Numerical Analysis 1984), which ends no higher and calls no
threaded linear algebra: for seven parameters that costs more than it computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from trimtab.plan.elastic.throughput import NOTHING, StepModel, StepSample

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

OVERLAP_PENALTY = 1e-3
GROWTH_PENALTY = 1e-2
PRIOR_BETWEEN_OVER_WITHIN = 1.1
"""Exchange between nodes is taken for at least so much slower than within one, until it is measured."""


@dataclass(frozen=True)
class _Observations:
    """Columns of the samples. Shape of each: (samples,)."""

    local: FloatArray
    compute: FloatArray
    step: FloatArray
    several: BoolArray
    within: BoolArray
    beyond_two: FloatArray


def fit_steps(samples: Sequence[StepSample]) -> StepModel:
    """Fits the step model.

    Args:
        samples: at least one, each of another configuration.
    """
    nodes = np.array([sample.nodes for sample in samples])
    replicas = np.array([sample.replicas for sample in samples])
    seen = _Observations(
        local=np.array([sample.local_batch for sample in samples], dtype=float),
        compute=np.array([sample.compute_seconds for sample in samples]),
        step=np.array([sample.step_seconds for sample in samples]),
        several=nodes > 1,
        within=(nodes == 1) & (replicas > 1),
        beyond_two=np.maximum(replicas - 2.0, NOTHING),
    )
    start = np.array([1e-1, 1e-2] * 3 + [1.0 + 1e-3])
    lower = np.array([1e-8] * 6 + [1.0])
    upper = np.array([np.inf] * 6 + [10.0])
    if np.unique(seen.local).size == 1:
        # One batch size cannot tell the constant from the slope: half each.
        start[0] = lower[0] = upper[0] = seen.compute.mean() / 2
    fixed = [2, 3] * (not seen.several.any()) + [4, 5] * (not seen.within.any()) + [3, 5] * (not (replicas > 2).any())
    for parameter in fixed:
        start[parameter] = upper[parameter] = lower[parameter]
    result = minimize(
        _loss, start, args=(seen,), jac=True, method="TNC", bounds=np.column_stack([lower, upper]).tolist()
    )
    fitted = result.x
    if not seen.several.any():
        fitted[2] = max(fitted[2], fitted[4] * PRIOR_BETWEEN_OVER_WITHIN)
        fitted[3] = max(fitted[3], fitted[5] * PRIOR_BETWEEN_OVER_WITHIN)
    return StepModel(*(float(value) for value in fitted))


def _loss(parameters: FloatArray, seen: _Observations) -> tuple[float, FloatArray]:
    """Loss and its gradient by the parameters."""
    compute0, compute1, between0, between1, within0, within1, overlap = parameters.tolist()
    computing = compute0 + compute1 * seen.local
    exchanging = np.where(
        seen.several,
        between0 + between1 * seen.beyond_two,
        np.where(seen.within, within0 + within1 * seen.beyond_two, NOTHING),
    )
    log_computing, log_exchanging = np.log(computing), np.log(exchanging)
    log_sum = np.logaddexp(overlap * log_computing, overlap * log_exchanging)
    share_computing = np.exp(overlap * log_computing - log_sum)
    share_exchanging = 1.0 - share_computing
    error_compute = log_computing - np.log(seen.compute)
    error_step = log_sum / overlap - np.log(seen.step)
    rms_compute, rms_step = (float(np.sqrt(np.mean(error**2))) for error in (error_compute, error_step))
    count = seen.local.size
    # Derivative of a root mean square: error / (count * rms); at a perfect fit it is taken for flat.
    weight_compute = error_compute / (count * rms_compute) if rms_compute else np.zeros(count)
    weight_step = error_step / (count * rms_step) if rms_step else np.zeros(count)
    by_computing = (weight_compute + weight_step * share_computing) / computing
    by_exchanging = weight_step * share_exchanging / exchanging
    by_overlap = share_computing * log_computing + share_exchanging * log_exchanging - log_sum / overlap
    growth_between, growth_within = between1 / between0, within1 / within0
    loss = rms_compute + rms_step + OVERLAP_PENALTY * (overlap - 1.0) ** 2
    loss += GROWTH_PENALTY * (growth_between**2 + growth_within**2)
    gradient = np.array(
        [
            by_computing.sum(),
            by_computing @ seen.local,
            by_exchanging @ seen.several - 2 * GROWTH_PENALTY * growth_between**2 / between0,
            by_exchanging @ (seen.several * seen.beyond_two) + 2 * GROWTH_PENALTY * growth_between / between0,
            by_exchanging @ seen.within - 2 * GROWTH_PENALTY * growth_within**2 / within0,
            by_exchanging @ (seen.within * seen.beyond_two) + 2 * GROWTH_PENALTY * growth_within / within0,
            weight_step @ by_overlap / overlap + 2 * OVERLAP_PENALTY * (overlap - 1.0),
        ]
    )
    return loss, gradient
