"""The world at one instant, as the planner sees it: immutable, complete, and writable to a file.

`observe/` builds it, `plan/` reads it, and nothing else goes into a decision: the same Snapshot always gives the same
Plan.
"""

from datetime import datetime
from enum import StrEnum

from trimtab.api.carbon import CarbonSourceSpec, CarbonSourceStatus
from trimtab.api.common import FigureSource
from trimtab.api.hardware import HardwareClassSpec, HardwareClassStatus
from trimtab.api.policy import ClusterEfficiencyPolicySpec, EfficiencyPolicySpec, EfficiencyPolicyStatus
from trimtab.api.serving import ServingWorkloadSpec, ServingWorkloadStatus
from trimtab.api.training import TrainingWorkloadSpec, TrainingWorkloadStatus
from trimtab.api.variant import ModelVariantSpec, ModelVariantStatus
from trimtab.plan.fact import Fact
from trimtab.plan.serving_facts import Idleness, RolloutInterval, ServingMetrics


class ObjectMeta(Fact):
    """Identity of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    created_at: datetime
    deleting: bool = False

    @property
    def key(self) -> str:
        """`namespace/name`, or the bare name of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class NodeShape(Fact):
    """Nodes of one size, with what they can give to pods (allocatable)."""

    nodes: int
    cpu_cores: float
    memory_bytes: float
    units: float
    """Of the class's `spec.resource_name`."""
    ready: int | None = None
    """Of these nodes, those that are ready and schedulable; None counts all."""


class HardwareState(Fact):
    """A HardwareClass with the ready, schedulable nodes that match its selector."""

    meta: ObjectMeta
    spec: HardwareClassSpec
    status: HardwareClassStatus = HardwareClassStatus()
    nodes: int
    """Ready, schedulable nodes."""
    capacity_units: float
    """Allocatable units of `spec.resource_name` on them, summed."""
    units_per_node: float
    """Allocatable units of one node (the mean); 0 without nodes. Price and power of a node are shared out by it."""
    foreign_units: float = 0.0
    """Units requested on them by pods that are not trimtab's."""
    cpu_cores_per_node: float = 0.0
    """Allocatable CPU cores of one node (the mean)."""
    node_names: tuple[str, ...] = ()
    """Names of the ready, schedulable nodes."""
    on_demand_usd_per_hour: float | None = None
    """Listed price of a node on demand, where another one is paid (then `spec.price.usd_per_hour` is what is paid)."""
    figures: str = ""
    """Which figures of `spec` come from tables, and from which."""
    shapes: tuple[NodeShape, ...] = ()
    """Every node that its selector matches by size, those that are not ready or cordoned too: what may be there again
    in a moment counts for what can ever fit."""


class IntensityPoint(Fact):
    """Carbon intensity from `start` until the next point's start."""

    start: datetime
    grams_per_kwh: float
    low: float | None = None
    """Of a forecast: lower end of its interval; None where it has none."""
    high: float | None = None
    """Of a forecast: upper end of its interval."""


class CarbonState(Fact):
    """A CarbonSource with its series in wall-clock time (a replayed trace is already mapped onto it)."""

    meta: ObjectMeta
    spec: CarbonSourceSpec
    status: CarbonSourceStatus = CarbonSourceStatus()
    points: tuple[IntensityPoint, ...] = ()
    """In order of time: some of the past (as far back as the ledger still needs), the present, and the forecast."""
    trace_time: datetime | None = None
    """For a replayed trace: start of the interval of the trace that is in force."""
    problem: str = ""
    """Why there is no (fresh) series; empty when all is well."""
    reason: str = ""
    """The problem in one word, as reason of a condition; empty where nothing better than "the source failed" is
    known."""
    note: str = ""
    """What is worth to know although the data is fresh, such as that the last fetch failed."""
    known_until: datetime | None = None
    """Up to where the series says something; None means that it holds for good, or that this is not known."""
    newest_data: datetime | None = None
    """How far what was measured reaches, or when the forecast was made that covers the present."""
    forecast_by: str = ""
    """`Source` or `Own`; empty without a forecast."""
    forecast_error_percent: float | None = None
    """Back-tested error of the own forecast over a day."""
    next_fetch: datetime | None = None
    """When the source is asked again after a failure."""


