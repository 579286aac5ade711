"""Builds the serving problem of `plan/fleet` out of a Snapshot: a workload, and the ways to serve it."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from trimtab.api.budget import BudgetAction
from trimtab.api.policy import Preference
from trimtab.api.serving import Percentile
from trimtab.api.variant import ProfilePoint
from trimtab.plan.fleet.problem import Limits, Load, Option, Placement, Pool, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import embodied_grams_per_hour, offers, units_per_replica
from trimtab.plan.serving.load import QUANTILES, SETTLE_SECONDS, ObservedLoad
from trimtab.plan.snapshot import HardwareState, ServingState, VariantState

START_SECONDS = 30.0
"""From the decision until a new replica serves: pod, server, model; its image is there."""
_LATENCY_MARGIN = 0.8
_CONFIDENCE = 0.9
_SAVING_MARGIN, _SAVING_CONFIDENCE, _SAVING_STABILIZATION = 0.95, 0.6, 60.0
"""Under FewerReplicas: the target is still held, but with less to spare."""
_LEAST_VARIABILITY = 0.5
"""Squared coefficient of variation of an execution's time, however even it was alone on the node that profiled it."""
_MOST_VARIABILITY = 1.0
_Z99 = 2.326
"""Standard normal quantile of 99 %."""


def pool_of(hardware: HardwareState, free_units: float, intensity_grams_per_kwh: float | None) -> Pool:
    """A class as the workloads share it; unknown carbon intensity counts as zero."""
    return Pool(hardware.meta.name, free_units, intensity_grams_per_kwh or 0.0)


def _speed(state: ServingState, variant: VariantState, hardware: HardwareState) -> float:
    """Speed of a replica against the one that was profiled: by class, and by CPU where that does the work."""
    if state.spec.resources.accelerators:
        return hardware.spec.speed
    cores = variant.status.cpu_cores or state.spec.resources.cpu
    usable = min(state.spec.resources.cpu, float(state.spec.triton.threads * state.spec.triton.instances))
    return hardware.spec.speed * usable / cores


def _tail_milliseconds(point: ProfilePoint, percentile: Percentile) -> float:
    """The measured percentile that is at or next above the asked one."""
    by_percentile = {Percentile.P50: point.p50_milliseconds, Percentile.P99: point.p99_milliseconds}
    return by_percentile.get(percentile, point.p95_milliseconds)


def _variability(point: ProfilePoint) -> float:
    """Squared coefficient of variation of an execution's time: of the lognormal with the measured p50 and p99, bounded.

    A pod with part of a CPU stands still for the rest of each period of its quota. That makes a long tail of single
    executions, but no independent one: under load the stalls come at even distances, and do not add up in a queue.
    """
    spread = math.log(max(1.0, point.p99_milliseconds / max(point.p50_milliseconds, 1e-6))) / _Z99
    return min(_MOST_VARIABILITY, max(_LEAST_VARIABILITY, math.expm1(spread * spread)))


def batch_profile(state: ServingState, variant: VariantState, hardware: HardwareState) -> BatchProfile | None:
    """How fast one replica of a variant serves on a class, by size of the batch; None where it was not measured.

    Instances share the CPU of the replica: the figures are of all of them, as of one server. A batch larger than any
    that was measured promises nothing, so none is counted on.
    """
    measured = {p.batch: p for p in variant.status.profile if p.items_per_second > 0.0}
    if not measured:
        return None
    points = [measured[size] for size in sorted(measured)]
    speed = _speed(state, variant, hardware)
    seconds = [p.batch / max(1e-6, p.items_per_second * speed) for p in points]
    tail_seconds = _tail_milliseconds(points[0], state.spec.targets.latency.percentile) / 1000.0 / speed
    return BatchProfile(
        batches=tuple(p.batch for p in points),
        seconds=tuple(seconds),
        max_batch=max(1, min(state.spec.triton.max_batch_size, points[-1].batch)),
        queue_delay_seconds=state.spec.triton.max_queue_delay_microseconds / 1e6,
        variability=_variability(points[0]),
        tail_ratio=max(1.0, tail_seconds / seconds[0]),
    )


def profiled_items_per_second(profile: BatchProfile, batch: float) -> float:
    """Throughput of a replica at a size of the batch, by its profile."""
    sizes, seconds = profile.batches, profile.seconds
    for i in range(len(sizes) - 1):
        if batch <= sizes[i + 1]:
            share = max(0.0, batch - sizes[i]) / (sizes[i + 1] - sizes[i])
            at = seconds[i] + share * (seconds[i + 1] - seconds[i])
            return max(batch, float(sizes[i])) / at
    return sizes[-1] / seconds[-1]


def _option(state: ServingState, variant: VariantState, hardware: HardwareState) -> Option | None:
    profile, units = batch_profile(state, variant, hardware), units_per_replica(state.spec.resources, hardware)
    accuracy = variant.status.accuracy
    if profile is None or accuracy is None or not 0.0 < units <= hardware.units_per_node:
        return None
    nodes, power = units / hardware.units_per_node, hardware.spec.power
    return Option(
        variant=variant.meta.name,
        pool=hardware.meta.name,
        accuracy=accuracy.value,
        profile=profile,
        usd_per_hour=nodes * hardware.spec.price.usd_per_hour,
        idle_watts=nodes * power.idle_watts * hardware.spec.pue,
        peak_watts=nodes * power.peak_watts * hardware.spec.pue,
        embodied_grams_per_hour=nodes * embodied_grams_per_hour(hardware),
        units=units,
        start_seconds=START_SECONDS,
    )


