"""Makes a TrainingWorkload's Job as decided."""

from datetime import datetime

from trimtab.api import labels
from trimtab.api.hardware import HardwareClassSpec
from trimtab.api.training import TrainingAction
from trimtab.apply.child_applier import ChildApplier
from trimtab.apply.children.training import training_children
from trimtab.apply.settings import Images
from trimtab.plan.decisions import TrainingDecision
from trimtab.plan.snapshot import JobState, TrainingState, WorkloadPod


def _as_it_runs(decision: TrainingDecision, job: JobState) -> TrainingDecision:
    """A suspension changes nothing but the suspension: the Job keeps its replicas and its class."""
    return decision.model_copy(update={"replicas": job.replicas, "hardware_class": job.hardware_class})


def pod_lives(pod: WorkloadPod) -> bool:
    """Whether a pod may still write to the claim."""
    return pod.deleting or pod.phase in ("Pending", "Running", "")


def apply_training(
    state: TrainingState,
    decision: TrainingDecision,
    hardware: dict[str, HardwareClassSpec],
    images: Images,
    applier: ChildApplier,
    now: datetime,
) -> None:
    """Create, suspend, resume or rebuild the Job.

    A change of its pod template means a new Job: the old one is deleted, its pods write their checkpoint on SIGTERM,
    and when they
    are gone a later pass makes the new one, which goes on from there.

    Raises:
        KubeError: when something could not be applied.
    """
    job = state.job
    if decision.action is TrainingAction.NONE or (job is not None and (job.complete or job.failure)):
        return
    if job is None and (decision.action is not TrainingAction.RUN or any(pod_lives(pod) for pod in state.pods)):
        return
    if job is not None and decision.action is not TrainingAction.RUN:
        decision = _as_it_runs(decision, job)
    chosen = hardware.get(decision.hardware_class)
    if chosen is None:
        return  # The class is gone. What runs keeps running; the decision's conditions say so.
    service, wanted = training_children(state, decision, chosen, images)
    if job is not None and job.spec_hash != wanted["metadata"]["labels"][labels.SPEC_HASH]:
        applier.check(wanted)  # One that the server would refuse must not cost what runs.
        applier.delete_job(state.meta.namespace, job.name, job.uid)
        return
    applier.apply(service, now, first=job is None)
    drifted = job is None or job.suspended != wanted["spec"]["suspend"] or job.replicas != decision.replicas
    applier.apply(wanted, now, drifted=drifted)
