"""What each workload under a budget asks for, by how many of the budget's actions are taken: from a Snapshot."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trimtab.api.budget import Budget, BudgetAction
from trimtab.api.common import Rate
from trimtab.api.policy import Preference
from trimtab.plan.budget.account import rate_in
from trimtab.plan.budget.forecast import TOTAL_HOURS
from trimtab.plan.budget.problem import Demand
from trimtab.plan.capacity import Capacity
from trimtab.plan.intensity import intensity_at, mean_intensity
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import rate_of, units_per_replica
from trimtab.plan.snapshot import (
    HardwareState,
    IntensityPoint,
    ServingState,
    Snapshot,
    TrainingState,
    VariantState,
    WorkloadPod,
)
from trimtab.plan.training.options import TrainingOption, training_options
from trimtab.plan.training.problem import at_once_hours
from trimtab.plan.training.saving import narrowest, on_spot
from trimtab.plan.training.slack import waited

FEWER_REPLICAS_SHARE = 0.9
"""What is left of a service's rate when it is scaled with less headroom: a first guess, until it is metered."""
_DEADLINE_MARGIN = 0.05


@dataclass(frozen=True)
class BudgetView:
    """What the demands under one budget depend on."""

    snapshot: Snapshot
    series: Mapping[str, tuple[IntensityPoint, ...]]
    rules: Mapping[str, EffectivePolicy]
    """By `Kind/namespace/name`."""
    budget: Budget
    period_end: datetime | None
    accounted_until: datetime
    """Where the budget's account ends."""
    level: int
    """As decided before: what runs now runs at this level."""
    options: dict[str, list[TrainingOption]] = field(default_factory=dict)
    """Of each training, by key, as they are worked out: the same for every budget of one plan."""

    @property
    def now(self) -> datetime:
        """The instant of the decision."""
        return self.snapshot.taken_at

    def intensity(self, hardware: HardwareState) -> float | None:
        """Of the class's grid now (gCO2e/kWh)."""
        return intensity_at(self.series.get(hardware.spec.grid_zone, ()), self.now)

    def intensity_since(self, hardware: HardwareState) -> float | None:
        """Of the class's grid in the mean since the account ended (gCO2e/kWh): it may have been dirtier than now."""
        points = self.series.get(hardware.spec.grid_zone, ())
        since = mean_intensity(points, self.accounted_until, self.now) if self.accounted_until < self.now else None
        return since if since is not None else self.intensity(hardware)

    @property
    def levels(self) -> range:
        """All of them, 0 included."""
        return range(len(self.budget.actions) + 1)

    def taken(self, level: int, action: BudgetAction) -> bool:
        """Whether an action is taken at a level."""
        return action in self.budget.actions[:level]


@dataclass(frozen=True)
class _Held:
    """The most that pods spend: for an hour now, and since the account ended or they are there."""

    per_hour: float
    unmetered: float


def _held(view: BudgetView, pods: tuple[WorkloadPod, ...], units: Mapping[str, float]) -> _Held:
    """At full load, on the classes that they run on."""
    per_hour = unmetered = 0.0
    alive = [p for p in pods if p.phase not in ("Succeeded", "Failed")]
    for hardware in view.snapshot.hardware:
        name = hardware.meta.name
        here = [p for p in alive if p.hardware_class == name]
        if here:
            rate = rate_in(view.budget, rate_of(hardware, units[name], 1.0, view.intensity(hardware)))
            past = rate_in(view.budget, rate_of(hardware, units[name], 1.0, view.intensity_since(hardware)))
            hours = ((view.now - max(view.accounted_until, p.created_at)).total_seconds() / 3600.0 for p in here)
            per_hour += rate * len(here)
            unmetered += past * sum(max(0.0, h) for h in hours)
    return _Held(per_hour, unmetered)


def training_demand(view: BudgetView, state: TrainingState, capacity: Capacity) -> Demand | None:
    """What a training asks for; None when it is over, or stopped by its user.

    Args:
        view: The budget.
        state: The training.
        capacity: What trainings may share.
    """
    over = state.status.completion_time is not None or (
        state.job is not None and (state.job.complete or bool(state.job.failure))
    )
    units = {h.meta.name: units_per_replica(state.spec.resources, h) for h in view.snapshot.hardware}
    holds = _held(view, state.pods, units)
    if (over or state.spec.suspend) and not holds.per_hour:
        return None
    policy = view.rules[f"TrainingWorkload/{state.meta.key}"]
    if state.meta.key not in view.options:
        found, _ = training_options(state, view.snapshot.hardware, policy, view.series, capacity, view.now)
        view.options[state.meta.key] = found
    options = view.options[state.meta.key]
    if not options:
        flat = tuple(holds.per_hour for _ in view.levels)
        return _demand(state, policy, flat, flat, holds, may_wait=False) if holds.per_hour else None
    usual = _usual(options)
    may_wait = _may_wait(view, state, policy, usual)
    chosen = [_at_level(view, state, options, usual, level) for level in view.levels]
    put_off = [may_wait and view.taken(level, BudgetAction.LATER_SLOTS) for level in view.levels]
    running = not policy.stop
    now = chosen[view.level].samples_per_second
    per_hour = tuple(
        _sustained(rate_in(view.budget, option.rate), option.samples_per_second, now) if running and not later else 0.0
        for option, later in zip(chosen, put_off, strict=True)
    )
    ahead = tuple(
        0.0 if later else _ahead(view, state, option, level)
        for level, (option, later) in enumerate(zip(chosen, put_off, strict=True))
    )
    return _demand(state, policy, per_hour, ahead, holds, may_wait=may_wait, cost_per_work=usual.score_usd_per_sample)


