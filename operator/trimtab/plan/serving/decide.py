"""Decides for all serving workloads together: which variant, on what, how many replicas, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trimtab.api.common import Rate, Reason
from trimtab.api.policy import Mode
from trimtab.api.serving import VariantVersion
from trimtab.plan.capacity import Capacity
from trimtab.plan.decisions import EventNote, ServingDecision
from trimtab.plan.fleet.control import control
from trimtab.plan.fleet.problem import Decision, Fleet, Pool, Workload
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import units_per_replica
from trimtab.plan.serving.conditions import (
    asleep_conditions,
    rollout_conditions,
    serving_conditions,
    stopped_conditions,
)
from trimtab.plan.serving.load import ObservedLoad, capacity_correction, observe_load
from trimtab.plan.serving.sleep import Sleep, sleep
from trimtab.plan.serving.trial import (
    HELD_BACK,
    LEAST_REPLICAS,
    Trial,
    begin,
    begins,
    canary_pods,
    carry_on,
    notes,
    reasons_of,
    superseded,
)
from trimtab.plan.serving.workload import (
    at_least,
    batch_profile,
    options_of,
    pool_of,
    profiled_items_per_second,
    running_of,
    workload_of,
)
from trimtab.plan.snapshot import HardwareState, ServingState, Snapshot, VariantState


def allocate_versions(known: tuple[VariantVersion, ...], names: tuple[str, ...]) -> tuple[VariantVersion, ...]:
    """Give each new variant the next version of the Triton model. A version once given stays its variant's for ever."""
    versions = {v.name: v.version for v in known}
    for name in names:
        if name not in versions:
            versions[name] = max(versions.values(), default=0) + 1
    return tuple(VariantVersion(name=name, version=version) for name, version in versions.items())


def eligible_variants(
    state: ServingState, policy: EffectivePolicy, variants: Mapping[str, VariantState], accepted: Mapping[str, bool]
) -> list[VariantState]:
    """The workload's variants whose artifact exists, whose gate passed, and whose accuracy reaches the floor."""
    keys = [f"{state.meta.namespace}/{name}" for name in state.spec.variants]
    ready = [variants[key] for key in keys if accepted.get(key) and variants[key].status.accuracy is not None]
    floor = max(state.spec.targets.min_accuracy, policy.min_accuracy)
    return [v for v in ready if v.status.accuracy is not None and v.status.accuracy.value >= floor]


def current_variant(state: ServingState) -> str:
    """The variant decided on last, where the decision was carried out; else the one that serves."""
    last = state.status.decision
    carried_out = last is not None and last.mode == Mode.ENFORCE and last.variant
    return last.variant if last is not None and carried_out else state.status.active_variant


@dataclass(frozen=True)
class _Case:
    """One workload on its way to a decision."""

    state: ServingState
    policy: EffectivePolicy
    load: ObservedLoad
    versions: tuple[VariantVersion, ...]
    available: tuple[str, ...]
    missing: tuple[str, ...]
    correction: float | None
    workload: Workload
    refusal: Reason | None
    """Why none of its variants may serve; None where one may."""
    trial: Trial
    """Its roll-out."""
    sleep: Sleep
    """Whether it sleeps."""

    @property
    def decided(self) -> bool:
        """Something is chosen anew for it in this pass."""
        return self.refusal is None and self.sleep.reason is None

    @property
    def led_to_waker(self) -> bool:
        """There is no server that could answer, and what holds requests."""
        return self.sleep.possible and not any(pod.ready and not pod.deleting for pod in self.state.pods)


