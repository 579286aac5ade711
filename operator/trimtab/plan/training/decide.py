"""Decides for all training workloads together: run now and where, or wait, and why."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trimtab.api.budget import BudgetAction
from trimtab.api.common import Reason
from trimtab.api.training import TrainingAction
from trimtab.plan.capacity import Capacity
from trimtab.plan.decisions import EventNote, TrainingDecision
from trimtab.plan.intensity import intensity_at
from trimtab.plan.node_fit import NodePacking
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import units_per_replica
from trimtab.plan.schedule.problem import JobSchedule
from trimtab.plan.schedule.reserve import solve_with_reserve
from trimtab.plan.schedule.solve import solve
from trimtab.plan.snapshot import IntensityPoint, Snapshot, TrainingState
from trimtab.plan.training.conditions import training_conditions
from trimtab.plan.training.nodes import solve_on_nodes
from trimtab.plan.training.options import SUSPEND_RESUME_SECONDS, Refused, TrainingOption, training_options
from trimtab.plan.training.problem import Candidate, at_once_hours, scheduling_problem
from trimtab.plan.training.reasons import class_reason, waiting_reason
from trimtab.plan.training.saving import saving_options
from trimtab.plan.training.scaling import learned_scaling
from trimtab.plan.training.shares import share
from trimtab.plan.training.slack import Slack, carbon_hold, latest_hours, needed_time, slack, worth_waiting
from trimtab.plan.training.spending import TrainingLimit, overrun_reasons
from trimtab.plan.training.timeline import runs_now, schedule_slots, without_stub

_WARNINGS = (
    "JobFailed",
    "OverLimit",
    "CapacityShort",
    "NoNodes",
    "NoClass",
    "HardwareClassNotFound",
    "BudgetExhausted",
)


def queue_order(state: TrainingState) -> tuple[int, bool, datetime, str]:
    """Higher priority first; what runs before what waits; then the oldest."""
    waits = state.job is None or state.job.suspended
    return (-state.spec.priority, waits, state.meta.created_at, state.meta.key)


@dataclass(frozen=True)
class _Found:
    """What is possible for one workload."""

    state: TrainingState
    policy: EffectivePolicy
    candidate: Candidate | None
    """None when no class can be used."""
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class _World:
    """What every decision of one plan looks at."""

    snapshot: Snapshot
    series: Mapping[str, tuple[IntensityPoint, ...]]
    capacity: Capacity
    rules: Mapping[str, EffectivePolicy]
    limits: tuple[TrainingLimit, ...] = ()

    @property
    def now(self) -> datetime:
        return self.snapshot.taken_at

    def points(self, option: TrainingOption) -> tuple[IntensityPoint, ...]:
        return self.series.get(option.hardware.spec.grid_zone, ())


def plan_training(
    snapshot: Snapshot,
    series: Mapping[str, tuple[IntensityPoint, ...]],
    capacity: Capacity,
    rules: Mapping[str, EffectivePolicy],
    limits: tuple[TrainingLimit, ...] = (),
) -> tuple[TrainingDecision, ...]:
    """Decide for all training workloads; the decisions are in the order of the queue.

    Args:
        snapshot: The world.
        series: Carbon intensity by zone.
        capacity: What serving and builds leave of each class; what runs now is taken out of it.
        rules: What holds for each, by key.
        limits: Budgets for which work is put off.
    """
    world = _World(snapshot, series, capacity, rules, limits)
    found = [_find(state, world) for state in sorted(snapshot.training, key=queue_order)]
    for one in found:
        job = one.state.job
        if one.candidate is None and job is not None and not job.suspended and not _finished(one.state):
            _take_what_it_holds(one.state, world)
    alone = (f.candidate for f in found if f.candidate is not None and not _held_back(f))
    ready = share(alone, capacity, snapshot.taken_at)
    settled = {c.state.meta.key: c for c in ready}
    found = [replace(f, candidate=settled.get(f.state.meta.key, f.candidate)) for f in found]
    fitted = solve_on_nodes(
        ready,
        lambda some: scheduling_problem(some, snapshot.hardware, series, capacity, snapshot.taken_at, limits),
        lambda problem, some: solve_with_reserve(problem) if _short(some, capacity) else solve(problem),
        NodePacking(snapshot.hardware, capacity.held()),
    )
    problem, plans, ready = fitted.problem, fitted.schedule, fitted.candidates
    found = [_without_room(f, fitted.refused.get(f.state.meta.key)) for f in found]
    settled = {c.state.meta.key: c for c in ready}
    found = [replace(f, candidate=settled.get(f.state.meta.key, f.candidate)) for f in found]
    horizon = timedelta(hours=float(problem.edges_hours[-1]))
    held = {c.state.meta.key for c in ready if c.state.job is not None and not c.state.job.suspended}
    by_key = {p.key: p if p.key in held or not problem.budgets else without_stub(p) for p in plans.jobs}
    for candidate in ready:
        run = runs_now(by_key[candidate.state.meta.key])
        if run is not None:
            option = candidate.options[run.mode]
            capacity.take(option.name, option.units)
    too_small = overrun_reasons(problem.budgets, plans.overruns)
    return tuple(
        _with_reason(_decide(one, by_key.get(one.state.meta.key), world, horizon), too_small.get(one.state.meta.key))
        for one in found
    )


def _with_reason(decision: TrainingDecision, reason: Reason | None) -> TrainingDecision:
    return decision if reason is None else decision.model_copy(update={"reasons": (*decision.reasons, reason)})


def _without_room(found: _Found, refused: Refused | None) -> _Found:
    return found if refused is None else replace(found, candidate=None, refused=(refused, *found.refused))


def _held_back(found: _Found) -> bool:
    """Whether its user, a window or a budget keeps it from running: then it is not scheduled."""
    return found.state.spec.suspend or found.policy.stop is not None


def _short(candidates: tuple[Candidate, ...], capacity: Capacity) -> bool:
    """Whether some class has no room for all of its workloads side by side: then more that come would meet a queue."""
    wanted: dict[str, float] = defaultdict(float)
    for candidate in candidates:
        wanted[candidate.best.name] += candidate.best.units
    return any(units > capacity.left(name) + 1e-9 for name, units in wanted.items())


def _find(state: TrainingState, world: _World) -> _Found:
    policy = world.rules[state.meta.key]
    if _finished(state) is not None:
        return _Found(state, policy, None, ())
    options, refused = training_options(state, world.snapshot.hardware, policy, world.series, world.capacity, world.now)
    if not options:
        return _Found(state, policy, None, tuple(refused))
    options = saving_options(state, options, policy, world.now)
    held = state.job.hardware_class if state.job else ""
    usable = tuple(o for o in options if o.name == held) or tuple(options)
    known = tuple(o for o in usable if o.speed_known)
    if not known:
        # Nothing tells how replicas scale: as many as fit, as soon as they fit.
        usable = tuple({o.name: o for o in reversed(usable)}.values())[::-1]
    hold = carbon_hold(state, usable[0], policy, world.points(usable[0]), world.now)
    hours = at_once_hours(state, usable[0])
    room = slack(state, policy, hours, usable[0].rate.cost_usd_per_hour, hold, world.now)
    latest = latest_hours(state, policy, hours, world.now)
    forced = hold is not None and hold.run
    if not forced and any(limit.puts_off(state.meta.key, latest, world.now) for limit in world.limits):
        shifted = policy.saves(BudgetAction.LATER_SLOTS) and _may_gain(state, usable, room, world)
        room = room if shifted else room.patient(latest)
    elif room.delay_usd_per_hour == 0.0 and not _may_gain(state, usable, room, world):
        room = room.prompt()
    return _Found(state, policy, Candidate(state, policy, known or usable, hold, room), tuple(refused))


def _may_gain(state: TrainingState, usable: tuple[TrainingOption, ...], room: Slack, world: _World) -> bool:
    """Whether another time, place or width could be better by more than noise: not while speed or work are unknown."""
    need = needed_time(state, usable[0])
    if need is None or need.total_seconds() <= 2.0 * SUSPEND_RESUME_SECONDS:
        return False
    if len(usable) > 1 or not math.isfinite(room.deadline_hours):
        return True
    until = world.now + timedelta(hours=room.deadline_hours)
    return worth_waiting(world.points(usable[0]), world.now, need, until)


def _take_what_it_holds(state: TrainingState, world: _World) -> None:
    hardware = next((h for h in world.snapshot.hardware if state.job and h.meta.name == state.job.hardware_class), None)
    if hardware is not None and state.job is not None:
        world.capacity.take(hardware.meta.name, units_per_replica(state.spec.resources, hardware) * state.job.replicas)


def _decide(found: _Found, plan: JobSchedule | None, world: _World, horizon: timedelta) -> TrainingDecision:
    over = _finished(found.state)
    if over is not None:
        return _over(found, over, world)
    if found.candidate is None:
        return _impossible(found, world)
    return _scheduled(found.candidate, plan, world, horizon)


def _scheduled(candidate: Candidate, plan: JobSchedule | None, world: _World, horizon: timedelta) -> TrainingDecision:
    """Carry out the plan of a workload that can run; `plan` is None when its user has suspended it."""
    state, now = candidate.state, world.now
    run = runs_now(plan) if plan is not None else None
    ahead = run or (plan.runs[0] if plan is not None and plan.runs else None)
    option = candidate.options[ahead.mode] if ahead is not None else candidate.best
    action, reasons = _action(candidate, plan, option, world)
    return TrainingDecision(
        key=state.meta.key,
        mode=candidate.policy.mode,
        action=action,
        replicas=option.replicas,
        hardware_class=option.name,
        schedule=schedule_slots(now, plan, candidate.options, horizon) if plan is not None else (),
        rate=option.rate,
        simulated=option.hardware.spec.simulated,
        scaling=learned_scaling(state, now),
        reasons=reasons,
        conditions=training_conditions(
            state, world.snapshot, action, reasons, option, plan,
            known_zone=intensity_at(world.points(option), now) is not None,
        ),
        events=_event(state, action, reasons),
        message=reasons[0].message,
    )  # fmt: skip


def _action(
    candidate: Candidate, plan: JobSchedule | None, option: TrainingOption, world: _World
) -> tuple[TrainingAction, tuple[Reason, ...]]:
    stop = TrainingAction.SUSPEND if candidate.state.job is not None else TrainingAction.WAIT
    chosen, hold = class_reason(candidate, option), candidate.hold
    if plan is None:
        by_user = Reason(code="SuspendedByUser", message="spec.suspend is true")
        return stop, (by_user if candidate.state.spec.suspend else candidate.policy.stop or by_user,)
    if hold is not None and not hold.run:
        return stop, (hold.reason, chosen)
    if runs_now(plan) is not None:
        run = (hold.reason, chosen) if hold is not None else (chosen,)
        return TrainingAction.RUN, (*run, *candidate.policy.saving)
    if plan.bound_by == "Budget":
        later = next((limit.reasons[plan.key] for limit in world.limits if plan.key in limit.reasons), None)
        if later is not None:
            return stop, (later, chosen, *candidate.policy.saving)
    why = waiting_reason(candidate, plan, option, world.points(option), world.capacity, world.now)
    return stop, (why, chosen, *candidate.policy.saving)


def _finished(state: TrainingState) -> Reason | None:
    if state.status.completion_time is not None or (state.job is not None and state.job.complete):
        return Reason(code="Completed", message="all work is done")
    if state.job is not None and state.job.failure:
        return Reason(code="JobFailed", message=state.job.failure)
    return None


def _over(found: _Found, reason: Reason, world: _World) -> TrainingDecision:
    state, last = found.state, found.state.status.decision
    return TrainingDecision(
        key=state.meta.key, mode=found.policy.mode, action=TrainingAction.NONE, replicas=0,
        hardware_class=(state.job.hardware_class if state.job else "") or (last.hardware_class if last else ""),
        simulated=last is not None and last.source == "simulated", scaling=learned_scaling(state, world.now),
        reasons=(reason,), events=_event(state, TrainingAction.NONE, (reason,)),
        conditions=training_conditions(
            state, world.snapshot, TrainingAction.NONE, (reason,), None, None, known_zone=True
        ),
        message=reason.message,
    )  # fmt: skip


def _impossible(found: _Found, world: _World) -> TrainingDecision:
    """No class can be used. A limit that is broken suspends what runs; a lack of nodes does not end it."""
    state = found.state
    reasons = tuple(Reason(code=r.code, message=r.message) for r in found.refused) or (
        Reason(code="NoClass", message="no HardwareClass offers what spec.resources asks for"),
    )
    action = TrainingAction.WAIT
    if state.job is not None:
        over = any(r.code == "OverLimit" and r.name == state.job.hardware_class for r in found.refused)
        told = found.policy.stop
        reasons = (told, *reasons) if told is not None else reasons
        stops = over or state.job.suspended or state.spec.suspend or told is not None
        action = TrainingAction.SUSPEND if stops else TrainingAction.RUN
    kept = state.job if action is not TrainingAction.WAIT else None
    return TrainingDecision(
        key=state.meta.key, mode=found.policy.mode, action=action, replicas=kept.replicas if kept else 0,
        hardware_class=kept.hardware_class if kept else "", scaling=learned_scaling(state, world.now), reasons=reasons,
        conditions=training_conditions(state, world.snapshot, action, reasons, None, None, known_zone=True),
        events=_event(state, action, reasons), message=reasons[0].message,
    )  # fmt: skip


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
    return (EventNote(reason=names[action], message=reasons[0].message, warning=reasons[0].code in _WARNINGS),)