def _sustained(rate: float, speed: float, speed_now: float) -> float:
    """The rate of doing the work at another width as fast as it is done now.

    A training that runs narrower spends less for an hour, and for longer: over a period the cost of its work counts.
    """
    return rate * speed_now / speed if speed > 0.0 and speed_now > 0.0 else rate


def _demand(
    state: TrainingState,
    policy: EffectivePolicy,
    per_hour: tuple[float, ...],
    ahead: tuple[float, ...],
    holds: _Held,
    *,
    may_wait: bool,
    cost_per_work: float = 0.0,
) -> Demand:
    return Demand(
        key=f"TrainingWorkload/{state.meta.key}",
        slo=policy.slo_class,
        service=False,
        per_hour=per_hour,
        ahead=ahead,
        holds_per_hour=holds.per_hour,
        unmetered=holds.unmetered,
        priority=state.spec.priority,
        cost_per_work=cost_per_work if math.isfinite(cost_per_work) else 0.0,
        may_wait=may_wait,
    )


def _usual(options: list[TrainingOption]) -> TrainingOption:
    """How it runs when nothing has to be saved: the best class, as wide as it fits."""
    return options[0]


def _at_level(
    view: BudgetView, state: TrainingState, options: list[TrainingOption], usual: TrainingOption, level: int
) -> TrainingOption:
    open_to = options
    if view.taken(level, BudgetAction.SPOT):
        open_to = on_spot(open_to)
    on_class = [o for o in open_to if o.name == usual.name] or [o for o in open_to if o.name == open_to[0].name]
    return narrowest(state, on_class, view.now) if view.taken(level, BudgetAction.FEWER_REPLICAS) else on_class[0]


def _hours_left(view: BudgetView) -> float:
    end = view.period_end
    return math.inf if end is None else max(0.0, (end - view.now).total_seconds() / 3600.0)


def _ahead(view: BudgetView, state: TrainingState, option: TrainingOption, level: int) -> float:
    """Spending of a training until it is done or the period ends; in the cleanest hours where it may be shifted."""
    needed = at_once_hours(state, option)
    hours = min(needed if math.isfinite(needed) else TOTAL_HOURS, _hours_left(view))
    if view.budget.carbon_kilograms is None or hours <= 0.0:
        return rate_in(view.budget, option.rate) * hours
    points = view.series.get(option.hardware.spec.grid_zone, ())
    until = view.now + timedelta(hours=hours)
    mean = mean_intensity(points, view.now, until) or 0.0
    watts = option.rate.power_watts
    present = view.intensity(option.hardware) or 0.0
    embodied = option.rate.carbon_grams_per_hour - watts / 1000.0 * present
    if view.taken(level, BudgetAction.LATER_SLOTS):
        mean = min(mean, _cleanest(points, view.now, hours, _latest(view, state)))
    return (watts / 1000.0 * mean + embodied) * hours / 1000.0


def _latest(view: BudgetView, state: TrainingState) -> datetime:
    """Until when a training may be shifted within the period."""
    deadline = state.spec.targets.complete_within
    ends = [view.period_end, state.meta.created_at + deadline if deadline is not None else None]
    return min((e for e in ends if e is not None), default=view.now + timedelta(hours=TOTAL_HOURS))


def _cleanest(points: tuple[IntensityPoint, ...], now: datetime, hours: float, until: datetime) -> float:
    """Mean intensity of the cleanest hours before an instant, as far as the forecast reaches; infinite without one."""
    starts = [now, *(p.start for p in points if now < p.start < until)]
    ends = [*starts[1:], until]
    slots = sorted(
        (intensity_at(points, a) or 0.0, (b - a).total_seconds() / 3600.0) for a, b in zip(starts, ends, strict=True)
    )
    left, weighed = hours, 0.0
    for grams, length in slots:
        taken = min(left, max(0.0, length))
        weighed, left = weighed + grams * taken, left - taken
    return weighed / hours if left <= 1e-9 else math.inf


