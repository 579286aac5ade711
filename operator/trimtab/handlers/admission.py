"""kopf's admission handlers: a request becomes states, the pure `plan/admission` judges it, the answer goes back.

A bug or an outage here never keeps anybody from storing anything: what cannot be judged is admitted with a warning.
"""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, cast

import kopf
from prometheus_client import CollectorRegistry, Counter

from trimtab.api.kinds import KINDS
from trimtab.api.policy import EfficiencyPolicySpec, EfficiencyPolicyStatus
from trimtab.api.schema import Kind
from trimtab.api.serving import ServingWorkloadSpec, ServingWorkloadStatus
from trimtab.api.training import TrainingWorkloadSpec, TrainingWorkloadStatus
from trimtab.kube.paths import resource_of
from trimtab.observe.facts import KindFact
from trimtab.observe.project_kind import project_kind
from trimtab.plan.admission.defaults import defaults_for, merge_patch
from trimtab.plan.admission.findings import Verdict
from trimtab.plan.admission.judge import Judged, judge
from trimtab.plan.snapshot import ObjectMeta, PolicyState, ServingState, Snapshot, TrainingState

logger = logging.getLogger(__name__)

VALIDATE: Final = "validate"
"""Path of the validating webhook."""
DEFAULT: Final = "default"
"""Path of the mutating webhook."""
_UNPROCESSABLE: Final = 422
_WORKLOADS: Final = ("TrainingWorkload", "ServingWorkload")
_POLICIES: Final = ("EfficiencyPolicy", "ClusterEfficiencyPolicy")
REVIEWED: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if kind.kind in (*_WORKLOADS, *_POLICIES))


class Admission:
    """Answers the API server's questions."""

    def __init__(
        self,
        world: Callable[[], Snapshot | None],
        clock: Callable[[], datetime],
        stale_after: timedelta,
        metrics: CollectorRegistry,
    ) -> None:
        """Prepare; nothing is registered yet.

        Args:
            world: The last Snapshot of the loop with the policies as they are now; None before the first pass.
            clock: The time.
            stale_after: How old a Snapshot may be.
            metrics: Where reviews are counted.
        """
        self._world, self._clock, self._stale_after = world, clock, stale_after
        self._reviews = Counter(
            "trimtab_admission_reviews", "Objects that admission judged", ["kind", "verdict"], registry=metrics
        )

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Make kopf call the two handlers."""
        for kind in REVIEWED:
            resource = resource_of(kind)
            where = (resource.group, resource.version, resource.plural)
            kopf.on.validate(*where, id=VALIDATE, registry=registry, param=kind)(self._validate)
            if kind.kind in _WORKLOADS:
                kopf.on.mutate(*where, id=DEFAULT, registry=registry, param=kind, operations=["CREATE"])(self._default)

    async def _validate(self, **request: Any) -> None:
        kind: Kind = request["param"]
        old = request["old"] if request["operation"] == "UPDATE" else None
        try:
            # In a thread: what takes a little longer must not hold up the watchers.
            verdict = await asyncio.to_thread(self.review, kind, request["body"], old)
        except kopf.AdmissionError:
            self._reviews.labels(kind.kind, "refused").inc()
            raise
        except Exception:
            self._reviews.labels(kind.kind, "failed").inc()
            logger.error("%s", json.dumps({"event": "admission failed", "error": traceback.format_exc()}))
            request["warnings"].append("trimtab: not checked, for an error of its own (its log has it)")
            return
        request["warnings"].extend(str(finding) for finding in verdict.warnings)
        self._reviews.labels(kind.kind, "admitted" if verdict.admitted else "refused").inc()
        if not verdict.admitted:
            raise kopf.AdmissionError(verdict.message, code=_UNPROCESSABLE)

    def review(self, kind: Kind, body: Mapping[str, Any], old: Mapping[str, Any] | None) -> Verdict:
        """Judge one request.

        Raises:
            kopf.AdmissionError: when the operator could not read the object if it were stored.
        """
        now, world = self._clock(), self._world()
        before = _read(kind, old, now, world) if old is not None else None
        try:
            after = _read(kind, body, now, world, strict=True)
        except ValueError as error:
            if old is not None and old.get("spec") == body.get("spec"):
                return Verdict()
            raise kopf.AdmissionError(f"the operator could not read it: {error}", code=_UNPROCESSABLE) from error
        return judge(after, before, world, now, self._stale_after) if after is not None else Verdict()

    async def _default(self, **request: Any) -> None:
        kind: Kind = request["param"]
        if request["operation"] != "CREATE":
            return
        try:
            patch = await asyncio.to_thread(self.defaults, kind, request["body"])
        except Exception:
            logger.error("%s", json.dumps({"event": "defaulting failed", "error": traceback.format_exc()}))
            request["warnings"].append("trimtab: policies' defaults were not set, for an error of its own")
            return
        if patch is None:
            request["warnings"].append("trimtab: policies' defaults were not set: it has just started")
        else:
            request["patch"].update(patch)

    def defaults(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The merge patch that sets policies' defaults; None while the policies are not known."""
        world = self._world()
        if world is None:
            return None
        meta = _meta(body["metadata"], self._clock())
        spec = body.get("spec") or {}
        return merge_patch(defaults_for(kind.kind, meta, spec, world.policies, world.hardware))


