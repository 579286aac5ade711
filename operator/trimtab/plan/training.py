"""Decides for one training workload: run now and where, or wait, and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Reason
from trimtab.api.training import ScheduleSlot, TrainingAction
from trimtab.plan.capacity import Capacity
from trimtab.plan.decisions import EventNote, TrainingDecision
from trimtab.plan.intensity import intensity_at
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import units_per_replica
from trimtab.plan.snapshot import IntensityPoint, Snapshot, TrainingState
from trimtab.plan.training_conditions import training_conditions
from trimtab.plan.training_options import (
    SUSPEND_RESUME_SECONDS,
    Refused,
    TrainingOption,
    remaining_samples,
    training_options,
)
from trimtab.plan.training_schedule import schedule


@dataclass(frozen=True)
class Hold:
    """Something that keeps a training from running, or that overrules what would."""

    run: bool
    reason: Reason


def waited(state: TrainingState, now: datetime) -> timedelta:
    """Time since creation without pods running."""
    since = state.status.running_since
    ran = timedelta(seconds=state.status.running_seconds) + (now - since if since else timedelta(0))
    return max(timedelta(0), now - state.meta.created_at - ran)


def needed_time(state: TrainingState, option: TrainingOption) -> timedelta | None:
    """Time that the work left takes from a cold start, or None while speed or work is unknown."""
    left = remaining_samples(state)
    if left is None or not option.speed_known or option.samples_per_second <= 0:
        return None
    return timedelta(seconds=left / option.samples_per_second + SUSPEND_RESUME_SECONDS)


def _carbon_hold(
    state: TrainingState,
    option: TrainingOption,
    policy: EffectivePolicy,
    points: tuple[IntensityPoint, ...],
    now: datetime,
) -> Hold | None:
    """Whether the grid is too dirty to run, unless the delay or the deadline leaves no choice."""
    ceiling = policy.max_intensity_grams_per_kwh
    if ceiling is None:
        return None
    intensity = intensity_at(points, now)
    zone = option.hardware.spec.grid_zone
    if intensity is None:
        running = state.job is not None and not state.job.suspended
        text = f"carbon intensity of {zone} is unknown: keeps {'running' if running else 'waiting'} as it is"
        return Hold(running, Reason(code="CarbonUnknown", message=text))
    if intensity <= ceiling:
        return None
    deadline = state.spec.targets.complete_within
    need = needed_time(state, option)
    if deadline is not None and need is not None and now + need >= state.meta.created_at + deadline:
        text = f"runs although {zone} is at {intensity:.0f} g/kWh: the deadline leaves no more time to wait"
        return Hold(True, Reason(code="DeadlineNear", message=text))
    delay = policy.allowed_delay
    if delay is not None and waited(state, now) >= delay:
        text = f"runs although {zone} is at {intensity:.0f} g/kWh: the allowed delay of {delay} is used up"
        return Hold(True, Reason(code="DelayExhausted", message=text))
    cleaner = next((p for p in points if p.start > now and p.grams_per_kwh <= ceiling), None)
    when = f"; the forecast falls to {cleaner.grams_per_kwh:.0f} in {_span(cleaner.start - now)}" if cleaner else ""
    source = ", ".join(policy.names)
    return Hold(
        False,
        Reason(
            code="CarbonAboveCeiling",
            message=f"{zone} is at {intensity:.0f} gCO2e/kWh, above the ceiling of {ceiling} (policy {source}){when}",
            alternative=f"running now costs {option.rate.carbon_grams_per_hour:.3g} gCO2e/h and "
            f"{option.rate.cost_usd_per_hour:.3g} USD/h on {option.name}",
        ),
    )


def _span(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _choice(options: list[TrainingOption], held: bool) -> Reason:
    """Why this class: the price of its samples, and the next best."""
    best, unit = options[0], 1000.0

    def price(option: TrainingOption) -> str:
        text = f"{option.score_usd_per_sample * unit:.3g} USD per {unit:.0f} samples" if option.speed_known else ""
        return f"{option.name} ({option.hardware.spec.grid_zone}) {text}".strip()

    others = [o for o in options[1:] if o.speed_known == best.speed_known]
    runner_up = min(others, key=lambda o: o.score_usd_per_sample, default=None)
    code = "KeepsClass" if held else "CheapestClass" if runner_up else "OnlyClass"
    message = f"{best.replicas} replicas on {price(best)}" + (", carbon priced in" if best.speed_known else "")
    return Reason(code=code, message=message, alternative=f"next: {price(runner_up)}" if runner_up else None)


def _finished(state: TrainingState) -> Reason | None:
    if state.status.completion_time is not None or (state.job is not None and state.job.complete):
        return Reason(code="Completed", message="all work is done")
    if state.job is not None and state.job.failure:
        return Reason(code="JobFailed", message=state.job.failure)
    return None


def _decide(
    state: TrainingState, policy: EffectivePolicy, option: TrainingOption, hold: Hold | None, chosen: Reason
) -> tuple[TrainingAction, tuple[Reason, ...]]:
    started = state.job is not None
    stop = TrainingAction.SUSPEND if started else TrainingAction.WAIT
    if state.spec.suspend:
        return stop, (Reason(code="SuspendedByUser", message="spec.suspend is true"),)
    if hold is not None and not hold.run:
        return stop, (hold.reason, chosen)
    return TrainingAction.RUN, (hold.reason, chosen) if hold is not None else (chosen,)


def _without_option(state: TrainingState, refused: list[Refused]) -> tuple[TrainingAction, tuple[Reason, ...]]:
    """No class can be used. A limit that is broken suspends what runs; a lack of nodes does not end it."""
    reasons = tuple(Reason(code=r.code, message=r.message) for r in refused) or (
        Reason(code="NoClass", message="no HardwareClass offers what spec.resources asks for"),
    )
    if state.job is None:
        return TrainingAction.WAIT, reasons
    over = any(r.code == "OverLimit" and r.name == state.job.hardware_class for r in refused)
    if over or state.job.suspended or state.spec.suspend:
        return TrainingAction.SUSPEND, reasons
    return TrainingAction.RUN, reasons


def _event(state: TrainingState, action: TrainingAction, reasons: tuple[Reason, ...]) -> tuple[EventNote, ...]:
    before = state.status.decision
    if before is not None and before.action == action and [r.code for r in before.reasons[:1]] == [reasons[0].code]:
        return ()
    names = {
        TrainingAction.RUN: "Resumed" if state.job is not None and state.job.suspended else "Started",
        TrainingAction.SUSPEND: "Suspended",
        TrainingAction.WAIT: "Waiting",
        TrainingAction.NONE: reasons[0].code,
    }
    bad = reasons[0].code in (
        "JobFailed",
        "OverLimit",
        "CapacityShort",
        "NoNodes",
        "NoClass",
        "HardwareClassNotFound",
    )
    return (EventNote(reason=names[action], message=reasons[0].message, warning=bad),)


def plan_training(
    state: TrainingState,
    snapshot: Snapshot,
    policy: EffectivePolicy,
    series: dict[str, tuple[IntensityPoint, ...]],
    capacity: Capacity,
) -> TrainingDecision:
    """Decide for one workload, and take what it gets out of `capacity`."""
    now = snapshot.taken_at
    over = _finished(state)
    if over is not None:
        last = state.status.decision
        return TrainingDecision(
            key=state.meta.key, mode=policy.mode, action=TrainingAction.NONE, replicas=0,
            hardware_class=(state.job.hardware_class if state.job else "") or (last.hardware_class if last else ""),
            simulated=last is not None and last.source == "simulated",
            reasons=(over,), events=_event(state, TrainingAction.NONE, (over,)),
            conditions=training_conditions(state, snapshot, TrainingAction.NONE, (over,), None, None, known_zone=True),
            message=over.message,
        )  # fmt: skip
    options, refused = training_options(state, snapshot.hardware, policy, series, capacity, now)
    if not options:
        action, reasons = _without_option(state, refused)
        kept = state.job if action is not TrainingAction.WAIT else None
        return TrainingDecision(
            key=state.meta.key, mode=policy.mode, action=action, replicas=kept.replicas if kept else 0,
            hardware_class=kept.hardware_class if kept else "", reasons=reasons,
            conditions=training_conditions(state, snapshot, action, reasons, None, None, known_zone=True),
            events=_event(state, action, reasons), message=reasons[0].message,
        )  # fmt: skip
    best = options[0]
    points = series.get(best.hardware.spec.grid_zone, ())
    chosen = _choice(options, held=state.job is not None and state.job.hardware_class == best.name)
    action, reasons = _decide(state, policy, best, _carbon_hold(state, best, policy, points, now), chosen)
    if action is TrainingAction.RUN:
        capacity.take(best.name, units_per_replica(state.spec.resources, best.hardware) * best.replicas)
    need = needed_time(state, best)
    slots: tuple[ScheduleSlot, ...] = schedule(
        now, action, best, points, policy.max_intensity_grams_per_kwh, need, limit=48
    )
    return TrainingDecision(
        key=state.meta.key,
        mode=policy.mode,
        action=action,
        replicas=best.replicas,
        hardware_class=best.name,
        schedule=slots,
        rate=best.rate,
        simulated=best.hardware.spec.simulated,
        reasons=reasons,
        conditions=training_conditions(
            state, snapshot, action, reasons, best, need, known_zone=intensity_at(points, now) is not None
        ),
        events=_event(state, action, reasons),
        message=reasons[0].message,
    )
