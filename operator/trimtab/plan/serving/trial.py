"""Carries a canary roll-out through the passes: begins it, lets it be judged, and says what may serve meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trimtab.api.common import Reason
from trimtab.api.policy import Mode
from trimtab.api.rollout import RejectedVariant, RolloutPhase, RolloutStatus, RolloutStrategy
from trimtab.plan.decisions import EventNote
from trimtab.plan.rollout.judge import judge
from trimtab.plan.snapshot import ServingState, VariantState

LEAST_REPLICAS = 2
"""One for each of the two variants."""
UNHURRIED = frozenset({"CheapestThatHoldsTargets", "MostAccurateWithinLimits"})
"""Reasons of a change that can wait for a trial; any other is to hold a target or a limit."""

HELD_BACK = frozenset({"LimitsTooTight", "TargetOutOfReach", "CapacityShort"})
"""Reasons that say that the stable variant alone cannot go on."""


@dataclass(frozen=True)
class Trial:
    """What roll-outs have to say to a workload's decision."""

    rollout: RolloutStatus | None = None
    """The roll-out in progress, or the last one."""
    rejected: tuple[RejectedVariant, ...] = ()
    """Candidates that were sent back and are not to be tried yet."""
    only: str = ""
    """The one variant that may be decided on: the stable one during a roll-out, the candidate once promoted."""

    @property
    def runs(self) -> bool:
        """A candidate serves beside the stable variant."""
        return self.rollout is not None and self.rollout.phase is RolloutPhase.RUNNING

    def may_serve(self, variants: Sequence[VariantState]) -> list[VariantState]:
        """Those of the workload's variants that may be decided on in this pass.

        A variant that was sent back may still be all that there is; then it is better than none.
        """
        if self.only:
            return [v for v in variants if v.meta.name == self.only]
        held_back = {one.name for one in self.rejected}
        return [v for v in variants if v.meta.name not in held_back] or list(variants)


def carry_on(
    state: ServingState,
    mode: Mode,
    eligible: Sequence[VariantState],
    breached: bool,
    current: str,
    now: datetime,
    *,
    stopped: bool = False,
) -> Trial:
    """Let the roll-out in progress be judged.

    Args:
        state: The workload.
        mode: Of its policies.
        eligible: Its variants that may serve.
        breached: Its latency target is broken: what has to be done for it comes before any trial.
        current: The variant that was decided on last.
        now: The instant of the decision.
        stopped: It has no replicas now, by a policy or because it sleeps: nothing can be tried.
    """
    making = {v.meta.name: v.status.spec_hash for v in eligible}
    rejected = tuple(
        one
        for one in state.status.rejected
        if one.until > now and one.name != current and making.get(one.name, one.spec_hash) == one.spec_hash
    )
    rollout = state.status.rollout
    if rollout is None or rollout.phase is not RolloutPhase.RUNNING:
        return Trial(rollout, rejected)
    ended = _withdrawn(state, mode, making, breached, rollout)
    if ended is None and stopped:
        ended = "Withdrawn", "the service has no replicas now"
    if ended:
        return Trial(_end(rollout, *ended, now), rejected)
    judged = judge(state.spec.rollout, rollout, state.rollout_intervals, state.spec.targets.latency.milliseconds, now)
    if judged.phase is RolloutPhase.RUNNING:
        return Trial(judged, rejected, only=judged.stable)
    if judged.phase is RolloutPhase.PROMOTED:
        return Trial(judged, rejected, only=judged.candidate)
    back = RejectedVariant(
        name=judged.candidate, until=now + state.spec.rollout.retry_after, spec_hash=making[judged.candidate]
    )
    return Trial(judged, (*rejected, back))


