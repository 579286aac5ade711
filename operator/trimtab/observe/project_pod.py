"""Pods, reduced to what is decided on: those of workloads in full, others to what they hold of their node."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from trimtab.api.quantity import parse_quantity
from trimtab.observe.facts import CLASS_LABEL, PodFact
from trimtab.observe.project_children import conditions_of, controller_uid, explain, holds, instant, owner_of
from trimtab.plan.snapshot import WorkloadPod

_RANK_ANNOTATION = "batch.kubernetes.io/job-completion-index"
_STARTING = frozenset(("", "ContainerCreating", "PodInitializing"))


def project_pod(raw: dict[str, Any]) -> PodFact:
    """Reduce a pod.

    Raises:
        ValueError: when one of its quantities or timestamps cannot be read.
    """
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    owner = owner_of(metadata)
    rank = (metadata.get("annotations") or {}).get(_RANK_ANNOTATION)
    return PodFact(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        node=spec.get("nodeName", ""),
        finished=status.get("phase") in ("Succeeded", "Failed"),
        requests=effective_requests(spec),
        owner=owner,
        controller_uid=controller_uid(metadata),
        rank=int(rank) if rank is not None else None,
        pod=_workload_pod(metadata, spec, status) if owner else None,
    )


def effective_requests(spec: dict[str, Any]) -> dict[str, float]:
    """What the scheduler counts for a pod, by resource name.

    The larger of its containers together (with sidecars) and of the greediest moment of its initialization, plus
    overhead; figures of the pod itself, where set, stand in for those of its containers.
    """
    steady: dict[str, float] = {}
    for container in spec.get("containers") or ():
        _add(steady, _requests(container))
    sidecars: dict[str, float] = {}
    peak: dict[str, float] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(sidecars, _requests(container))
            moment = dict(sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, _requests(container))
        peak = _largest(peak, moment)
    _add(steady, sidecars)
    total = _largest(steady, peak)
    total.update(_requests(spec))
    _add(total, _quantities(spec.get("overhead")))
    return total


def _quantities(raw: dict[str, Any] | None) -> dict[str, float]:
    return {name: parse_quantity(value) for name, value in (raw or {}).items()}


def _requests(holder: dict[str, Any]) -> dict[str, float]:
    resources = holder.get("resources") or {}
    return _quantities(resources.get("requests"))


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0.0) + value


def _largest(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {name: max(first.get(name, 0.0), second.get(name, 0.0)) for name in first | second}


def _workload_pod(metadata: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> WorkloadPod:
    conditions = conditions_of(status)
    scheduled = conditions.get("PodScheduled") or {}
    last = _last_terminated(status)
    return WorkloadPod(
        name=metadata["name"],
        hardware_class=(metadata.get("labels") or {}).get(CLASS_LABEL, ""),
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        phase=status.get("phase", ""),
        ready=holds(conditions.get("Ready")),
        deleting="deletionTimestamp" in metadata,
        created_at=metadata["creationTimestamp"],
        started_at=_started_at(status),
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
        waiting=_waiting(status),
        restarts=sum(container.get("restartCount", 0) for container in status.get("containerStatuses") or ()),
        termination_message=last.get("message", ""),
        exit_code=last.get("exitCode"),
    )


def _containers(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _last_terminated(status: dict[str, Any]) -> dict[str, Any]:
    """The state of the container that ended last; empty when none has ended."""
    ended: list[tuple[str, dict[str, Any]]] = []
    for container in status.get("containerStatuses") or ():
        for field in ("state", "lastState"):
            state = (container.get(field) or {}).get("terminated")
            if state:
                ended.append((state.get("finishedAt") or "", state))
                break
    return max(ended, key=lambda pair: pair[0])[1] if ended else {}


def _started_at(status: dict[str, Any]) -> datetime | None:
    starts: list[datetime] = []
    for container in status.get("containerStatuses") or ():
        for field in ("state", "lastState"):
            for state in (container.get(field) or {}).values():
                start = instant(state.get("startedAt"))
                if start is not None:
                    starts.append(start)
    return min(starts, default=None)


def _waiting(status: dict[str, Any]) -> str:
    """Why a container is held up; the ordinary steps of starting are not worth a word."""
    for container in _containers(status):
        state = (container.get("state") or {}).get("waiting") or {}
        if state.get("reason", "") not in _STARTING:
            return explain(state["reason"], state.get("message", ""))
    return ""
