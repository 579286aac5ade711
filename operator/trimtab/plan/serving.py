"""Decides for one serving workload: which variant, on what, how many replicas, and why."""

from collections.abc import Mapping
from datetime import datetime

from trimtab.api.common import Rate, Reason
from trimtab.api.policy import Mode
from trimtab.api.serving import VariantVersion
from trimtab.plan.capacity import Capacity
from trimtab.plan.decisions import EventNote, ServingDecision
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import units_per_replica
from trimtab.plan.serving_choice import choose
from trimtab.plan.serving_conditions import serving_conditions
from trimtab.plan.serving_load import SETTLE_SECONDS, Load, capacity_correction, observe_load, switched_within
from trimtab.plan.serving_options import ServingOption, profiled_items_per_second, serving_options
from trimtab.plan.serving_scale import Scale, current_replicas, scale
from trimtab.plan.snapshot import ServingState, Snapshot, VariantState


def allocate_versions(known: tuple[VariantVersion, ...], names: tuple[str, ...]) -> tuple[VariantVersion, ...]:
    """Give each new variant the next version of the Triton model. A version once given stays its variant's for ever."""
    versions = {v.name: v.version for v in known}
    for name in names:
        if name not in versions:
            versions[name] = max(versions.values(), default=0) + 1
    return tuple(VariantVersion(name=name, version=version) for name, version in versions.items())


def eligible_variants(
    state: ServingState, variants: Mapping[str, VariantState], accepted: Mapping[str, bool]
) -> list[VariantState]:
    """The workload's variants whose artifact exists, whose gate passed, and whose accuracy reaches the floor."""
    keys = [f"{state.meta.namespace}/{name}" for name in state.spec.variants]
    ready = [variants[key] for key in keys if accepted.get(key) and variants[key].status.accuracy is not None]
    floor = state.spec.targets.min_accuracy
    return [v for v in ready if v.status.accuracy is not None and v.status.accuracy.value >= floor]


def current_variant(state: ServingState) -> str:
    """The variant decided on last, where the decision was carried out; else the one that serves."""
    last = state.status.decision
    carried_out = last is not None and last.mode == Mode.ENFORCE and last.variant
    return last.variant if last is not None and carried_out else state.status.active_variant


def _settling(state: ServingState, now: datetime) -> bool:
    """Whether the variant was changed just now: long enough to be seen, and as long as fewer replicas have to wait."""
    patience = max(SETTLE_SECONDS, state.spec.scaling.scale_down_stabilization.total_seconds())
    return switched_within(state, now, patience)


def _current_class(state: ServingState) -> str:
    largest = max(state.deployments, key=lambda d: d.replicas, default=None)
    return largest.hardware_class if largest else ""


def _correction(state: ServingState, snapshot: Snapshot, variants: Mapping[str, VariantState]) -> float | None:
    """What the live server says of the profiles, learned from the variant and class that serve."""
    active = variants.get(f"{state.meta.namespace}/{state.status.active_variant}")
    hardware = next((h for h in snapshot.hardware if h.meta.name == _current_class(state)), None)
    known = profiled_items_per_second(state, active, hardware) if active and hardware else None
    return capacity_correction(state, known, snapshot.taken_at)


def _hold(state: ServingState, option: ServingOption, most: int) -> Scale:
    """Metrics are missing: never guess down. Hold what runs, or the declared fallback where that is more."""
    current = current_replicas(state, option.hardware_class)
    floor = state.spec.fallback.replicas if state.spec.fallback else 0
    replicas = max(1, min(most, max(current, floor, state.spec.min_replicas)))
    if current == 0:
        return Scale(replicas, None, Reason(code="Starts", message=f"starts with {replicas} replicas"))
    text = f"no fresh metrics: holds {replicas} replicas of what runs"
    return Scale(replicas, None, Reason(code="MetricsMissing", message=text))


def _events(state: ServingState, variant: str, replicas: int, reasons: tuple[Reason, ...]) -> tuple[EventNote, ...]:
    before = state.status.decision
    notes: list[EventNote] = []
    if before is None or not before.variant:
        return (EventNote(reason="Starts", message=reasons[0].message),)
    if before.variant != variant:
        text = f"{before.variant} -> {variant}: {reasons[0].message}"
        notes.append(EventNote(reason="SwitchVariant", message=text))
    if before.replicas != replicas:
        why = reasons[-1].message if len(reasons) > 1 else reasons[0].message
        word = "ScaleUp" if replicas > before.replicas else "ScaleDown"
        notes.append(EventNote(reason=word, message=f"{before.replicas} -> {replicas} replicas: {why}"))
    return tuple(notes)