def _meta(metadata: Mapping[str, Any], now: datetime) -> ObjectMeta:
    """Metadata of a request. What is created has no uid and time yet, and perhaps no name."""
    return ObjectMeta(
        name=metadata.get("name") or f"{metadata.get('generateName', '')}new",
        namespace=metadata.get("namespace") or "",
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 0,
        labels=dict(metadata.get("labels") or {}),
        created_at=metadata.get("creationTimestamp") or now,
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def _fact(kind: Kind, body: Mapping[str, Any], now: datetime) -> KindFact:
    meta = _meta(body["metadata"], now)
    readable = {
        "metadata": {"name": meta.name, "namespace": meta.namespace, "creationTimestamp": meta.created_at},
        "spec": body.get("spec") or {},
    }
    try:
        fact = project_kind(kind, {**readable, "status": body.get("status") or {}})
    except ValueError:
        # A status that cannot be read is the operator's own trouble, and no reason to refuse what its user writes.
        fact = project_kind(kind, readable)
    return KindFact(meta, fact.spec, fact.status)


def _read(
    kind: Kind, body: Mapping[str, Any], now: datetime, world: Snapshot | None, *, strict: bool = False
) -> Judged | None:
    """The object as a state, with what is observed of it; None for one that cannot be read, unless that is an error.

    Raises:
        ValueError: when it cannot be read, and `strict`.
    """
    try:
        fact = _fact(kind, body, now)
    except ValueError:
        if strict:
            raise
        return None
    meta, spec, status = fact.meta, fact.spec, fact.status
    if kind.kind == "TrainingWorkload":
        new = TrainingState(
            meta=meta, spec=cast(TrainingWorkloadSpec, spec), status=cast(TrainingWorkloadStatus, status)
        )
        seen = next((t for t in world.training if t.meta.uid == meta.uid and meta.uid), None) if world else None
        return new if seen is None else seen.model_copy(update={"meta": meta, "spec": spec, "status": new.status})
    if kind.kind == "ServingWorkload":
        served = ServingState(
            meta=meta, spec=cast(ServingWorkloadSpec, spec), status=cast(ServingWorkloadStatus, status)
        )
        serves = next((s for s in world.serving if s.meta.uid == meta.uid and meta.uid), None) if world else None
        update = {"meta": meta, "spec": spec, "status": served.status}
        return served if serves is None else serves.model_copy(update=update)
    return PolicyState(meta=meta, spec=cast(EfficiencyPolicySpec, spec), status=cast(EfficiencyPolicyStatus, status))
