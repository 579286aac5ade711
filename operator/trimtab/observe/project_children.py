"""Jobs and Deployments made by trimtab, reduced to what is decided on."""

from datetime import datetime
from typing import Any

from trimtab.observe.facts import (
    CLASS_LABEL,
    HASH_LABEL,
    WORKLOAD_KIND_LABEL,
    WORKLOAD_KINDS,
    WORKLOAD_LABEL,
    DeploymentFact,
    JobFact,
    Owner,
)
from trimtab.observe.foreign_writes import DEPLOYMENT_FIELDS, JOB_FIELDS, foreign_fields
from trimtab.plan.snapshot import DeploymentState, JobState


def owner_of(metadata: dict[str, Any]) -> Owner | None:
    """The workload that an object's labels name, or None for an object that is not trimtab's."""
    labels = metadata.get("labels") or {}
    kind, name = labels.get(WORKLOAD_KIND_LABEL, ""), labels.get(WORKLOAD_LABEL, "")
    if kind not in WORKLOAD_KINDS or not name:
        return None
    return Owner(kind, metadata.get("namespace", ""), name)


def controller_uid(metadata: dict[str, Any]) -> str:
    """The uid of the object that controls this one; empty without one."""
    return next((ref["uid"] for ref in metadata.get("ownerReferences") or () if ref.get("controller")), "")


def instant(text: str | None) -> datetime | None:
    """A Kubernetes timestamp as an aware datetime.

    Raises:
        ValueError: when it is not one.
    """
    return datetime.fromisoformat(text) if text else None


def conditions_of(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The conditions of a status by type."""
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def holds(condition: dict[str, Any] | None) -> bool:
    """Whether a condition is there and True."""
    return condition is not None and condition.get("status") == "True"


def explain(reason: str, message: str) -> str:
    """`reason: message`, or whichever of the two there is."""
    return ": ".join(part for part in (reason, message) if part)


def project_job(raw: dict[str, Any]) -> JobFact | None:
    """Reduce a Job; None for one that is not trimtab's."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    owner = owner_of(metadata)
    if owner is None:
        return None
    labels, conditions = metadata["labels"], conditions_of(status)
    failed = conditions.get("Failed")
    failure = explain(failed.get("reason", ""), failed.get("message", "")) if failed and holds(failed) else ""
    state = JobState(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=metadata["creationTimestamp"],
        suspended=bool(spec.get("suspend", False)),
        replicas=spec.get("parallelism", 1),
        hardware_class=labels.get(CLASS_LABEL, ""),
        spec_hash=labels.get(HASH_LABEL, ""),
        active=status.get("active", 0),
        ready=status.get("ready", 0),
        succeeded=status.get("succeeded", 0),
        failed=status.get("failed", 0),
        complete=holds(conditions.get("Complete")),
        failure=failure or ("Failed" if holds(failed) else ""),
        started_at=instant(status.get("startTime")),
        completed_at=instant(status.get("completionTime")),
    )
    return JobFact(owner, controller_uid(metadata), state, foreign_fields(metadata, JOB_FIELDS))


def project_deployment(raw: dict[str, Any]) -> DeploymentFact | None:
    """Reduce a Deployment; None for one that is not trimtab's."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    owner = owner_of(metadata)
    if owner is None:
        return None
    labels = metadata["labels"]
    state = DeploymentState(
        name=metadata["name"],
        hardware_class=labels.get(CLASS_LABEL, ""),
        replicas=spec.get("replicas", 1),
        spec_hash=labels.get(HASH_LABEL, ""),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        problem=_deployment_problem(conditions_of(status)),
    )
    foreign = foreign_fields(metadata, DEPLOYMENT_FIELDS)
    return DeploymentFact(owner, controller_uid(metadata), state, metadata.get("uid", ""), foreign)


def _deployment_problem(conditions: dict[str, dict[str, Any]]) -> str:
    replica_failure, progressing = conditions.get("ReplicaFailure"), conditions.get("Progressing")
    if replica_failure and holds(replica_failure):
        return explain(replica_failure.get("reason", ""), replica_failure.get("message", ""))
    if progressing and progressing.get("status") == "False":
        return explain(progressing.get("reason", ""), progressing.get("message", ""))
    return ""
