"""Whom a budget counts: the workloads that its policy selects by their labels, and those of them that were deleted.

A workload's labels are gone with it, and its last seconds are metered later. So a budget's status names whom it counts
while they may run. What is in status outlives a killed operator: a workload that was deleted meanwhile is found there
as well.
"""

from datetime import timedelta

from trimtab.api.budget import BudgetStatus, DeletedWorkload
from trimtab.plan.policy import applies
from trimtab.plan.snapshot import PolicyState, ServingState, Snapshot, TrainingState

MOST = 1000
"""Names that are kept; of more, the last seconds of those beyond do not count."""
_ENDING = timedelta(minutes=10)
"""By then the pods of a workload that was seen to be gone have ended: their grace, and the garbage collector."""


def followed(policy: PolicyState, account: BudgetStatus, snapshot: Snapshot) -> BudgetStatus:
    """The account with whom it counts now.

    Args:
        policy: Whose budget it is.
        account: As it stands.
        snapshot: The world.
    """
    if selects_all(policy):
        return account.model_copy(update={"members": (), "deleted": ()})
    states = {f"TrainingWorkload/{t.meta.key}": t for t in snapshot.training}
    everyone: dict[str, TrainingState | ServingState] = dict(states)
    everyone |= {f"ServingWorkload/{s.meta.key}": s for s in snapshot.serving}
    members = sorted(
        key for key, state in everyone.items() if applies(policy, state.meta) and _counts_on(account, state)
    )
    kept = [one for one in account.deleted if one.name not in everyone and not _through(account, one)]
    known = {one.name for one in kept}
    fresh = [key for key in account.members if key not in everyone and key not in known]
    kept += [DeletedWorkload(name=key, since=snapshot.taken_at) for key in fresh]
    return account.model_copy(update={"members": tuple(members[:MOST]), "deleted": tuple(kept[-MOST:])})


def gone(account: BudgetStatus, present: frozenset[str]) -> frozenset[str]:
    """Who is counted though there is no such workload any more, by `Kind/namespace/name`."""
    return frozenset((*account.members, *(one.name for one in account.deleted))) - present


def selects_all(policy: PolicyState) -> bool:
    """Whether it selects whatever is in its namespaces: those that are gone need no labels then."""
    return not policy.spec.selector.match_labels and not policy.spec.selector.match_expressions


def _counts_on(account: BudgetStatus, state: TrainingState | ServingState) -> bool:
    """Whether it has pods, or what makes them, or had some that are not metered to their end."""
    if isinstance(state, ServingState):
        return bool(state.pods or state.deployments)
    done, until = state.status.completion_time, account.usage.accounted_until
    if done is not None and (until is None or until < done + _ENDING):
        return True
    return bool(state.pods) or (state.job is not None and not state.job.complete)


def _through(account: BudgetStatus, one: DeletedWorkload) -> bool:
    """Whether all that it can have spent is in the account, and nothing of it can still be corrected."""
    end, until = one.since + _ENDING, account.usage.accounted_until
    return until is not None and until > end and all(gap.start >= end for gap in account.usage.gaps)
