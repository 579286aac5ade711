"""Joins what was observed of single objects into the states of workloads. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import cast

from trimtab.api.policy import (
    CLUSTER_EFFICIENCY_POLICY,
    EFFICIENCY_POLICY,
    EfficiencyPolicySpec,
    EfficiencyPolicyStatus,
)
from trimtab.api.schema import GROUP, Kind
from trimtab.api.serving import SERVING_WORKLOAD, ServingWorkloadSpec, ServingWorkloadStatus
from trimtab.api.training import TRAINING_WORKLOAD, TrainingWorkloadSpec, TrainingWorkloadStatus
from trimtab.api.variant import MODEL_VARIANT, ModelVariantSpec, ModelVariantStatus
from trimtab.observe.cache import ClusterView
from trimtab.observe.facts import DeploymentFact, JobFact, KindFact, Owner, PodFact, ScalerFact
from trimtab.observe.projection import DEPLOYMENTS, JOBS, PODS, SCALED_OBJECTS, SCALERS, VERTICAL_SCALERS
from trimtab.observe.result_memory import NOTHING_SAID, LastWords
from trimtab.plan.snapshot import (
    DeploymentState,
    JobState,
    ObjectMeta,
    PolicyState,
    ScalerState,
    ServingState,
    TrainingState,
    VariantState,
    WorkloadPod,
)


class Children:
    """The child objects of each workload."""

    def __init__(self, view: ClusterView) -> None:
        self._words, self._writes = view.words, view.writes
        self._jobs: dict[Owner, list[JobFact]] = defaultdict(list)
        self._deployments: dict[Owner, list[DeploymentFact]] = defaultdict(list)
        self._pods: dict[Owner, list[WorkloadPod]] = defaultdict(list)
        for job in cast(Iterable[JobFact], view.facts[JOBS]):
            self._jobs[job.owner].append(job)
        for deployment in cast(Iterable[DeploymentFact], view.facts[DEPLOYMENTS]):
            self._deployments[deployment.owner].append(deployment)
        for pod in cast(Iterable[PodFact], view.facts[PODS]):
            if pod.owner is not None and pod.pod is not None:
                self._pods[pod.owner].append(pod.pod)

    def job(self, owner: Owner, meta: ObjectMeta) -> JobState | None:
        """Its newest Job. One that a deleted namesake left behind is not its."""
        own = [job.state for job in self._jobs[owner] if job.owner_uid == meta.uid]
        newest = max(own, key=lambda job: job.created_at, default=None)
        if newest is None or newest.uid not in self._writes:
            return newest
        return newest.model_copy(update={"foreign_writes": self._writes[newest.uid]})

    def deployments(self, owner: Owner, meta: ObjectMeta) -> tuple[DeploymentState, ...]:
        """Its Deployments."""
        own = [one for one in self._deployments[owner] if one.owner_uid == meta.uid]
        return tuple(
            one.state.model_copy(update={"foreign_writes": self._writes[one.uid]})
            if one.uid in self._writes
            else one.state
            for one in own
        )

    def pods(self, owner: Owner, meta: ObjectMeta) -> tuple[WorkloadPod, ...]:
        """Its pods. Those older than itself are a deleted namesake's."""
        return tuple(pod for pod in self._pods[owner] if pod.created_at >= meta.created_at)

    def words(self, job: JobState | None) -> LastWords:
        """What the Job's ended pods said, also those that are gone."""
        return self._words.get(job.uid, NOTHING_SAID) if job is not None else NOTHING_SAID


def training_states(view: ClusterView, children: Children) -> tuple[TrainingState, ...]:
    """Every TrainingWorkload, without metrics."""
    states = []
    for fact, owner in _own(view, TRAINING_WORKLOAD):
        job = children.job(owner, fact.meta)
        state = TrainingState(
            meta=fact.meta,
            spec=cast(TrainingWorkloadSpec, fact.spec),
            status=cast(TrainingWorkloadStatus, fact.status),
            job=job,
            pods=children.pods(owner, fact.meta),
            result=children.words(job).training,
        )
        states.append(state)
    return tuple(states)


def serving_states(view: ClusterView, children: Children) -> tuple[ServingState, ...]:
    """Every ServingWorkload, without metrics and loaded versions."""
    states = []
    for fact, owner in _own(view, SERVING_WORKLOAD):
        state = ServingState(
            meta=fact.meta,
            spec=cast(ServingWorkloadSpec, fact.spec),
            status=cast(ServingWorkloadStatus, fact.status),
            deployments=children.deployments(owner, fact.meta),
            pods=children.pods(owner, fact.meta),
        )
        states.append(state)
    return tuple(states)


def variant_states(view: ClusterView, children: Children) -> tuple[VariantState, ...]:
    """Every ModelVariant."""
    states = []
    for fact, owner in _own(view, MODEL_VARIANT):
        job = children.job(owner, fact.meta)
        words = children.words(job)
        state = VariantState(
            meta=fact.meta,
            spec=cast(ModelVariantSpec, fact.spec),
            status=cast(ModelVariantStatus, fact.status),
            job=job,
            pods=children.pods(owner, fact.meta),
            result=words.variant,
            result_error=words.variant_error,
            failure_reason=words.variant_failure_reason,
        )
        states.append(state)
    return tuple(states)


def policy_states(view: ClusterView) -> tuple[PolicyState, ...]:
    """Policies of namespaces, then of the cluster."""
    facts = [fact for kind in (EFFICIENCY_POLICY, CLUSTER_EFFICIENCY_POLICY) for fact, _ in _own(view, kind)]
    return tuple(
        PolicyState(
            meta=fact.meta,
            spec=cast(EfficiencyPolicySpec, fact.spec),
            status=cast(EfficiencyPolicyStatus, fact.status),
        )
        for fact in facts
    )


def scaler_states(view: ClusterView) -> tuple[ScalerState, ...]:
    """What scales something of trimtab's: a workload, or a child."""
    children = {
        (kind, one.owner.namespace, one.state.name)
        for kind, plural in (("Deployment", DEPLOYMENTS), ("Job", JOBS))
        for one in cast(Iterable[DeploymentFact | JobFact], view.facts[plural])
    }
    facts = [fact for plural in (SCALED_OBJECTS, SCALERS, VERTICAL_SCALERS) for fact in view.facts.get(plural, ())]
    states = (cast(ScalerFact, fact).state for fact in facts)
    return tuple(
        s for s in states if s.target_group == GROUP or (s.target_kind, s.namespace, s.target_name) in children
    )


def open_account_start(state: TrainingState | ServingState, grace_seconds: float) -> datetime | None:
    """From when on a workload's use is still to be accounted for; None when its account is closed.

    Args:
        state: The workload.
        grace_seconds: How long after its end the meter may still bring samples.
    """
    usage = state.status.usage
    start = usage.accounted_until if usage is not None and usage.accounted_until else state.meta.created_at
    ended = state.status.completion_time if isinstance(state, TrainingState) else None
    running = any(pod.phase in ("Pending", "Running") for pod in state.pods)
    if ended is not None and not running and (start - ended).total_seconds() > grace_seconds:
        return None
    return start


def _own(view: ClusterView, kind: Kind) -> list[tuple[KindFact, Owner]]:
    facts = cast(Iterable[KindFact], view.facts[kind.plural])
    return [(fact, Owner(kind.kind, fact.meta.namespace, fact.meta.name)) for fact in facts]
