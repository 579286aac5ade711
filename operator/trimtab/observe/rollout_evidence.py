"""What the two variants of each roll-out in progress did, interval by interval: four queries for all of them.

It is read anew from the roll-out's begin in each pass, so that nothing is lost or counted twice with the operator.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from trimtab.api.rollout import RolloutPhase, RolloutStatus
from trimtab.observe.facts import SERVING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series, at_time
from trimtab.plan.serving.load import QUANTILES, latency_quantile
from trimtab.plan.serving_facts import RolloutCounts, RolloutInterval
from trimtab.plan.snapshot import ServingState

_SUCCESS, _FAILURE = "nv_inference_request_success", "nv_inference_request_failure"
_DURATION, _QUEUE = "nv_inference_request_duration_us", "nv_inference_queue_duration_us"
COUNTERS = (_SUCCESS, _FAILURE, _DURATION, _QUEUE)
_LONGEST = timedelta(hours=24)

Increases = Mapping[str, list[Series]]
"""By counter: its increase by workload, model and version, at the end of each interval."""


def running(state: ServingState) -> RolloutStatus | None:
    """The roll-out of a workload that is in progress."""
    rollout = state.status.rollout
    return rollout if rollout is not None and rollout.phase is RolloutPhase.RUNNING else None


def evidence_queries(states: Iterable[ServingState], interval_seconds: float, now: datetime) -> Mapping[str, str]:
    """One query for each counter, as far back as the oldest roll-out began; empty when there is none."""
    begins = [rollout.started_at for rollout in map(running, states) if rollout is not None]
    if not begins:
        return {}
    back, step = min(_LONGEST, now - min(begins)), seconds(interval_seconds)
    span = seconds(max(interval_seconds, back.total_seconds()))
    return {
        counter: (
            "sum by (namespace, workload, model, version) "
            f'(increase({counter}{{workload_kind="{SERVING}",workload!=""}}[{step}]))[{span}:{step}]'
        )
        for counter in COUNTERS
    }


def rollout_intervals(state: ServingState, found: Increases, interval_seconds: float) -> tuple[RolloutInterval, ...]:
    """What both variants of a workload's roll-out did in each interval since it began, the oldest first.

    Args:
        state: The workload.
        found: Series of the workload, by counter.
        interval_seconds: Length of an interval; one that began before the roll-out is left out.
    """
    rollout = running(state)
    if rollout is None:
        return ()
    versions = {one.name: str(one.version) for one in state.status.variants}
    candidate, stable = versions.get(rollout.candidate), versions.get(rollout.stable)
    first = rollout.started_at.timestamp() + interval_seconds
    values: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for counter, series in found.items():
        for one in (one for one in series if one.label("model") == state.spec.model):
            values[counter, one.label("version")].update({at: value for at, value in one.points if at >= first})
    quantile = QUANTILES[state.spec.targets.latency.percentile]

    def counts(version: str | None, at: float) -> RolloutCounts:
        of = {counter: values[counter, version or ""].get(at, 0.0) for counter in COUNTERS}
        return _counts(of, quantile)

    instants = sorted({at for points in values.values() for at in points})
    return tuple(
        RolloutInterval(ends_at=at_time(at), candidate=counts(candidate, at), stable=counts(stable, at))
        for at in instants
    )


def _counts(increases: Mapping[str, float], quantile: float) -> RolloutCounts:
    answered, failed = increases[_SUCCESS], increases[_FAILURE]
    if answered < 1.0:  # Less than a request is the rounding of an increase.
        return RolloutCounts(requests=answered + failed, failures=failed)
    queue_ms, whole_ms = (increases[name] / answered / 1000.0 for name in (_QUEUE, _DURATION))
    latency = latency_quantile(queue_ms, max(0.0, whole_ms - queue_ms), quantile)
    return RolloutCounts(requests=answered + failed, failures=failed, latency_ms=latency)