class PolicyState(Fact):
    """An EfficiencyPolicy, or a ClusterEfficiencyPolicy when `meta.namespace` is empty."""

    meta: ObjectMeta
    spec: EfficiencyPolicySpec | ClusterEfficiencyPolicySpec
    status: EfficiencyPolicyStatus = EfficiencyPolicyStatus()


class ForeignWrite(Fact):
    """Somebody other than trimtab set a field of a child that trimtab decides."""

    manager: str
    """Who, as `metadata.managedFields` has it."""
    field: str
    """Such as `spec.replicas`."""
    times: tuple[datetime, ...]
    """When it was seen to be set, the oldest first."""


class JobState(Fact):
    """A child Job."""

    name: str
    uid: str
    created_at: datetime
    suspended: bool
    replicas: int
    """`spec.parallelism`."""
    hardware_class: str
    """Label `trimtab.dev/hardware-class`."""
    spec_hash: str = ""
    """Label `trimtab.dev/spec-hash`: which spec of the owner it was built from."""
    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    complete: bool = False
    failure: str = ""
    """Message of the condition Failed; empty unless the Job has failed for good."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    foreign_writes: tuple[ForeignWrite, ...] = ()


class WorkloadPod(Fact):
    """A pod of a workload."""

    name: str
    hardware_class: str = ""
    node: str = ""
    ip: str = ""
    phase: str = ""
    ready: bool = False
    deleting: bool = False
    created_at: datetime
    started_at: datetime | None = None
    """When its first container started."""
    unschedulable: str = ""
    """The scheduler's message while the pod fits nowhere."""
    waiting: str = ""
    """Why a container is not running, such as `ImagePullBackOff: ...` or `CrashLoopBackOff: ...`."""
    restarts: int = 0
    termination_message: str = ""
    """Of the last terminated container: JSON from the runtimes in `workloads/`."""
    exit_code: int | None = None
    loaded_version: int | None = None
    """Serving only: version of the Triton model that it serves; None when it could not be asked."""
    loaded_settings: str = ""
    """Serving only: digests of the settings that it serves with, `base.live`; empty when it does not say."""


class TrainingMetrics(Fact):
    """What Prometheus says of a training workload."""

    completed_samples: float | None = None
    total_samples: float | None = None
    samples_per_second: float | None = None
    observed_at: datetime
    """Time of the newest sample used."""
    source: FigureSource = FigureSource.MEASURED


class TrainingResult(Fact):
    """The runtime's own last word, read from rank 0's termination message."""

    completed_samples: int
    total_samples: int
    visits_min: int | None = None
    visits_max: int | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    held_out_samples: int = 0
    stopped: bool = False
    """True when it stopped on SIGTERM after a checkpoint, with work left."""
    sha256: str = ""


class TrainingState(Fact):
    """A TrainingWorkload and what exists of it."""

    meta: ObjectMeta
    spec: TrainingWorkloadSpec
    status: TrainingWorkloadStatus = TrainingWorkloadStatus()
    """As written last; it is the only memory that the operator has."""
    job: JobState | None = None
    pods: tuple[WorkloadPod, ...] = ()
    metrics: TrainingMetrics | None = None
    result: TrainingResult | None = None


class VariantResult(Fact):
    """The optimizer's report, from its termination message, already checked; figures as in ModelVariantStatus."""

    artifact: str
    sha256: str
    size_bytes: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    held_out_samples: int
    baseline_accuracy: float
    agreement: float
    baseline_only_right: int | None = None
    """With `variant_only_right`, what a paired test depends on; None from an optimizer of an earlier release."""
    variant_only_right: int | None = None
    peak_memory_bytes: int
    steps: tuple["StepResult", ...] = ()
    search: "SearchResult | None" = None
    profile: tuple["MeasuredPoint", ...]


