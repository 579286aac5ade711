"""From the Snapshot to the scheduling problem that `plan/schedule` solves: pools, jobs and a horizon of slots."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from trimtab.plan.capacity import Capacity
from trimtab.plan.intensity import hoped_at, intensity_at
from trimtab.plan.policy import EffectivePolicy
from trimtab.plan.rates import embodied_grams_per_hour
from trimtab.plan.schedule.problem import FloatArray, Job, Pool, RunMode, SchedulingProblem
from trimtab.plan.snapshot import HardwareState, IntensityPoint, TrainingState
from trimtab.plan.training.options import SUSPEND_RESUME_SECONDS, TrainingOption, remaining_samples
from trimtab.plan.training.slack import Hold, Slack, needed_time
from trimtab.plan.training.spending import TrainingLimit, budgets_of, with_periods

MOST_SLOTS = 168
"""A week of hourly slots: further than any forecast of carbon intensity is worth something."""
_LEAST_UNITS = 1e-6
"""A node with less of the resource than this has none."""
MOST_WEIGHED_STARTS = 300
"""Up to so many jobs, the time that each start costs is weighed against each pause; of more, it is added to the work
once: a schedule of thousands has to be made within a pass of the loop.

Under a budget that work is put off for it always is: each job is then placed many times, and weighing starts made a
plan of three trainings take half a second.
"""
_LEAST_WORK_SECONDS = 5.0
_UNKNOWN_WORK_HOURS = 1.0
"""Work that is assumed while its size or the speed is unknown, at the speed of the best class."""


@dataclass(frozen=True)
class Candidate:
    """A workload that may be scheduled, with all that was found out about it."""

    state: TrainingState
    policy: EffectivePolicy
    options: tuple[TrainingOption, ...]
    """At least one, best class first, most replicas first within a class."""
    hold: Hold | None
    slack: Slack
    shared_from: int = 0
    """Replicas that it would have alone, where others made it narrower; 0 where nobody did."""

    @property
    def best(self) -> TrainingOption:
        """The option that it would take at once, were it alone."""
        return self.options[0]


def work_left(options: Iterable[TrainingOption], left: float | None) -> float:
    """Samples to plan for: what is left, or a stand-in while size or speed is unknown.

    Never nothing: a Job whose samples are all done still has to evaluate and write its model, and then to end.
    """
    given = tuple(options)
    fastest = max((o.samples_per_second for o in given), default=0.0)
    if left is None or not all(o.speed_known for o in given):
        return fastest * 3600.0 * _UNKNOWN_WORK_HOURS
    return max(left, fastest * _LEAST_WORK_SECONDS)


def at_once_hours(state: TrainingState, best: TrainingOption) -> float:
    """Hours from now until the work is done, run at once on the best class with the most replicas that fit."""
    if best.samples_per_second <= 0.0:
        return math.inf
    work = work_left([best], remaining_samples(state))
    runs = state.job is not None and not state.job.suspended and state.job.replicas == best.replicas
    start = 0.0 if runs and state.job is not None and state.job.hardware_class == best.name else SUSPEND_RESUME_SECONDS
    return work / best.samples_per_second / 3600.0 + start / 3600.0


def slot_edges(series: Mapping[str, tuple[IntensityPoint, ...]], now: datetime, needed_hours: float) -> FloatArray:
    """Edges of the slots in hours from now: wherever an intensity changes, then hourly, until `needed_hours`.

    The last slot takes in whatever is left.
    """
    starts = {point.start for points in series.values() for point in points if point.start > now}
    edges = [0.0, *((start - now).total_seconds() / 3600.0 for start in sorted(starts))][: MOST_SLOTS + 1]
    # The last point holds for as long as the one before it did, or for an hour.
    edges.append(edges[-1] + (edges[-1] - edges[-2] if len(edges) > 2 else 1.0))
    while len(edges) <= MOST_SLOTS and edges[-1] < needed_hours:
        edges.append(edges[-1] + 1.0)
    if edges[-1] < needed_hours:
        edges.append(needed_hours)
    return np.array(edges)


def _pool(
    hardware: HardwareState,
    free_units: float,
    points: tuple[IntensityPoint, ...],
    now: datetime,
    edges: FloatArray,
    *,
    hopes: bool,
) -> Pool:
    slots = len(edges) - 1
    starts = [now + timedelta(hours=float(edge), milliseconds=1) for edge in edges[:-1]]
    weighed = [hoped_at(points, start, now) if hopes else intensity_at(points, start) for start in starts]
    intensity = np.array([grams or 0.0 for grams in weighed])
    per_unit = 1.0 / hardware.units_per_node if hardware.units_per_node > _LEAST_UNITS else 0.0
    return Pool(
        name=hardware.meta.name,
        free_units=np.full(slots, free_units),
        usd_per_unit_hour=np.full(slots, hardware.spec.price.usd_per_hour * per_unit),
        grams_per_kwh=intensity,
        embodied_grams_per_unit_hour=embodied_grams_per_hour(hardware) * per_unit,
    )


def _job(candidate: Candidate, pools: Mapping[str, int], first_edge_hours: float, *, weigh_starts: bool) -> Job:
    state, job = candidate.state, candidate.state.job
    modes = tuple(
        RunMode(
            pool=pools[o.name],
            replicas=o.replicas,
            units=o.units,
            work_per_hour=o.samples_per_second * 3600.0,
            kilowatts=o.rate.power_watts / 1000.0,
        )
        for o in candidate.options
    )
    running = None
    if job is not None and not job.suspended:
        same = (
            i for i, o in enumerate(candidate.options) if (o.name, o.replicas) == (job.hardware_class, job.replicas)
        )
        running = next(same, None)
    held = candidate.hold is not None and not candidate.hold.run
    ceiling = candidate.policy.max_intensity_grams_per_kwh
    overruled = candidate.hold is not None and candidate.hold.run
    work = work_left(candidate.options, remaining_samples(state))
    start_hours = SUSPEND_RESUME_SECONDS / 3600.0
    if not weigh_starts and running is None:
        work += start_hours * candidate.best.samples_per_second * 3600.0
    return Job(
        key=state.meta.key,
        work=work,
        modes=modes,
        earliest_hours=first_edge_hours if held else 0.0,
        deadline_hours=candidate.slack.deadline_hours,
        switch_hours=start_hours if weigh_starts else 0.0,
        running=None if held else running,
        max_grams_per_kwh=math.inf if ceiling is None or overruled else float(ceiling),
        priority=state.spec.priority,
        delay_usd_per_hour=candidate.slack.delay_usd_per_hour,
        usd_per_gram=candidate.policy.carbon_price_usd_per_gram,
    )


def scheduling_problem(
    candidates: tuple[Candidate, ...],
    hardware: tuple[HardwareState, ...],
    series: Mapping[str, tuple[IntensityPoint, ...]],
    capacity: Capacity,
    now: datetime,
    limits: tuple[TrainingLimit, ...] = (),
) -> SchedulingProblem:
    """Put the problem together.

    Args:
        candidates: In the order of the queue.
        hardware: All classes.
        series: Carbon intensity by zone.
        capacity: What is left of each class for training.
        now: Start of the horizon.
        limits: Budgets for which work is put off.
    """
    names = {h.meta.name: i for i, h in enumerate(hardware)}
    needed = 1.0 + sum(
        at_once_hours(c.state, c.best) for c in candidates if math.isfinite(at_once_hours(c.state, c.best))
    )
    zones = {h.spec.grid_zone for h in hardware}
    edges = slot_edges({z: p for z, p in series.items() if z in zones}, now, needed)
    known = frozenset(c.state.meta.key for c in candidates if needed_time(c.state, c.best) is not None)
    limits = tuple(limit for limit in limits if known & limit.reasons.keys())
    latest = max((c.slack.deadline_hours for c in candidates if math.isfinite(c.slack.deadline_hours)), default=0.0)
    edges = with_periods(edges, limits, latest, needed, now)
    # A budget of carbon is planned with what is expected, not with what is hoped for.
    hopes = not any(limit.unit == "kgCO2e" for limit in limits)
    pools = tuple(
        _pool(h, capacity.left(h.meta.name), series.get(h.spec.grid_zone, ()), now, edges, hopes=hopes)
        for h in hardware
    )
    budgets = budgets_of(limits, known, edges, now)
    weigh_starts = len(candidates) <= MOST_WEIGHED_STARTS and not budgets
    jobs = tuple(_job(c, names, float(edges[1]), weigh_starts=weigh_starts) for c in candidates)
    return SchedulingProblem(edges_hours=edges, pools=pools, jobs=jobs, budgets=budgets)
