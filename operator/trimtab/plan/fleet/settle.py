"""How many replicas to ask for of one way to serve: up at once, down when fewer have been enough for a while."""

from collections.abc import Callable
from dataclasses import dataclass

from trimtab.api.common import Reason
from trimtab.plan.fleet.demand import patience_seconds
from trimtab.plan.fleet.problem import Option, Workload


@dataclass(frozen=True)
class Want:
    """One way to serve, as far as its number of replicas goes."""

    variant: str
    current: int
    """Replicas that are asked for now."""
    for_choice: int
    """Replicas that the forecast needs on average: what the way was compared with others by."""
    for_load: int
    """Replicas that are needed to be ready for the load."""
    most: int
    load: float
    """Requests a second that `for_load` is made for."""
    over_limit: Callable[[int], str]
    """Which limit so many replicas would break; empty when none."""


@dataclass(frozen=True)
class Settled:
    """The number of replicas, and why."""

    replicas: int
    needed: int
    """What would be enough."""
    low_since_seconds: float | None = None
    """Since when fewer would have been enough."""
    low_most: int | None = None
    """Most that were needed since then."""
    reason: Reason | None = None


def is_switching(workload: Workload, variant: str) -> bool:
    """Whether a ready replica still serves another variant."""
    return any(loaded != variant for loaded in workload.running.loaded)


def current_replicas(workload: Workload, option: Option) -> int:
    """Replicas that are asked for now and could serve this way: of its pool, and of its size."""
    running = workload.running
    sizes = {o.units for o in workload.options if o.variant == running.variant and o.pool == option.pool}
    if sizes and option.units not in sizes:
        return 0
    if running.pool == option.pool:
        return running.replicas
    return next((p.replicas for p in running.also if p.pool == option.pool), 0)


def settle(workload: Workload, want: Want, now_seconds: float) -> Settled:
    """Settle the number of replicas of a way to serve.

    Args:
        workload: What runs, what is measured.
        want: The way.
        now_seconds: The present.
    """
    current = want.current
    if not workload.load.fresh:
        return _hold(workload, want, current)
    if workload.settings.fixed_replicas is not None:
        fixed = workload.settings.fixed_replicas
        text = f"spec.replicas is {fixed}: the count is not trimtab's to choose"
        return Settled(want.for_choice, want.for_choice, reason=Reason(code="ReplicasFixed", message=text))
    wanted = max(want.for_choice, want.for_load)
    switching = is_switching(workload, want.variant)
    if workload.load.breached and not switching:
        wanted = _after_breach(workload, want, wanted, current)
    if wanted > current:
        return Settled(wanted, wanted, reason=_why_more(workload, want, wanted))
    if wanted == current or current == 0:
        return Settled(wanted, wanted)
    return _down(workload, want, wanted, current, switching, now_seconds)


def _hold(workload: Workload, want: Want, current: int) -> Settled:
    """Metrics are missing: never guess down. Hold what runs, or the declared fallback where that is more; but a count
    that its user or an autoscaler gives is no guess.
    """
    settings = workload.settings
    least = settings.fixed_replicas or settings.min_replicas
    replicas = max(1, min(want.most, max(current, workload.fallback_replicas, least)))
    if current == 0:
        return Settled(replicas, replicas, reason=Reason(code="Starts", message=f"starts with {replicas} replicas"))
    if settings.fixed_replicas is not None:
        text = f"no fresh metrics, and spec.replicas is {settings.fixed_replicas}: holds {replicas} replicas"
        return Settled(replicas, replicas, reason=Reason(code="MetricsMissing", message=text))
    text = f"no fresh metrics: holds {replicas} replicas of what runs"
    return Settled(replicas, replicas, reason=Reason(code="MetricsMissing", message=text))


def _after_breach(workload: Workload, want: Want, wanted: int, current: int) -> int:
    """One more than now, once all that was asked for shows: the target is broken, so the model was too hopeful."""
    if not workload.running.settled or current >= want.most:
        return max(wanted, min(current, want.most))
    return wanted if want.over_limit(current + 1) else max(wanted, current + 1)


def _why_more(workload: Workload, want: Want, wanted: int) -> Reason:
    load, target = workload.load, workload.target
    if load.breached and load.latency_seconds is not None:
        text = (
            f"{target.label} is {load.latency_seconds * 1000:.0f} ms, "
            f"above the target of {target.bound_seconds * 1000:.0f} ms"
        )
        return Reason(code="LatencyBreach", message=text)
    return Reason(code="LoadRises", message=f"{want.load:.3g} requests/s need {wanted} replicas")


def _down(workload: Workload, want: Want, wanted: int, current: int, switching: bool, now_seconds: float) -> Settled:
    """Fewer than now: at once where a limit asks for it, else after a while, to the most that was needed meanwhile."""
    running = workload.running
    since = now_seconds if running.low_since_seconds is None else running.low_since_seconds
    most = wanted if running.low_since_seconds is None else max(wanted, running.low_most or 0)

    def stay(count: int, code: str, text: str) -> Settled:
        return Settled(count, wanted, since, min(most, current), Reason(code=code, message=text))

    if switching:
        return stay(current, "SwitchesFirst", f"keeps {current} replicas until each serves {want.variant}")
    over = want.over_limit(current)
    if over:
        kept = next((n for n in range(current - 1, wanted, -1) if not want.over_limit(n)), wanted)
        if kept > wanted:
            return stay(kept, "OverLimit", over)
        return Settled(kept, wanted, reason=Reason(code="OverLimit", message=over))
    patience = patience_seconds(workload)
    left = patience - (now_seconds - since)
    if left > 0.0:
        text = f"{wanted} replicas would do; keeps {current} for another {left:.0f} s"
        return stay(min(current, want.most), "Stabilizing", text)
    down_to = min(most, current, want.most)
    text = f"{want.load:.3g} requests/s need only {wanted} of {current} replicas, for {patience:.0f} s now"
    reason = Reason(code="LoadFell", message=text)
    if down_to > wanted:
        # More than the present need was needed within the window: from here the next window begins.
        return Settled(down_to, wanted, now_seconds, wanted, reason)
    return Settled(wanted, wanted, reason=reason)