def plan_serving(
    states: Sequence[ServingState],
    snapshot: Snapshot,
    policies: Mapping[str, EffectivePolicy],
    intensity_by_zone: Mapping[str, float],
    capacity: Capacity,
    accepted: Mapping[str, bool],
) -> tuple[ServingDecision, ...]:
    """Decide for all workloads at once, and take what they get out of `capacity`.

    Args:
        states: The workloads, those that go first where capacity is short first.
        snapshot: The world.
        policies: What holds for each, by key.
        intensity_by_zone: gCO2e/kWh now.
        capacity: What is left of each class.
        accepted: By key, whether a variant's artifact is there and its gate passed.

    Returns:
        The decisions, in the order of the workloads.
    """
    variants = {v.meta.key: v for v in snapshot.variants}
    classes = {h.meta.name: h for h in snapshot.hardware}
    cases = [_case(s, snapshot, policies[s.meta.key], variants, classes, accepted) for s in states]
    for case in cases:
        hardware = classes.get(case.workload.running.pool)
        if case.refusal is not None and case.policy.stop is None and hardware is not None:
            # Nothing is decided for it: what runs goes on, and holds what it holds.
            units = units_per_replica(case.state.spec.resources, hardware)
            capacity.take(hardware.meta.name, units * case.workload.running.replicas)
    pools = tuple(
        pool_of(h, capacity.left(name), intensity_by_zone.get(h.spec.grid_zone)) for name, h in classes.items()
    )
    decided = _control(snapshot, pools, cases)
    begun = [_tried(case, decided, snapshot) for case in cases]
    if begun != cases:
        # What is only tried is not decided on: what serves goes on, with a replica for each of the two at least.
        cases, decided = begun, _control(snapshot, pools, begun)
    return tuple(_decide(case, snapshot, classes, capacity, decided) for case in cases)


def _control(snapshot: Snapshot, pools: tuple[Pool, ...], cases: Sequence[_Case]) -> dict[str, Decision]:
    workloads = tuple(case.workload for case in cases if case.decided)
    return {d.key: d for d in control(Fleet(snapshot.taken_at.timestamp(), pools, workloads))}


def _tried(case: _Case, decided: Mapping[str, Decision], snapshot: Snapshot) -> _Case:
    """The case with a roll-out begun, where the change that was decided on is one to be tried first."""
    state, running, found = case.state, case.workload.running, decided.get(case.state.meta.key)
    if found is None or not found.placements or not case.load.fresh or case.trial.rollout is not state.status.rollout:
        return case
    same_class = found.placements[0].pool == running.pool
    if not begins(state, case.policy.mode, running.variant, found.variant, found.reasons[0].code, same_class):
        return case
    kept = tuple(o for o in case.workload.options if o.variant == running.variant)
    if not kept:
        return case
    trial = begin(case.trial, running.variant, found.variant, found.reasons[0].message, snapshot.taken_at)
    return replace(case, trial=trial, workload=at_least(replace(case.workload, options=kept), LEAST_REPLICAS))


def _decide(
    case: _Case,
    snapshot: Snapshot,
    classes: Mapping[str, HardwareState],
    capacity: Capacity,
    decided: Mapping[str, Decision],
) -> ServingDecision:
    if case.policy.stop is not None:
        return _carried(case, _stopped(case, snapshot, case.policy.stop))
    if case.refusal is not None:
        return _carried(case, _nothing(case, snapshot, case.refusal))
    if case.sleep.reason is not None:
        return _carried(case, _asleep(case, snapshot, case.sleep.reason))
    return _decision(case, snapshot, classes, capacity, decided[case.state.meta.key])


def _case(
    state: ServingState,
    snapshot: Snapshot,
    policy: EffectivePolicy,
    variants: Mapping[str, VariantState],
    classes: Mapping[str, HardwareState],
    accepted: Mapping[str, bool],
) -> _Case:
    now = snapshot.taken_at
    load = observe_load(state, now, snapshot.metrics_stale_seconds)
    keys = {name: f"{state.meta.namespace}/{name}" for name in state.spec.variants}
    missing = tuple(name for name, key in keys.items() if key not in variants)
    available = tuple(name for name, key in keys.items() if accepted.get(key))
    eligible = eligible_variants(state, policy, variants, accepted)
    correction, current = _correction(state, snapshot, variants, classes), current_variant(state)
    asleep = sleep(state, policy.mode, now)
    stopped = policy.stop is not None or asleep.reason is not None
    trial = carry_on(state, policy.mode, eligible, load.breached, current, now, stopped=stopped)
    options = options_of(state, trial.may_serve(eligible), snapshot.hardware)
    running = running_of(state, current, correction or 1.0, now)
    workload = workload_of(state, options, policy, load, running)
    return _Case(
        state=state,
        policy=policy,
        load=load,
        versions=allocate_versions(state.status.variants, state.spec.variants),
        available=available,
        missing=missing,
        correction=correction,
        workload=at_least(workload, LEAST_REPLICAS) if trial.runs else workload,
        refusal=policy.stop or (None if eligible else _why_none(state, policy, missing, available)),
        trial=trial,
        sleep=asleep,
    )


