"""Conditions that several kinds show: whether the data behind a decision is good."""

from datetime import timedelta

from trimtab.api.common import ConditionStatus
from trimtab.plan.decisions import ConditionValue
from trimtab.plan.intensity import in_force, is_fresh, ranked
from trimtab.plan.snapshot import CarbonState, MetricsHealth, Snapshot

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
    # Of this zone only: a pass asks this for every workload.
    chain = ranked(s for s in snapshot.carbon if s.spec.zone == zone).get(zone, ())
    source = in_force(chain, snapshot.taken_at).get(zone)
    if known and (source is None or is_fresh(source, snapshot.taken_at)):
        return condition("CarbonDataFresh", True, "Fresh", _zone_message(zone, source, chain))
    troubled = [s for s in chain if s.problem]
    if troubled:
        said = f"zone {zone}: {troubled[0].meta.name}: {troubled[0].problem}"
        said += "; what it gave before stays in force as far as it reaches" if known else ""
        return condition("CarbonDataFresh", False, troubled[0].reason or "SourceFailed", said)
    return condition(
        "CarbonDataFresh",
        False,
        "NoCarbonSource",
        f"no CarbonSource with spec.zone {zone!r}: carbon is not counted",
    )


def _zone_message(zone: str, source: CarbonState | None, chain: tuple[CarbonState, ...]) -> str:
    """Which source a zone is decided by, and why not by an earlier one of its chain."""
    if source is None:
        return f"zone {zone}"
    said = f"zone {zone} by {named_source(source)}"
    earlier = earlier_sources(source, chain)
    return f"{said}; {troubles(earlier)}" if earlier else said


def named_source(source: CarbonState) -> str:
    """A source as messages name it."""
    return f"CarbonSource {source.meta.name} (priority {source.spec.rank})"


def earlier_sources(source: CarbonState, chain: tuple[CarbonState, ...]) -> tuple[CarbonState, ...]:
    """Those that come before a source in its chain."""
    return chain[: [s.meta.key for s in chain].index(source.meta.key)]


def troubles(sources: tuple[CarbonState, ...]) -> str:
    """Why sources are passed over, in short."""
    said = [f"{s.meta.name}: {(s.problem or 'no figure for the present')[:200]}" for s in sources[:3]]
    return "not fresh: " + "; ".join(said)