def _withdrawn(
    state: ServingState, mode: Mode, making: Mapping[str, str], breached: bool, rollout: RolloutStatus
) -> tuple[str, str] | None:
    """Why a roll-out ends without a verdict; None when it goes on."""
    if state.spec.rollout.strategy is not RolloutStrategy.CANARY or mode is not Mode.ENFORCE:
        return "Withdrawn", "spec.rollout or the policies no longer ask for it"
    for name in (rollout.candidate, rollout.stable):
        if name not in making:
            return "Withdrawn", f"{name} may no longer serve"
    if breached and not _candidate_alone_is_late(state, rollout):
        return "TargetBroken", "the latency target is broken: what holds it comes first"
    return None


def _candidate_alone_is_late(state: ServingState, rollout: RolloutStatus) -> bool:
    """Whether the newest interval shows the stable variant in time: the breach is then the candidate's own."""
    newest = state.rollout_intervals[-1] if state.rollout_intervals else None
    return newest is not None and newest.stable.late(state.spec.targets.latency.milliseconds) is False


def _end(rollout: RolloutStatus, reason: str, message: str, now: datetime) -> RolloutStatus:
    return rollout.model_copy(
        update={"phase": RolloutPhase.RETURNED, "ended_at": now, "reason": reason, "message": message}
    )


def begin(trial: Trial, stable: str, candidate: str, why: str, now: datetime) -> Trial:
    """A roll-out that begins now."""
    rollout = RolloutStatus(
        phase=RolloutPhase.RUNNING,
        stable=stable,
        candidate=candidate,
        started_at=now,
        reason="Begun",
        message=why[:1024],
    )
    return replace(trial, rollout=rollout, only=stable)


def reasons_of(trial: Trial) -> tuple[Reason, ...]:
    """What a decision says of the roll-out that it is part of."""
    if trial.rollout is None or not trial.runs:
        return ()
    return (Reason(code="Canary", message=f"tries {trial.rollout.candidate}: {trial.rollout.message}"[:1024]),)


def notes(state: ServingState, trial: Trial) -> tuple[EventNote, ...]:
    """Events of a roll-out that began or ended in this pass."""
    before, rollout = state.status.rollout, trial.rollout
    if rollout is None or (
        before is not None and (before.started_at, before.phase) == (rollout.started_at, rollout.phase)
    ):
        return ()
    text = f"{rollout.stable} -> {rollout.candidate}: {rollout.message}"
    if rollout.phase is RolloutPhase.RUNNING:
        return (EventNote(reason="CanaryBegun", message=text),)
    returned = rollout.phase is RolloutPhase.RETURNED
    return (EventNote(reason="CanaryReturned" if returned else "CanaryPromoted", message=text, warning=returned),)


def superseded(rollout: RolloutStatus, why: str, now: datetime) -> RolloutStatus:
    """A roll-out that ends because the stable variant cannot go on."""
    return _end(rollout, "Superseded", f"{rollout.stable} cannot go on: {why}", now)


def begins(state: ServingState, mode: Mode, current: str, chosen: str, reason_code: str, same_class: bool) -> bool:
    """Whether a change of variant begins as a trial, and is not simply made.

    Args:
        state: The workload.
        mode: Of its policies.
        current: The variant that was decided on last.
        chosen: The one that would be the better choice now.
        reason_code: Why it is the choice.
        same_class: It would run on the class that serves now; a move to another one starts new servers anyway.
    """
    most = state.spec.replicas if state.spec.replicas is not None else state.spec.max_replicas
    return (
        state.spec.rollout.strategy is RolloutStrategy.CANARY
        and mode is Mode.ENFORCE
        and bool(current)
        and chosen != current
        and reason_code in UNHURRIED
        and same_class
        and most >= LEAST_REPLICAS
        and any(pod.ready and not pod.deleting for pod in state.pods)
    )


def canary_pods(state: ServingState, candidate_version: int | None) -> tuple[str, ...]:
    """Which ready pods serve the candidate: those that do already first, then by name; one always stays."""
    ready = [pod for pod in state.pods if pod.ready and not pod.deleting]
    count = min(max(1, int(state.spec.rollout.share * len(ready))), len(ready) - 1)
    ready.sort(key=lambda pod: (pod.loaded_version != candidate_version, pod.name))
    return tuple(sorted(pod.name for pod in ready[: max(0, count)]))
