"""Speed of a training workload by hardware class and replicas: what was measured as it ran, else what is declared.

Between and beyond the known points the curve is Amdahl's law (G. M. Amdahl, "Validity of the single processor approach
to achieving large scale computing capabilities", AFIPS 1967), fitted by least squares: replicas over speed is a line
in the number of replicas. One point alone scales in proportion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trimtab.api.training import MeasuredScaling
from trimtab.plan.snapshot import TrainingState

_SETTLE_SECONDS = 30.0
"""Time from a start until the rate over the last scrapes is that of full running."""
_WEIGHT_OF_NEW = 0.25
"""Weight of a new measurement against what was learned before: one noisy scrape must not turn a schedule."""
_MOST_POINTS = 32


@dataclass(frozen=True)
class ScalingCurve:
    """Samples a second by replicas on one class."""

    points: Mapping[int, float]
    """Known speeds (samples a second, of all replicas together) by number of replicas; at least one."""

    def samples_per_second(self, replicas: int) -> float:
        """Speed of all replicas together."""
        if replicas in self.points:
            return self.points[replicas]
        counts = np.array(sorted(self.points), dtype=float)
        speeds = np.array([self.points[int(k)] for k in counts])
        if len(counts) == 1:
            return float(speeds[0] * replicas / counts[0])
        slope, intercept = np.polyfit(counts - 1.0, counts / speeds, 1)
        if slope <= 0.0 or intercept <= 0.0:
            # Better than proportional, or noise: the best speed of one replica that was seen, and no more.
            return float(np.max(speeds / counts) * replicas)
        return float(replicas / (intercept + slope * (replicas - 1.0)))


def scaling_curve(state: TrainingState, hardware_class: str) -> ScalingCurve | None:
    """The curve on a class; None while nothing is known of the workload there."""
    known = {p.replicas: p.samples_per_second for p in state.spec.profiles if p.hardware_class == hardware_class}
    recorded = state.status.progress.scaling if state.status.progress else ()
    measured = {p.replicas: p.samples_per_second for p in recorded if p.hardware_class == hardware_class}
    if state.job is not None and state.job.hardware_class == hardware_class:
        present = state.metrics.samples_per_second if state.metrics else None
        if present and state.job.replicas and state.job.replicas not in measured:
            measured[state.job.replicas] = present
    last, decided = state.status.progress, state.status.decision
    if last and last.samples_per_second and decided and decided.hardware_class == hardware_class and decided.replicas:
        # It ran too shortly for its speed to be kept as learned: better than nothing.
        measured.setdefault(decided.replicas, last.samples_per_second)
    if measured:
        # What is declared of other counts keeps its shape and takes the height of what was measured.
        nearest = min(measured, key=lambda k: (abs(k - max(measured)), k))
        if known:
            factor = measured[nearest] / ScalingCurve(known).samples_per_second(nearest)
            known = {k: v * factor for k, v in known.items()}
        known |= measured
    return ScalingCurve(known) if known else None


def learned_scaling(state: TrainingState, now: datetime) -> tuple[MeasuredScaling, ...]:
    """What has been measured so far, the present measurement included.

    Nothing is learned while pods come and go: the rate is then of a part of the gang.
    """
    recorded = state.status.progress.scaling if state.status.progress else ()
    job, metrics = state.job, state.metrics
    if job is None or metrics is None or job.suspended or job.ready < job.replicas or not metrics.samples_per_second:
        return recorded
    started = [p.started_at for p in state.pods if p.started_at is not None and not p.deleting]
    if not started or (now - max(started)).total_seconds() < _SETTLE_SECONDS or metrics.observed_at < max(started):
        return recorded
    key = (job.hardware_class, job.replicas)
    before = {(p.hardware_class, p.replicas): p for p in recorded}
    old = before.get(key)
    speed = metrics.samples_per_second
    if old is not None:
        speed = old.samples_per_second + _WEIGHT_OF_NEW * (speed - old.samples_per_second)
    new = MeasuredScaling(hardware_class=job.hardware_class, replicas=job.replicas, samples_per_second=speed)
    kept = [p for k, p in before.items() if k != key]
    return (*kept[-(_MOST_POINTS - 1) :], new)