def options_of(
    state: ServingState, variants: Iterable[VariantState], hardware: Iterable[HardwareState]
) -> tuple[Option, ...]:
    """Every variant on every class that the workload may run on and that offers what it asks for."""
    allowed = set(state.spec.hardware.classes)
    classes = [h for h in hardware if (not allowed or h.meta.name in allowed) and offers(state.spec.resources, h)]
    options = (_option(state, variant, one) for one in classes for variant in variants)
    return tuple(option for option in options if option is not None)


def _settled(state: ServingState, current: int, now: datetime) -> bool:
    """Whether all replicas are there, and for long enough that the metrics show what they do."""
    ready = [pod for pod in state.pods if pod.ready and not pod.deleting]
    young = (pod.started_at is not None and (now - pod.started_at).total_seconds() < SETTLE_SECONDS for pod in ready)
    return len(ready) >= current and not any(young)


def _loaded(state: ServingState) -> tuple[str, ...]:
    """Variants that ready pods serve; a version that is no variant's goes by its number."""
    names = {v.version: v.name for v in state.status.variants}
    versions = {p.loaded_version for p in state.pods if p.ready and not p.deleting and p.loaded_version is not None}
    return tuple(names.get(version, f"version {version}") for version in sorted(versions))


def _instant(text: str) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None


def running_of(state: ServingState, variant: str, correction: float, now: datetime) -> Running:
    """What serves now.

    Args:
        state: The workload.
        variant: The one that was decided on last.
        correction: Real over profiled speed of a replica.
        now: The instant of the decision.
    """
    largest = max(state.deployments, key=lambda d: d.replicas, default=None)
    changed = _instant(state.status.switched_at)
    return Running(
        variant=variant,
        pool=largest.hardware_class if largest else "",
        replicas=largest.replicas if largest else 0,
        also=tuple(Placement(d.hardware_class, d.replicas) for d in state.deployments if d is not largest),
        ready=sum(1 for pod in state.pods if pod.ready and not pod.deleting),
        settled=_settled(state, largest.replicas if largest else 0, now),
        loaded=_loaded(state),
        changed_seconds=changed if changed is not None else float("-inf"),
        low_since_seconds=_instant(state.status.low_since),
        low_most=state.status.low_most or None,
        correction=correction,
    )


def at_least(workload: Workload, replicas: int) -> Workload:
    """The same workload with so many replicas at least, as far as its most lets it."""
    settings = workload.settings
    least = min(settings.max_replicas, max(settings.min_replicas, replicas))
    return replace(workload, settings=replace(settings, min_replicas=least))


def _at_most(replicas: int, policy: EffectivePolicy) -> int:
    return replicas if policy.max_replicas is None else min(replicas, policy.max_replicas)


def workload_of(
    state: ServingState, options: tuple[Option, ...], policy: EffectivePolicy, load: ObservedLoad, running: Running
) -> Workload:
    """The workload as the core sees it."""
    spec, target = state.spec, state.spec.targets.latency
    saves = policy.saves(BudgetAction.FEWER_REPLICAS)
    return Workload(
        key=state.meta.key,
        options=options,
        target=Target(
            bound_seconds=target.milliseconds / 1000.0,
            quantile=QUANTILES[target.percentile],
            min_accuracy=max(spec.targets.min_accuracy, policy.min_accuracy),
            label=target.percentile.value,
        ),
        load=Load(
            # The newest interval ends now: what the last scrapes say of it is the better figure.
            requests_per_second=(*load.recent_requests_per_second[:-1], load.requests_per_second),
            interval_seconds=load.recent_interval_seconds,
            pending_requests=load.pending_requests,
            fresh=load.fresh,
            breached=load.breached,
            latency_seconds=load.latency_ms / 1000.0 if load.latency_ms is not None else None,
            late_share=load.late_share,
        ),
        settings=Settings(
            min_replicas=_at_most(max(1, spec.min_replicas), policy),
            max_replicas=_at_most(spec.max_replicas, policy),
            fixed_replicas=_at_most(spec.replicas, policy) if spec.replicas is not None else None,
            prefer_accuracy=policy.prefer is Preference.ACCURACY,
            usd_per_gram=policy.carbon_price_usd_per_gram,
            scale_down_stabilization_seconds=min(
                spec.scaling.scale_down_stabilization.total_seconds(), _SAVING_STABILIZATION if saves else math.inf
            ),
            latency_margin=_SAVING_MARGIN if saves else _LATENCY_MARGIN,
            confidence=_SAVING_CONFIDENCE if saves else _CONFIDENCE,
            load_window_seconds=spec.scaling.load_window.total_seconds(),
        ),
        limits=Limits(
            usd_per_hour=policy.max_cost_usd_per_hour,
            grams_per_hour=policy.max_carbon_grams_per_hour,
            watts=policy.max_power_watts,
        ),
        running=running,
        fallback_replicas=spec.fallback.replicas if spec.fallback else 0,
    )
