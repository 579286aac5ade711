"""Finds what the baselines of workloads are worked out from, in a Snapshot."""

from trimtab.api.common import Usage
from trimtab.ledger.booking import Intensity
from trimtab.ledger.savings import ServingBaseline, TrainingBaseline, serving_savings, training_savings
from trimtab.plan.snapshot import ServingState, Snapshot, TrainingState


def with_savings(state: TrainingState | ServingState, usage: Usage, snapshot: Snapshot, intensity: Intensity) -> Usage:
    """The account with what was saved against the baseline, as far as that can be said."""
    if isinstance(state, TrainingState):
        savings = training_savings(usage, _training(state, snapshot), intensity)
    else:
        savings = serving_savings(usage, _serving(state, snapshot))
    return usage.model_copy(update={"savings": savings})


def _training(state: TrainingState, snapshot: Snapshot) -> TrainingBaseline:
    decided = state.status.decision.hardware_class if state.status.decision is not None else ""
    name = decided or next((pod.hardware_class for pod in state.pods), "")
    scaling = state.status.progress.scaling if state.status.progress is not None else ()
    speeds = {one.replicas: one.samples_per_second for one in scaling if one.hardware_class == name}
    pods = sum(1 for pod in state.pods if pod.phase == "Running")
    most = state.spec.max_replicas
    more = 1.0
    if speeds.get(most) and speeds.get(pods):
        more = (most / speeds[most]) / (pods / speeds[pods])
    zones = {h.meta.name: h.spec.grid_zone for h in snapshot.hardware}
    return TrainingBaseline(state.meta.created_at, most, more, zones.get(name, ""))


def _serving(state: ServingState, snapshot: Snapshot) -> ServingBaseline:
    baseline, active = state.spec.variants[0], state.status.active_variant
    seconds = {
        v.meta.name: v.status.profile[0].cpu_seconds_per_item
        for v in snapshot.variants
        if v.meta.namespace == state.meta.namespace and v.status.profile
    }
    more = seconds[baseline] / seconds[active] if seconds.get(baseline) and seconds.get(active) else 1.0
    return ServingBaseline(state.meta.created_at, state.spec.max_replicas, more, baseline)
