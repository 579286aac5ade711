"""Makes a ServingWorkload's Deployment, Service and active version as decided."""

from collections.abc import Mapping
from datetime import datetime

from trimtab.api import labels
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.variant import Artifact
from trimtab.apply.child_applier import ChildApplier
from trimtab.apply.children.availability import disruption_budget_name
from trimtab.apply.children.serving import PORTS, active_version, artifact_digests, served_variants, serving_children
from trimtab.apply.children.triton_settings import settings_to_load
from trimtab.apply.children.waker import awake_name, waker_children, waker_name
from trimtab.apply.settings import Images
from trimtab.apply.triton import SwitchTarget, TritonControl
from trimtab.kube.paths import DEPLOYMENTS, DISRUPTION_BUDGETS, SERVICES
from trimtab.plan.decisions import ServingDecision
from trimtab.plan.snapshot import ServingState


def switch_targets(
    state: ServingState, decision: ServingDecision, artifacts: Mapping[str, Artifact]
) -> list[SwitchTarget]:
    """Pods that serve another version, or with other settings, than they should.

    One that cannot be asked is left alone.
    """
    version, candidate = active_version(decision), candidate_version(decision)
    if version is None:
        return []
    variants, digests = served_variants(decision, artifacts), artifact_digests(decision, artifacts)
    targets = []
    for pod in state.pods:
        wanted = candidate if candidate is not None and pod.name in decision.canary_pods else version
        if not pod.ip or pod.deleting or pod.loaded_version is None:
            continue
        settings = settings_to_load(pod.loaded_settings, state.spec.triton, variants, digests)
        if pod.loaded_version != wanted or settings:
            targets.append(SwitchTarget(pod.name, pod.ip, state.spec.model, wanted, settings))
    return targets


def _apply_waker(
    state: ServingState,
    decision: ServingDecision,
    hardware: HardwareClassSpec,
    images: Images,
    applier: ChildApplier,
    now: datetime,
) -> None:
    """Make, or take away, what holds requests while no replica is ready."""
    before = state.status.decision
    held_before = before is not None and before.holds_requests
    if decision.holds_requests:
        for manifest in waker_children(state.meta, decision.hardware_class, hardware, images.serve, PORTS):
            applier.apply(manifest, now, first=not held_before)
    elif held_before:
        applier.delete(DEPLOYMENTS, state.meta.namespace, waker_name(state.meta))
        applier.delete(SERVICES, state.meta.namespace, awake_name(state.meta))


def candidate_version(decision: ServingDecision) -> int | None:
    """Version of the Triton model that the pods of a canary serve."""
    rollout = decision.rollout
    return next((v.version for v in decision.versions if rollout is not None and v.name == rollout.candidate), None)


def apply_serving(
    state: ServingState,
    decision: ServingDecision,
    artifacts: Mapping[str, Artifact],
    hardware: Mapping[str, HardwareClassSpec],
    images: Images,
    applier: ChildApplier,
    triton: TritonControl,
    now: datetime,
) -> dict[str, str]:
    """Apply the children, then switch the servers that serve something else.

    The ConfigMap goes first: a pod that starts meanwhile comes up with the new version.

    Returns:
        Failures of switching, by pod.

    Raises:
        KubeError: when something could not be applied.
    """
    chosen = hardware.get(decision.hardware_class)
    if decision.stopped and (chosen is None or decision.variant not in artifacts):
        # Nothing says what it would come back with: that is decided when it does.
        for one in state.deployments:
            applier.delete(DEPLOYMENTS, state.meta.namespace, one.name)
        return {}
    if chosen is None or (decision.replicas == 0 and not decision.stopped) or decision.variant not in artifacts:
        return {}
    present = {d.hardware_class: d for d in state.deployments}
    deployment = present.get(decision.hardware_class)
    for manifest in serving_children(state, decision, artifacts, chosen, images):
        drifted = manifest["kind"] == "Deployment" and (
            deployment is None
            or deployment.replicas != decision.replicas
            or deployment.spec_hash != manifest["metadata"]["labels"][labels.SPEC_HASH]
        )
        applier.apply(manifest, now, drifted=drifted, first=not present)
    if not state.spec.availability.disruption_budget:
        applier.remove(DISRUPTION_BUDGETS, state.meta.namespace, disruption_budget_name(state.meta), now)
    _apply_waker(state, decision, chosen, images, applier, now)
    failed = triton.switch(switch_targets(state, decision, artifacts), now)
    if deployment is not None and deployment.ready >= decision.replicas:
        # The class that serves now carries all of it: only then the others go.
        for other in (d for d in state.deployments if d.hardware_class != decision.hardware_class):
            applier.delete(DEPLOYMENTS, state.meta.namespace, other.name)
    return failed
