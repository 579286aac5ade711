"""What a new or changed policy means for the workloads that are there."""

from trimtab.api.policy import Mode
from trimtab.plan.admission.budgets import limit_of
from trimtab.plan.admission.findings import Finding, Severity, number
from trimtab.plan.admission.serving import serving_findings
from trimtab.plan.admission.training import training_findings
from trimtab.plan.policy import applies, effective_policy
from trimtab.plan.snapshot import PolicyState, ServingState, Snapshot, TrainingState

_MOST_NAMED = 5
_MOST_JUDGED = 300
"""Workloads that are looked at: nobody waits for long to store a policy."""
_OF_POLICIES = frozenset(("OverLimit", "OverBudget", "AccuracyTooHigh"))


def policy_findings(policy: PolicyState, snapshot: Snapshot) -> list[Finding]:
    """What could no longer be as it is. Only warnings: stopping what is too dear is what policies are for."""
    if policy.spec.mode is Mode.OFF:
        return []
    others = tuple(p for p in snapshot.policies if p.meta.key != policy.meta.key)
    # Who holds what now is not the question here.
    before = snapshot.model_copy(update={"training": (), "serving": ()})
    after = before.model_copy(update={"policies": (*others, policy)})
    findings = _exhausted(policy) if policy.spec.mode is Mode.ENFORCE else []
    hurt: list[str] = []
    workloads: tuple[TrainingState | ServingState, ...] = (*snapshot.training, *snapshot.serving)
    selected = [w for w in workloads if applies(policy, w.meta) and not w.meta.deleting and not _over(w)]
    for workload in selected[:_MOST_JUDGED]:
        codes = _codes(workload, after)
        if codes:
            new = codes.items() - _codes(workload, before).items()
            hurt += [f"{workload.meta.key} no longer fits: {message}" for _, message in sorted(new)[:1]]
    if len(selected) > _MOST_JUDGED:
        text = f"only {_MOST_JUDGED} of the {len(selected)} workloads that it selects were looked at"
        findings.append(Finding("WorkloadsHurt", "spec", text, Severity.WARN))
    findings += [Finding("WorkloadsHurt", "spec", text, Severity.WARN) for text in hurt[:_MOST_NAMED]]
    if len(hurt) > _MOST_NAMED:
        text = f"{len(hurt) - _MOST_NAMED} more workloads no longer fit"
        findings.append(Finding("WorkloadsHurt", "spec", text, Severity.WARN))
    return findings


def _over(workload: TrainingState | ServingState) -> bool:
    return isinstance(workload, TrainingState) and workload.status.completion_time is not None


def _codes(workload: TrainingState | ServingState, snapshot: Snapshot) -> dict[str, str]:
    """What policies do to a workload: by code and field, the message."""
    policy = effective_policy(snapshot.policies, workload.meta)
    if isinstance(workload, TrainingState):
        found = training_findings(workload, policy, snapshot)
    else:
        found = serving_findings(workload, policy, snapshot)
    return {f"{f.code} {f.path}": str(f) for f in found if f.code in _OF_POLICIES}


def _exhausted(policy: PolicyState) -> list[Finding]:
    """Budgets that are set below what was spent already."""
    stands = {status.name: status for status in policy.status.budgets}
    findings = []
    for i, budget in enumerate(policy.spec.budgets):
        status = stands.get(budget.name)
        limit, unit = limit_of(budget)
        if status is not None and status.spent > limit + status.carried_over:
            text = (
                f"budget {budget.name!r}: {number(status.spent)} {unit} were spent in this period, "
                f"{number(status.spent - limit - status.carried_over)} {unit} more than it now allows: "
                f"its actions begin at once, the last of them {budget.actions[-1] if budget.actions else 'none'}"
            )
            findings.append(Finding("BudgetExhausted", f"spec.budgets[{i}]", text, Severity.WARN))
    return findings
