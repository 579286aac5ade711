"""The way in: what becomes of a request to store a workload or a policy, given the last Snapshot of the loop.

Nothing that is right may be refused because the operator knows too little. So without a recent Snapshot everything is
admitted with a warning; what a class cannot offer now but may later is only warned of; and a change is not refused for
what was wrong before it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from trimtab.api.policy import Mode
from trimtab.plan.admission.findings import Finding, Severity, Verdict, verdict, warns_only
from trimtab.plan.admission.policies import policy_findings
from trimtab.plan.admission.serving import serving_findings
from trimtab.plan.admission.training import training_findings
from trimtab.plan.conflicts import KUEUE_QUEUE
from trimtab.plan.policy import EffectivePolicy, effective_policy
from trimtab.plan.snapshot import PolicyState, ServingState, Snapshot, TrainingState

Judged = TrainingState | ServingState | PolicyState


def unknown(snapshot: Snapshot | None, now: datetime, stale_after: timedelta) -> Finding | None:
    """Why nothing can be checked; None when it can.

    Args:
        snapshot: The last one of the loop; None before its first pass.
        now: The instant.
        stale_after: A Snapshot older than this says nothing of the present.
    """
    if snapshot is None:
        text = "not checked: trimtab has just started and does not know the cluster yet"
        return Finding("NotChecked", "trimtab", text, Severity.WARN)
    age = now - snapshot.taken_at
    if age > stale_after:
        text = f"not checked: what trimtab knows of the cluster is {age.total_seconds():.0f} s old"
        return Finding("NotChecked", "trimtab", text, Severity.WARN)
    return None


def judge(new: Judged, old: Judged | None, snapshot: Snapshot | None, now: datetime, stale_after: timedelta) -> Verdict:
    """Judge a request.

    Args:
        new: The object as it would be stored, with the status that it has and what is observed of it.
        old: The same as it is stored now; None for one that is created.
        snapshot: The world as last seen.
        now: The instant of the request.
        stale_after: How old a Snapshot may be.
    """
    if new.meta.deleting or (old is not None and (new.spec, new.meta.labels) == (old.spec, old.meta.labels)):
        return Verdict()
    ignorance = unknown(snapshot, now, stale_after)
    if ignorance is not None or snapshot is None:
        return verdict([ignorance] if ignorance is not None else [])
    # What is asked for is asked for now, and not when the Snapshot was taken.
    world = snapshot.model_copy(update={"taken_at": now})
    findings = _findings(new, world)
    if old is not None:
        before = {(f.code, f.path) for f in _findings(old, world)}
        findings = [f.warned() if (f.code, f.path) in before else f for f in findings]
    if warns_only(new.meta):
        findings = [f.warned() for f in findings]
    return verdict(findings)


def _findings(state: Judged, world: Snapshot) -> list[Finding]:
    if isinstance(state, PolicyState):
        return policy_findings(state, world)
    policy = effective_policy(world.policies, state.meta)
    if isinstance(state, TrainingState):
        found = training_findings(state, policy, world)
    else:
        found = serving_findings(state, policy, world)
    return [*_watched_only(found, policy), *_queued(state)]


def _watched_only(findings: Iterable[Finding], policy: EffectivePolicy) -> list[Finding]:
    """Under Recommend nothing is refused: who asks to only watch must be able to rely on it."""
    return [f.warned() for f in findings] if policy.mode is Mode.RECOMMEND else list(findings)


def _queued(state: TrainingState | ServingState) -> list[Finding]:
    if KUEUE_QUEUE not in state.meta.labels:
        return []
    text = "trimtab decides itself when it runs and hands nothing to Kueue: the label has no effect on its children"
    return [Finding("KueueQueue", f"metadata.labels[{KUEUE_QUEUE}]", text, Severity.WARN)]
