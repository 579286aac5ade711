"""Conditions that several kinds show: whether the data behind a decision is good."""

from datetime import timedelta

from trimtab.api.common import ConditionStatus
from trimtab.plan.decisions import ConditionValue
from trimtab.plan.snapshot import MetricsHealth, Snapshot

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def condition(kind: str, holds: bool | None, reason: str, message: str = "") -> ConditionValue:
    """Build a condition; `holds` None means Unknown."""
    status = UNKNOWN if holds is None else TRUE if holds else FALSE
    return ConditionValue(type=kind, status=status, reason=reason, message=message)


def metrics_condition(snapshot: Snapshot, observed: bool, fresh: bool, expected: bool) -> ConditionValue:
    """`MetricsAvailable`.

    Args:
        snapshot: For the health of Prometheus.
        observed: Whether there are any metrics of the workload.
        fresh: Whether they are recent.
        expected: Whether there should be any (its pods run).
    """
    if snapshot.metrics_health is MetricsHealth.NOT_CONFIGURED:
        return condition("MetricsAvailable", False, "NotConfigured", "no Prometheus URL was given to the operator")
    if snapshot.metrics_health is MetricsHealth.UNREACHABLE:
        return condition("MetricsAvailable", False, "PrometheusUnreachable", snapshot.metrics_message)
    if observed and fresh:
        return condition("MetricsAvailable", True, "Fresh")
    if observed:
        limit = timedelta(seconds=snapshot.metrics_stale_seconds)
        return condition("MetricsAvailable", False, "Stale", f"the newest sample is older than {limit}")
    if expected:
        return condition(
            "MetricsAvailable", None, "NotYetScraped", "its pods run, but Prometheus has no sample of them"
        )
    return condition("MetricsAvailable", None, "NothingRuns", "nothing runs yet that could be measured")


def carbon_condition(snapshot: Snapshot, zone: str, known: bool) -> ConditionValue:
    """`CarbonDataFresh` for a grid zone."""
    if known:
        return condition("CarbonDataFresh", True, "Fresh", f"zone {zone}")
    problems = [s.problem for s in snapshot.carbon if s.spec.zone == zone and s.problem]
    if problems:
        return condition("CarbonDataFresh", False, "SourceFailed", f"zone {zone}: {problems[0]}")
    return condition(
        "CarbonDataFresh",
        False,
        "NoCarbonSource",
        f"no CarbonSource with spec.zone {zone!r}: carbon is not counted",
    )
