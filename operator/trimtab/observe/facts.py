"""What is kept of each Kubernetes object: projections, never bodies."""

from dataclasses import dataclass, field

from trimtab.api import labels
from trimtab.api.schema import ApiModel, StatusModel
from trimtab.observe.foreign_writes import FieldWrite
from trimtab.plan.snapshot import DeploymentState, JobState, ObjectMeta, ScalerState, WorkloadPod

WORKLOAD_LABEL = labels.WORKLOAD
WORKLOAD_KIND_LABEL = labels.WORKLOAD_KIND
CLASS_LABEL = labels.HARDWARE_CLASS
HASH_LABEL = labels.SPEC_HASH

TRAINING = "TrainingWorkload"
SERVING = "ServingWorkload"
VARIANT = "ModelVariant"
WORKLOAD_KINDS = frozenset((TRAINING, SERVING, VARIANT))


@dataclass(frozen=True, slots=True)
class Owner:
    """The workload that an object belongs to, by the labels that trimtab gives to all its children."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class KindFact:
    """One of trimtab's own objects; spec and status are the kind's models."""

    meta: ObjectMeta
    spec: ApiModel
    status: StatusModel


@dataclass(frozen=True, slots=True)
class JobFact:
    """A child Job."""

    owner: Owner
    owner_uid: str
    """uid of the custom resource that controls it."""
    state: JobState
    foreign: tuple[FieldWrite, ...] = ()
    """What of it others hold that trimtab decides."""


@dataclass(frozen=True, slots=True)
class DeploymentFact:
    """A child Deployment."""

    owner: Owner
    owner_uid: str
    state: DeploymentState
    uid: str = ""
    foreign: tuple[FieldWrite, ...] = ()
    """What of it others hold that trimtab decides."""


@dataclass(frozen=True, slots=True)
class ScalerFact:
    """Something that scales other objects."""

    state: ScalerState


@dataclass(frozen=True, slots=True)
class PodFact:
    """A pod, of whomever."""

    namespace: str
    name: str
    node: str
    finished: bool
    """Succeeded or Failed: it holds nothing of its node any more."""
    requests: dict[str, float] = field(hash=False)
    """What the scheduler counts for it, by resource name."""
    owner: Owner | None = None
    """The workload; None for a pod that is not trimtab's."""
    controller_uid: str = ""
    """uid of the Job or ReplicaSet that made it."""
    rank: int | None = None
    """Completion index of a pod of an Indexed Job."""
    pod: WorkloadPod | None = None
    """What the planner sees of it; None for a pod that is not trimtab's."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node that keeps pods away."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeFact:
    """A node."""

    name: str
    labels: dict[str, str] = field(hash=False)
    taints: tuple[Taint, ...]
    allocatable: dict[str, float] = field(hash=False)
    ready: bool
    schedulable: bool
    """False when cordoned."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object that this operator cannot read; it takes no part in decisions until it is put right."""

    resource: str
    """Plural name of its kind."""
    key: str
    message: str


Fact = KindFact | JobFact | DeploymentFact | ScalerFact | PodFact | NodeFact