def _may_wait(view: BudgetView, state: TrainingState, policy: EffectivePolicy, usual: TrainingOption) -> bool:
    """Whether all of the work can be done after the period: by its deadline, and within the delay that is allowed."""
    if view.period_end is None:
        return False
    deadline, delay = state.spec.targets.complete_within, policy.allowed_delay
    if deadline is None and delay is None:
        return False
    needed = at_once_hours(state, usual)
    if not math.isfinite(needed) or not usual.speed_known:
        return False
    done = view.period_end + timedelta(hours=needed * (1.0 + _DEADLINE_MARGIN))
    in_time = deadline is None or done <= state.meta.created_at + deadline
    return in_time and (delay is None or waited(state, view.now) + (view.period_end - view.now) <= delay)


def serving_demand(view: BudgetView, state: ServingState, variants: Mapping[str, VariantState]) -> Demand | None:
    """What a service asks for; None when it may run nowhere.

    Args:
        view: The budget.
        state: The service.
        variants: All variants, by key.
    """
    policy = view.rules[f"ServingWorkload/{state.meta.key}"]
    hardware = _class_of(view, state)
    if hardware is None:
        return None
    units = {h.meta.name: units_per_replica(state.spec.resources, h) for h in view.snapshot.hardware}
    one = rate_in(view.budget, rate_of(hardware, units[hardware.meta.name], 1.0, view.intensity(hardware)))
    rate, replicas = _present_rate(view, state, hardware, units[hardware.meta.name])
    factors = [_factor(view, state, policy, variants, replicas, level) for level in view.levels]
    closed = policy.stop is not None
    holds = _held(view, state.pods, units)
    per_hour = tuple(0.0 if closed else rate * f / factors[view.level] for f in factors)
    return Demand(
        key=f"ServingWorkload/{state.meta.key}",
        slo=policy.slo_class,
        service=True,
        per_hour=per_hour,
        holds_per_hour=holds.per_hour,
        unmetered=holds.unmetered,
        least_per_hour=0.0 if closed else one,
        cost_per_work=one,
    )


def _class_of(view: BudgetView, state: ServingState) -> HardwareState | None:
    classes = {h.meta.name: h for h in view.snapshot.hardware}
    last = state.status.decision.hardware_class if state.status.decision is not None else ""
    allowed = [n for n in (*state.spec.hardware.classes, *classes) if n in classes]
    name = last if last in classes else next(iter(allowed), "")
    return classes.get(name)


def _present_rate(view: BudgetView, state: ServingState, hardware: HardwareState, units: float) -> tuple[float, int]:
    """What it is decided to spend for an hour, and replicas; with the fewest replicas where nothing runs."""
    decision = state.status.decision
    if decision is not None and decision.rate is not None and decision.replicas > 0:
        rate = Rate(
            cost_usd_per_hour=decision.rate.cost_usd_per_hour,
            power_watts=decision.rate.power_watts,
            carbon_grams_per_hour=decision.rate.carbon_grams_per_hour,
        )
        return rate_in(view.budget, rate), decision.replicas
    least = max(1, state.spec.min_replicas)
    return rate_in(view.budget, rate_of(hardware, units * least, 1.0, view.intensity(hardware))), least


def _factor(
    view: BudgetView,
    state: ServingState,
    policy: EffectivePolicy,
    variants: Mapping[str, VariantState],
    replicas: int,
    level: int,
) -> float:
    """Rate at a level over the rate at level 0."""
    factor = 1.0
    if view.taken(level, BudgetAction.CHEAPER_VARIANT) and policy.prefer is Preference.ACCURACY:
        factor *= _cheapest_share(state, policy, variants)
    if view.taken(level, BudgetAction.FEWER_REPLICAS) and replicas > state.spec.min_replicas:
        factor *= max(FEWER_REPLICAS_SHARE, state.spec.min_replicas / replicas)
    return factor


def _cheapest_share(state: ServingState, policy: EffectivePolicy, variants: Mapping[str, VariantState]) -> float:
    """Cost of an item by the fastest variant that is accurate enough, over that of the most accurate one."""
    floor = max(state.spec.targets.min_accuracy, policy.min_accuracy)
    known = [variants.get(f"{state.meta.namespace}/{name}") for name in state.spec.variants]
    fit = [
        (v.status.accuracy.value, max(p.items_per_second for p in v.status.profile))
        for v in known
        if v is not None and v.status.accuracy is not None and v.status.profile and v.status.accuracy.value >= floor
    ]
    if not fit:
        return 1.0
    best, fastest = max(fit)[1], max(speed for _, speed in fit)
    return min(1.0, best / fastest) if fastest > 0.0 else 1.0