class FrontResult(Fact):
    """A chain on the front of a search; fields as in ModelVariantStatus."""

    steps: str
    accuracy: float
    cpu_seconds_per_item: float
    size_bytes: int
    chosen: bool = False


class SearchResult(Fact):
    """What a search tried; fields as in ModelVariantStatus."""

    trials: int
    skipped: int
    reasons: tuple[str, ...] = ()
    front: tuple[FrontResult, ...] = ()


class StepResult(Fact):
    """What became of one step; fields as in ModelVariantStatus."""

    name: str
    digest: str = ""
    reused: bool = False
    seconds: float = 0.0
    relative_error: float | None = None
    tolerance: float | None = None
    note: str = ""


class MeasuredPoint(Fact):
    """Speed at one batch size, measured by the optimizer."""

    batch: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    items_per_second: float
    cpu_seconds_per_item: float


class VariantState(Fact):
    """A ModelVariant and what exists of it."""

    meta: ObjectMeta
    spec: ModelVariantSpec
    status: ModelVariantStatus = ModelVariantStatus()
    job: JobState | None = None
    pods: tuple[WorkloadPod, ...] = ()
    result: VariantResult | None = None
    result_error: str = ""
    """The optimizer's own error, or why its report could not be read."""
    failure_reason: str = ""
    """The optimizer's word for that error, such as `ParityFailed`; empty where it gave none."""


class DeploymentState(Fact):
    """A child Deployment: one for each hardware class."""

    name: str
    hardware_class: str
    replicas: int
    """`spec.replicas`."""
    spec_hash: str = ""
    """Label `trimtab.dev/spec-hash`: which desired pod template it was built from."""
    ready: int = 0
    updated: int = 0
    problem: str = ""
    """Message of a condition that keeps it from progressing (ReplicaFailure, ProgressDeadlineExceeded); empty
    otherwise."""
    foreign_writes: tuple[ForeignWrite, ...] = ()


class ServingState(Fact):
    """A ServingWorkload and what exists of it."""

    meta: ObjectMeta
    spec: ServingWorkloadSpec
    status: ServingWorkloadStatus = ServingWorkloadStatus()
    deployments: tuple[DeploymentState, ...] = ()
    pods: tuple[WorkloadPod, ...] = ()
    metrics: ServingMetrics | None = None
    rollout_intervals: tuple[RolloutInterval, ...] = ()
    """What both variants did since the roll-out in progress began, the oldest first."""
    idleness: Idleness | None = None
    """Only of a service that may sleep."""


class ScalerState(Fact):
    """Something that scales what it targets: a HorizontalPodAutoscaler, KEDA's ScaledObject, a VerticalPodAutoscaler.

    One that is paused, or only recommends, is none.
    """

    kind: str
    name: str
    namespace: str
    target_group: str
    """API group of what it scales, such as `apps`."""
    target_kind: str
    target_name: str
    least: int | None = None
    """Fewest replicas that it sets; None for one that sets no count."""
    most: int | None = None
    made_by: str = ""
    """Name of the ScaledObject that made this HorizontalPodAutoscaler."""


class MetricsHealth(StrEnum):
    """Whether Prometheus answers."""

    OK = "OK"
    UNREACHABLE = "Unreachable"
    NOT_CONFIGURED = "NotConfigured"


class Snapshot(Fact):
    """Everything that a decision may depend on."""

    taken_at: datetime
    """The instant of all decisions, in UTC."""
    metrics_health: MetricsHealth = MetricsHealth.OK
    metrics_message: str = ""
    metrics_stale_seconds: float = 60.0
    """Metrics older than this are stale."""
    hardware: tuple[HardwareState, ...] = ()
    carbon: tuple[CarbonState, ...] = ()
    policies: tuple[PolicyState, ...] = ()
    training: tuple[TrainingState, ...] = ()
    serving: tuple[ServingState, ...] = ()
    variants: tuple[VariantState, ...] = ()
    scalers: tuple[ScalerState, ...] = ()
    """Those that target something of trimtab's, or might."""