def _correction(
    state: ServingState,
    snapshot: Snapshot,
    variants: Mapping[str, VariantState],
    classes: Mapping[str, HardwareState],
) -> float | None:
    """What the live server says of the profiles, learned from the variant and class that serve."""
    active = variants.get(f"{state.meta.namespace}/{state.status.active_variant}")
    largest = max(state.deployments, key=lambda d: d.replicas, default=None)
    hardware = classes.get(largest.hardware_class) if largest else None
    profile = batch_profile(state, active, hardware) if active and hardware else None
    batch = state.metrics.mean_batch if state.metrics is not None else None
    known = profiled_items_per_second(profile, batch or 1.0) if profile else None
    return capacity_correction(state, known, snapshot.taken_at)


def _carried(case: _Case, decision: ServingDecision) -> ServingDecision:
    """A decision that chooses nothing, with what is to be remembered of roll-outs."""
    trial = case.trial
    return decision.model_copy(
        update={
            "rollout": trial.rollout,
            "rejected": trial.rejected,
            "conditions": (*decision.conditions, *rollout_conditions(trial.rollout)),
            "events": (*decision.events, *notes(case.state, trial)),
        }
    )


def _decision(
    case: _Case,
    snapshot: Snapshot,
    classes: Mapping[str, HardwareState],
    capacity: Capacity,
    decided: Decision,
) -> ServingDecision:
    state = case.state
    if not decided.placements:
        return _carried(case, _nothing(case, snapshot, decided.reasons[0]))
    placement = decided.placements[0]
    hardware = classes[placement.pool]
    capacity.take(placement.pool, units_per_replica(state.spec.resources, hardware) * placement.replicas)
    spent, low_since = decided.spending, decided.low_since_seconds
    trial = _still(case.trial, case.load, decided, snapshot)
    versions = {v.name: v.version for v in case.versions}
    return ServingDecision(
        key=state.meta.key,
        mode=case.policy.mode,
        variant=decided.variant,
        versions=case.versions,
        available=case.available,
        hardware_class=placement.pool,
        replicas=placement.replicas,
        holds_requests=case.sleep.possible,
        led_to_waker=case.led_to_waker,
        predicted_latency_ms=decided.latency_seconds * 1000.0 if decided.latency_seconds != float("inf") else None,
        rate=Rate(
            cost_usd_per_hour=spent.usd_per_hour,
            power_watts=spent.watts,
            carbon_grams_per_hour=spent.grams_per_hour,
        ),
        simulated=hardware.spec.simulated,
        capacity_correction=case.correction,
        low_since=datetime.fromtimestamp(low_since, UTC) if low_since is not None else None,
        low_most=(decided.low_most or 0) if low_since is not None else 0,
        rollout=trial.rollout,
        canary_pods=canary_pods(state, versions.get(trial.rollout.candidate)) if trial.rollout and trial.runs else (),
        rejected=trial.rejected,
        reasons=(*decided.reasons, *case.policy.saving, *reasons_of(trial)),
        conditions=(
            *serving_conditions(
                state, snapshot, case.load, decided, hardware.spec.grid_zone, placement.replicas, decided.variant,
                decided.reasons, case.missing,
            ),
            *rollout_conditions(trial.rollout),
        ),
        events=(*_events(state, decided.variant, placement.replicas, decided.reasons), *notes(state, trial)),
        message=decided.reasons[-1].message,
    )  # fmt: skip


