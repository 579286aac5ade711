"""What CarbonSources show: whether their data is fresh, and whether their zone is decided by them."""

from trimtab.plan.conditions import condition, earlier_sources, named_source, troubles
from trimtab.plan.decisions import ConditionValue, ObjectConditions
from trimtab.plan.intensity import in_force, is_fresh, ranked
from trimtab.plan.snapshot import CarbonState, Snapshot


def carbon_source_conditions(snapshot: Snapshot) -> tuple[ObjectConditions, ...]:
    """The conditions of every CarbonSource."""
    chosen = in_force(snapshot.carbon, snapshot.taken_at)
    chains = ranked(snapshot.carbon)
    shown = []
    for state in snapshot.carbon:
        zone = state.spec.zone
        conditions = (_fresh(state, snapshot), _in_force(state, chains[zone], chosen.get(zone), snapshot))
        shown.append(ObjectConditions(key=state.meta.key, conditions=conditions))
    return tuple(shown)


def _fresh(state: CarbonState, snapshot: Snapshot) -> ConditionValue:
    """`CarbonDataFresh`."""
    if state.problem:
        return condition("CarbonDataFresh", False, state.reason or "SourceFailed", state.problem)
    if not is_fresh(state, snapshot.taken_at):
        return condition("CarbonDataFresh", False, "NoData", "the source has no figure for the present")
    return condition("CarbonDataFresh", True, "Fresh", state.note)


def _in_force(
    state: CarbonState, chain: tuple[CarbonState, ...], chosen: CarbonState | None, snapshot: Snapshot
) -> ConditionValue:
    """`InForce`."""
    zone = state.spec.zone
    if chosen is None:
        return condition(
            "InForce", False, "NotUsable", f"no source of zone {zone} can be used: its carbon is not known"
        )
    if chosen.meta.key != state.meta.key:
        earlier = chain.index(chosen) < chain.index(state)
        reason = "OtherComesFirst" if earlier and is_fresh(chosen, snapshot.taken_at) else "NotFresh"
        return condition("InForce", False, reason, f"zone {zone} is decided by {named_source(chosen)}")
    earlier_ones = earlier_sources(state, chain)
    if not is_fresh(state, snapshot.taken_at):
        return condition(
            "InForce", True, "LastKnown", f"no source of zone {zone} is fresh: what this one gave reaches on"
        )
    if earlier_ones:
        return condition("InForce", True, "Fallback", troubles(earlier_ones))
    return condition("InForce", True, "First")
