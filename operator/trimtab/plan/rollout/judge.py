"""Whether a candidate goes on, is promoted or goes back: pure, from all that both variants did since it began."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trimtab.api.rollout import Inconclusive, Rollout, RolloutArm, RolloutPhase, RolloutStatus
from trimtab.plan.rollout.sequential import (
    Counts,
    failure_share_bounds,
    log_evidence_of_later,
    log_evidence_of_more_failures,
)
from trimtab.plan.serving_facts import RolloutInterval


@dataclass(frozen=True)
class _Figures:
    """The figures that the verdict rests on."""

    candidate: RolloutArm
    stable: RolloutArm
    increase: float
    """Most that the share of failed requests rises by."""
    fails_more: bool
    is_later: bool


def judge(
    rollout: Rollout,
    running: RolloutStatus,
    intervals: Sequence[RolloutInterval],
    bound_milliseconds: float,
    now: datetime,
) -> RolloutStatus:
    """Decide how a roll-out goes on.

    The significance is shared out: half of it to each of the two ways to be worse (failing more, being late more
    often), and for a promotion half to each of the two bounds on failures. So all of it holds at every look.

    Args:
        rollout: What the workload asks for.
        running: The roll-out as it stands; its phase is Running.
        intervals: What both variants did in each interval since it began, the oldest first.
        bound_milliseconds: The latency target.
        now: The instant of the decision.

    Returns:
        The roll-out with its phase, its figures and why.
    """
    figures = _figures(rollout, running, intervals, bound_milliseconds)
    arms = (figures.candidate, figures.stable)
    phase, reason, message = _verdict(rollout, running, figures, now)
    ended = None if phase is RolloutPhase.RUNNING else now
    return running.model_copy(
        update={"phase": phase, "ended_at": ended, "arms": arms, "reason": reason, "message": message[:1024]}
    )


def _figures(
    rollout: Rollout, running: RolloutStatus, intervals: Sequence[RolloutInterval], bound_milliseconds: float
) -> _Figures:
    half = rollout.significance / 2.0
    rejects = -math.log(half)
    counts = [
        Counts(i.candidate.requests, i.candidate.failures, i.stable.requests, i.stable.failures) for i in intervals
    ]
    late = [(i.candidate.late(bound_milliseconds), i.stable.late(bound_milliseconds)) for i in intervals]
    candidate_only = sum(1 for one, other in late if one is True and other is False)
    stable_only = sum(1 for one, other in late if one is False and other is True)
    tried, failed = sum(c.candidate_requests for c in counts), sum(c.candidate_failures for c in counts)
    served, missed = sum(c.stable_requests for c in counts), sum(c.stable_failures for c in counts)
    _, most = failure_share_bounds(min(failed, tried), tried, half)
    least_stable, most_stable = failure_share_bounds(min(missed, served), served, half)
    return _Figures(
        candidate=RolloutArm(
            name=running.candidate,
            requests=round(tried, 1),
            failures=round(failed, 1),
            most_failures=most if tried > 0.0 else None,
            late_intervals=candidate_only,
        ),
        stable=RolloutArm(
            name=running.stable,
            requests=round(served, 1),
            failures=round(missed, 1),
            most_failures=most_stable if served > 0.0 else None,
            late_intervals=stable_only,
        ),
        increase=most - least_stable,
        fails_more=log_evidence_of_more_failures(counts) >= rejects,
        is_later=log_evidence_of_later(candidate_only, stable_only) >= rejects,
    )


def _verdict(
    rollout: Rollout, running: RolloutStatus, figures: _Figures, now: datetime
) -> tuple[RolloutPhase, str, str]:
    candidate, stable, elapsed = figures.candidate, figures.stable, now - running.started_at
    if figures.fails_more:
        text = f"{_failed(candidate)}, and {_failed(stable)}: it fails more often"
        return RolloutPhase.RETURNED, "CandidateFailsMore", f"{text} (significance {rollout.significance:g})"
    if figures.is_later:
        text = (
            f"{candidate.name} broke the latency target in {candidate.late_intervals} intervals in which {stable.name} "
            f"held it, and the other way round in {stable.late_intervals}"
        )
        return RolloutPhase.RETURNED, "CandidateIsLate", f"{text} (significance {rollout.significance:g})"
    allowed = f"at most {100.0 * rollout.max_error_increase:g} points more failures"
    shown = f"{_failed(candidate)}: {100.0 * max(0.0, figures.increase):.2g} points more than {stable.name} at the most"
    if figures.increase <= rollout.max_error_increase:
        if elapsed >= rollout.min_duration:
            return RolloutPhase.PROMOTED, "CandidateIsNoWorse", f"{shown}; {allowed} is allowed"
        return RolloutPhase.RUNNING, "WaitsForMinDuration", f"{shown}; it serves for minDuration before it is promoted"
    if elapsed < rollout.max_duration:
        return RolloutPhase.RUNNING, "Comparing", f"{shown}; has to be shown: {allowed}"
    promote = rollout.inconclusive is Inconclusive.PROMOTE
    text = f"after maxDuration neither good nor bad: {shown}; had to be shown: {allowed}"
    return (RolloutPhase.PROMOTED if promote else RolloutPhase.RETURNED), "Inconclusive", text


def _failed(arm: RolloutArm) -> str:
    return f"{arm.name} failed {arm.failures:g} of {arm.requests:g} requests"