def _still(trial: Trial, load: ObservedLoad, decided: Decision, snapshot: Snapshot) -> Trial:
    """The roll-out as it stands, unless the stable variant cannot go on: the next pass then decides freely."""
    if trial.rollout is None or not trial.runs or not load.fresh or decided.reasons[0].code not in HELD_BACK:
        return trial
    return replace(trial, rollout=superseded(trial.rollout, decided.reasons[0].message, snapshot.taken_at))


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


def _stopped(case: _Case, snapshot: Snapshot, reason: Reason) -> ServingDecision:
    """No replicas, as a policy says. The variant stays decided on: with it, it comes back."""
    state, running = case.state, case.workload.running
    last = state.status.decision
    return ServingDecision(
        key=state.meta.key,
        mode=case.policy.mode,
        variant=running.variant,
        versions=case.versions,
        available=case.available,
        hardware_class=running.pool or (last.hardware_class if last is not None else ""),
        replicas=0,
        stopped=True,
        rate=Rate(),
        capacity_correction=case.correction,
        reasons=(reason,),
        conditions=stopped_conditions(state, snapshot, case.load, reason),
        events=_stop_events(state, reason),
        message=f"no replicas, requests fail: {reason.message}",
    )


def _asleep(case: _Case, snapshot: Snapshot, reason: Reason) -> ServingDecision:
    """No replicas, and requests that come are held. The variant stays decided on: with it, it wakes."""
    base = _stopped(case, snapshot, reason)
    before = case.state.status.decision
    slept = before is not None and before.replicas == 0 and reason.code in [r.code for r in before.reasons]
    return base.model_copy(
        update={
            "holds_requests": True,
            "led_to_waker": True,
            "conditions": asleep_conditions(case.state, snapshot, case.load, reason),
            "events": () if slept else (EventNote(reason="FallsAsleep", message=reason.message),),
            "message": reason.message,
        }
    )


def _stop_events(state: ServingState, reason: Reason) -> tuple[EventNote, ...]:
    before = state.status.decision
    if before is not None and [r.code for r in before.reasons[:1]] == [reason.code] and before.replicas == 0:
        return ()
    return (EventNote(reason="ScaledToZero", message=reason.message, warning=reason.code != "OutOfHours"),)


def _nothing(case: _Case, snapshot: Snapshot, reason: Reason) -> ServingDecision:
    """Nothing can be chosen anew. What runs keeps running."""
    state, running = case.state, case.workload.running
    kept = running.variant if running.replicas else ""
    return ServingDecision(
        key=state.meta.key,
        mode=case.policy.mode,
        variant=kept,
        versions=case.versions,
        available=case.available,
        hardware_class=running.pool,
        replicas=running.replicas,
        holds_requests=case.sleep.possible,
        led_to_waker=case.led_to_waker,
        reasons=(reason,),
        conditions=serving_conditions(
            state, snapshot, case.load, None, "", running.replicas, kept, (reason,), case.missing
        ),
        message=reason.message,
    )


def _why_none(
    state: ServingState, policy: EffectivePolicy, missing: tuple[str, ...], available: tuple[str, ...]
) -> Reason:
    if available:
        own, asked = state.spec.targets.min_accuracy, policy.min_accuracy
        floor = f"targets.minAccuracy {own:g}" if own >= asked else f"serving.minAccuracy {asked:g} of its policies"
        text = f"none of {', '.join(available)} reaches {floor}"
        return Reason(code="NoVariantAccurateEnough", message=text)
    if len(missing) == len(state.spec.variants):
        return Reason(code="VariantNotFound", message=f"no ModelVariant named {', '.join(missing)} in this namespace")
    waiting = [name for name in state.spec.variants if name not in missing]
    return Reason(code="VariantsNotReady", message=f"waits for ModelVariant {', '.join(waiting)} to be made")
