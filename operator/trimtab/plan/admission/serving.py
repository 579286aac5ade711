"""What is wrong with a ServingWorkload that is about to be stored."""

from trimtab.api.common import Rate
from trimtab.plan.admission.budgets import Spending, serving_budget_findings
from trimtab.plan.admission.findings import Finding, Severity, number
from trimtab.plan.admission.limits import least_intensity, limit_findings
from trimtab.plan.admission.room import Room, Wanted, no_room_now, usable_rooms
from trimtab.plan.intensity import usable_series
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import rate_of
from trimtab.plan.serving.workload import batch_profile
from trimtab.plan.snapshot import IntensityPoint, ServingState, Snapshot, VariantState


def serving_findings(state: ServingState, policy: EffectivePolicy, snapshot: Snapshot) -> list[Finding]:
    """Everything that does not fit."""
    spec, now = state.spec, snapshot.taken_at
    series = usable_series(snapshot.carbon, now)
    least = spec.replicas or max(1, spec.min_replicas)
    path = "spec.replicas" if spec.replicas else "spec.minReplicas"
    wanted = Wanted(spec.resources, spec.hardware.classes, least, path, together=False)
    usable, findings = usable_rooms(wanted, snapshot.hardware)

    def points_of(room: Room) -> tuple[IntensityPoint, ...]:
        return series.get(room.hardware.spec.grid_zone, ())

    over = limit_findings(
        usable.rooms, lambda room, grams: _idle(room, least, grams), least, path, policy, snapshot.policies,
        state.meta, points_of, now,
    )  # fmt: skip
    findings += over if usable.closed else [finding.warned() for finding in over]
    if not findings:
        findings += no_room_now(wanted, usable, snapshot, state.meta.uid)
    if usable.closed:
        ways = [Spending(r.name, 1.0, _idle(r, least, least_intensity(points_of(r), now))) for r in usable.rooms]
        findings += serving_budget_findings(state, snapshot.policies, ways) if ways else []
    return [*findings, *_accuracy(state, policy, snapshot), *_latency(state, usable.rooms, snapshot)]


def _idle(room: Room, replicas: int, grams_per_kwh: float) -> Rate:
    """What replicas spend that get no requests: less is not possible."""
    return rate_of(room.hardware, room.units * replicas, 0.0, grams_per_kwh)


def _variants(state: ServingState, snapshot: Snapshot) -> tuple[list[VariantState], list[str]]:
    """Its variants that exist, and the names of those that do not."""
    known = {v.meta.key: v for v in snapshot.variants}
    keys = {name: f"{state.meta.namespace}/{name}" for name in state.spec.variants}
    return [known[k] for k in keys.values() if k in known], [n for n, k in keys.items() if k not in known]


def _accuracy(state: ServingState, policy: EffectivePolicy, snapshot: Snapshot) -> list[Finding]:
    """An accuracy floor that no variant reaches."""
    variants, missing = _variants(state, snapshot)
    findings = [
        Finding("VariantNotFound", "spec.variants", f"there is no ModelVariant {name!r} yet", Severity.WARN)
        for name in missing
    ]
    floor, path = state.spec.targets.min_accuracy, "spec.targets.minAccuracy"
    source = f"the floor of {floor:g}"
    if policy.min_accuracy > floor:
        floor = policy.min_accuracy
        source = f"the floor of {floor:g} that its policies set ({', '.join(policy.names)})"
    measured = [(v.status.accuracy.value, v.meta.name, v.status.accuracy) for v in variants if v.status.accuracy]
    if not measured or max(measured)[0] >= floor:
        return findings
    value, name, figure = max(measured)
    text = (
        f"the most accurate variant, {name}, reaches {value:.4f} (95 %: {figure.low:.4f} to {figure.high:.4f}), "
        f"{floor - value:.4f} below {source}: ask for {value:.4f} or less, or add a more accurate variant"
    )
    unmeasured = [v.meta.name for v in variants if v.status.accuracy is None]
    open_ended = bool(missing or unmeasured)
    if unmeasured:
        text += f"; {', '.join(unmeasured)} {'is' if len(unmeasured) == 1 else 'are'} not measured yet"
    severity = Severity.WARN if open_ended else Severity.REFUSE
    return [*findings, Finding("AccuracyTooHigh", path, text, severity)]


def _latency(state: ServingState, rooms: tuple[Room, ...], snapshot: Snapshot) -> list[Finding]:
    """A warning when a single request alone takes longer than the target on every class with every variant.

    Only a warning: what a variant took where it was profiled says only about how long it takes on another class.
    """
    variants, missing = _variants(state, snapshot)
    target = state.spec.targets.latency
    found = []
    for room in rooms:
        for variant in variants:
            profile = batch_profile(state, variant, room.hardware)
            if profile is None:
                return []
            found.append((profile.seconds[0] * profile.tail_ratio * 1000.0, variant.meta.name, room.name))
    if missing or not found or min(found)[0] <= target.milliseconds:
        return []
    fastest, variant_name, class_name = min(found)
    text = (
        f"one request alone has a {target.percentile} of {number(fastest)} ms with the fastest variant, {variant_name} "
        f"on {class_name}, {number(fastest - target.milliseconds)} ms above the target: TargetsFeasible will be False"
    )
    return [Finding("LatencyTooLow", "spec.targets.latency.milliseconds", text, Severity.WARN)]