def _nothing(
    state: ServingState, snapshot: Snapshot, policy: EffectivePolicy, load: Load, reason: Reason,
    versions: tuple[VariantVersion, ...], available: tuple[str, ...], missing: tuple[str, ...],
) -> ServingDecision:  # fmt: skip
    """Nothing can be chosen anew. What runs keeps running."""
    hardware_class = _current_class(state)
    current = current_replicas(state, hardware_class)
    kept = current_variant(state) if current else ""
    return ServingDecision(
        key=state.meta.key, mode=policy.mode, variant=kept, versions=versions, available=available,
        hardware_class=hardware_class, replicas=current, reasons=(reason,),
        conditions=serving_conditions(state, snapshot, load, None, current, kept, (reason,), missing),
        events=(), message=reason.message,
    )  # fmt: skip


def plan_serving(
    state: ServingState,
    snapshot: Snapshot,
    policy: EffectivePolicy,
    intensity_by_zone: dict[str, float],
    capacity: Capacity,
    accepted: Mapping[str, bool],
) -> ServingDecision:
    """Decide for one workload, and take what it gets out of `capacity`.

    Args:
        state: The workload.
        snapshot: The world.
        policy: What holds for it.
        intensity_by_zone: gCO2e/kWh now.
        capacity: What is left of each class.
        accepted: By key, whether a variant's artifact is there and its gate passed.
    """
    now = snapshot.taken_at
    load = observe_load(state, now, snapshot.metrics_stale_seconds)
    variants = {v.meta.key: v for v in snapshot.variants}
    versions = allocate_versions(state.status.variants, state.spec.variants)
    keys = {name: f"{state.meta.namespace}/{name}" for name in state.spec.variants}
    missing = tuple(name for name, key in keys.items() if key not in variants)
    available = tuple(name for name, key in keys.items() if accepted.get(key))
    eligible = eligible_variants(state, variants, accepted)
    correction = _correction(state, snapshot, variants)
    if not eligible:
        reason = _why_none(state, missing, available)
        return _nothing(state, snapshot, policy, load, reason, versions, available, missing)
    options = serving_options(
        state, eligible, snapshot.hardware, load.steady_requests_per_second, state.spec.min_replicas, policy,
        intensity_by_zone, capacity, correction or 1.0,
    )  # fmt: skip
    if not load.fresh:
        # Nothing is known of the load: stay with the variant that serves, where it still may.
        options = [o for o in options if o.variant == current_variant(state)] or options
    choice = choose(options, policy, current_variant(state), _current_class(state), _settling(state, now))
    if choice is None:
        text = "no HardwareClass with free capacity offers what spec.resources asks for"
        reason = Reason(code="CapacityShort", message=text)
        return _nothing(state, snapshot, policy, load, reason, versions, available, missing)
    option = choice.option
    units = units_per_replica(state.spec.resources, option.candidate.hardware)
    most = max(1, min(state.spec.max_replicas, capacity.replicas(option.candidate.hardware, units)))
    settled = scale(state, option, load, most, now) if load.fresh else _hold(state, option, most)
    final = option.candidate.with_replicas(settled.replicas)
    capacity.take(option.hardware_class, units * settled.replicas)
    reasons = (choice.reason, settled.reason) if settled.reason else (choice.reason,)
    rate: Rate = final.rate
    return ServingDecision(
        key=state.meta.key,
        mode=policy.mode,
        variant=option.variant,
        versions=versions,
        available=available,
        hardware_class=option.hardware_class,
        replicas=settled.replicas,
        predicted_latency_ms=final.latency_ms if final.latency_ms != float("inf") else None,
        rate=rate,
        simulated=option.candidate.hardware.spec.simulated,
        capacity_correction=correction,
        low_since=settled.low_since,
        reasons=reasons,
        conditions=serving_conditions(state, snapshot, load, final, settled.replicas, option.variant, reasons, missing),
        events=_events(state, option.variant, settled.replicas, reasons),
        message=reasons[-1].message,
    )


def _why_none(state: ServingState, missing: tuple[str, ...], available: tuple[str, ...]) -> Reason:
    if available:
        text = f"none of {', '.join(available)} reaches targets.minAccuracy {state.spec.targets.min_accuracy:g}"
        return Reason(code="NoVariantAccurateEnough", message=text)
    if len(missing) == len(state.spec.variants):
        return Reason(code="VariantNotFound", message=f"no ModelVariant named {', '.join(missing)} in this namespace")
    waiting = [name for name in state.spec.variants if name not in missing]
    return Reason(code="VariantsNotReady", message=f"waits for ModelVariant {', '.join(waiting)} to be made")
