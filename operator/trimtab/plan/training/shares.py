"""Shares a class between elastic workloads that want to be done as early as possible: least mean completion time.

Workloads that may be shifted in time are left to the scheduler, which knows what each hour costs. Of the others, those
of equal priority whose widest gangs do not fit side by side get widths by the worth of their progress
(`plan/elastic`): the same function that `trimtab simulate` measures against Pollux.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from trimtab.plan.capacity import Capacity
from trimtab.plan.elastic.placement import ClusterShape, Placement
from trimtab.plan.elastic.planner import ElasticDemand, ElasticSettings, FloatArray, IntArray, plan_elastic
from trimtab.plan.training.options import SUSPEND_RESUME_SECONDS, TrainingOption, remaining_samples
from trimtab.plan.training.problem import Candidate, at_once_hours
from trimtab.plan.training.slack import slack

_MOST_UNITS = 1024
"""Above so many replicas side by side, dividing exactly takes too long for the loop: first come, first served."""


@dataclass(frozen=True)
class _MeasuredSpeeds:
    """Speeds of a workload by its options on one class."""

    options: tuple[TrainingOption, ...]

    def speeds(self, replicas: IntArray, gpus_per_node: int, fixed_batch: int | None = None) -> FloatArray:
        """Samples a second, between known scales in proportion; 0 below the least gang, and above the largest."""
        counts = [o.replicas for o in reversed(self.options)]
        known = [o.samples_per_second for o in reversed(self.options)]
        speeds = np.interp(replicas.astype(float), counts, known)
        return np.where((replicas >= counts[0]) & (replicas <= counts[-1]), speeds, 0.0)


@dataclass(frozen=True)
class _Group:
    """Who shares: a class, a priority, and replicas of one size."""

    hardware_class: str
    priority: int
    units_per_replica: float


def share(candidates: Iterable[Candidate], capacity: Capacity, now: datetime) -> tuple[Candidate, ...]:
    """Settle the width of each elastic workload that competes; all others come back as they are.

    Args:
        candidates: In the order of the queue.
        capacity: What all of them may share. It is not changed.
        now: The instant of the decision.
    """
    settled = list(candidates)
    groups: dict[_Group, list[int]] = defaultdict(list)
    for index, candidate in enumerate(settled):
        if _competes(candidate):
            best = candidate.best
            key = _Group(best.name, candidate.state.spec.priority, round(best.units / best.replicas, 6))
            groups[key].append(index)
    taken: dict[str, float] = defaultdict(float)
    for candidate in settled:
        if not _competes(candidate) and candidate.hold is None and not candidate.slack.may_shift:
            taken[candidate.best.name] += candidate.best.units
    for group in sorted(groups, key=lambda g: (-g.priority, g.hardware_class, g.units_per_replica)):
        members = groups[group]
        room = math.floor(
            (capacity.left(group.hardware_class) - taken[group.hardware_class]) / group.units_per_replica + 1e-9
        )
        widest = sum(_on_class(settled[i])[0].replicas for i in members)
        if len(members) > 1 and 0 < room < widest and room <= _MOST_UNITS:
            for index, width in zip(members, _widths([settled[i] for i in members], room), strict=True):
                settled[index] = _narrowed(settled[index], width, now)
        taken[group.hardware_class] += min(room, widest) * group.units_per_replica
    return tuple(settled)


def _competes(candidate: Candidate) -> bool:
    """Whether it wants to run now, and may be wider or narrower."""
    if candidate.hold is not None or candidate.slack.may_shift or remaining_samples(candidate.state) is None:
        return False
    return candidate.best.speed_known and len(_on_class(candidate)) > 1


def _on_class(candidate: Candidate) -> tuple[TrainingOption, ...]:
    """The options on its best class, most replicas first."""
    return tuple(o for o in candidate.options if o.name == candidate.best.name)


def _widths(members: list[Candidate], room: int) -> list[int]:
    placements = _placements(members, room)
    demands = [
        ElasticDemand(
            key=candidate.state.meta.key,
            placement=placement,
            work_left=remaining_samples(candidate.state) or 0.0,
            model=_MeasuredSpeeds(_on_class(candidate)),
            most_replicas=_on_class(candidate)[0].replicas,
        )
        for candidate, placement in zip(members, placements, strict=True)
    ]
    settings = ElasticSettings(restart_seconds=SUSPEND_RESUME_SECONDS)
    decisions = plan_elastic(demands, ClusterShape(room, 1), settings)
    return [sum(count for _, count in decision.placement) for decision in decisions]


def _placements(members: list[Candidate], room: int) -> list[Placement]:
    """What each holds now, side by side; one that no longer fits counts as not running."""
    placements: list[Placement] = []
    used = 0
    for candidate in members:
        job = candidate.state.job
        here = job is not None and not job.suspended and job.hardware_class == candidate.best.name
        held = job.replicas if here and job is not None else 0
        if used + held > room:
            held = 0
        placements.append(tuple((used + i, 1) for i in range(held)))
        used += held
    return placements


def _narrowed(candidate: Candidate, width: int, now: datetime) -> Candidate:
    """The candidate with one width; with the least gang when its turn comes later."""
    options = _on_class(candidate)
    option = next((o for o in options if o.replicas <= width), options[-1])
    hours = at_once_hours(candidate.state, option)
    return replace(
        candidate,
        options=(option,),
        shared_from=options[0].replicas if option.replicas < options[0].replicas else 0,
        slack=slack(candidate.state, candidate.policy, hours, option.rate.cost_usd_per_hour, candidate.hold, now),
    )
