"""ServingWorkload: a model served by Triton, held to latency and accuracy."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.availability import Availability
from trimtab.api.common import AccuracyFigure, Conditions, Hardware, Rate, Reasons, Resources, Usage
from trimtab.api.quantity import Duration, Fraction, Measured, PositiveDuration
from trimtab.api.repository import ModelRepository
from trimtab.api.rollout import RejectedVariant, Rollout, RolloutStatus
from trimtab.api.schema import (
    ApiModel,
    Cel,
    Column,
    Kind,
    ListMap,
    ListSet,
    ObjectName,
    ShortText,
    StatusModel,
)
from trimtab.api.triton import TritonSettings

_CLASS_NAME_RULE = "self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')"
_CLASS_NAME_MESSAGE = "must be a name of a PriorityClass: lower case letters, digits, '-' and '.'"


class Percentile(StrEnum):
    """A percentile of latency that Triton publishes."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class LatenessSource(StrEnum):
    """What the share of late requests was read from, the most exact first."""

    HISTOGRAM = "histogram"
    """Buckets of latency, to the bound within one of them."""
    SUMMARY = "summary"
    """Quantiles of latency over each minute, interpolated to the bound."""
    ESTIMATE = "estimate"
    """Mean times in queue and at work."""


class LatencyTarget(ApiModel):
    """A bound on the latency of requests inside the server: queueing, batching and computing."""

    percentile: Percentile = Percentile.P95
    """Which share of requests must be faster than the bound."""
    milliseconds: Annotated[int, Field(ge=1, le=600_000)]
    """The bound that the percentile must stay under."""


class ServingTargets(ApiModel):
    """What serving must hold to."""

    latency: LatencyTarget
    """The bound on latency."""
    min_accuracy: Fraction = 0.0
    """Accuracy floor: a variant below it is never served."""


class Scaling(ApiModel):
    """How eagerly the number of replicas follows the load. Up is always at once."""

    scale_down_stabilization: Duration = timedelta(minutes=5)
    """Time for which fewer replicas must have been enough before one is taken away."""
    scale_to_zero_after: PositiveDuration = timedelta(minutes=10)
    """With minReplicas 0: time without a request after which the last replica goes."""
    load_window: Duration = timedelta(0)
    """The load is taken as its mean over this time, and what is shorter is left to queues and slots: for targets that
    are patient, such as a language model's time to its first token. 0s follows each change of load."""


class Fallback(ApiModel):
    """What to run while metrics are missing."""

    replicas: Annotated[int, Field(ge=1, le=4096)]
    """Replicas to hold at least, when metrics have been missing for longer than the operator's staleness limit."""


class ServingWorkloadSpec(ApiModel):
    """What to serve, and to which targets."""

    cel_rules: ClassVar = (
        Cel(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be above maxReplicas (10 unless set)",
            ".minReplicas",
        ),
        Cel(
            "has(self.replicas) ? (self.replicas >= self.minReplicas && self.replicas <= self.maxReplicas) : true",
            "replicas must lie between minReplicas and maxReplicas",
            ".replicas",
        ),
        Cel(
            "has(self.fallback) ? self.fallback.replicas <= self.maxReplicas : true",
            "fallback.replicas must not be above maxReplicas",
            ".fallback.replicas",
        ),
        Cel(
            "!has(self.triton.responseCache) || !isQuantity(string(self.triton.responseCache.size)) "
            "|| !isQuantity(string(self.resources.memory)) || quantity(string(self.triton.responseCache.size))"
            ".compareTo(quantity(string(self.resources.memory))) < 0",
            "triton.responseCache.size must be less than resources.memory (1Gi unless set), which it is taken from",
            ".triton.responseCache.size",
        ),
    )

    model: ObjectName
    """Name under which Triton serves the model; clients send it in their requests."""
    variants: Annotated[tuple[ObjectName, ...], Field(min_length=1, max_length=32), ListSet()]
    """Names of the ModelVariants that may serve."""
    targets: ServingTargets
    """What serving must hold to."""
    resources: Resources = Resources()
    """What one replica needs."""
    min_replicas: Annotated[int, Field(ge=0, le=4096)] = 1
    """Fewest replicas to keep. With 0 it sleeps when nobody asks, and requests are held while it wakes."""
    max_replicas: Annotated[int, Field(ge=1, le=4096)] = 10
    """Most replicas to scale to."""
    replicas: Annotated[int | None, Field(ge=1, le=4096)] = None
    """Fixes the number of replicas (the scale subresource writes it); unset means that trimtab chooses.
    Set it at first where an HPA shall write it: the API server can only scale what has a count."""
    hardware: Hardware = Hardware()
    """Where it may run."""
    triton: TritonSettings = TritonSettings()
    """Settings of the server."""
    scaling: Scaling = Scaling()
    """How eagerly replicas follow the load."""
    rollout: Rollout = Rollout()
    """How a change of variant is carried out."""
    fallback: Fallback | None = None
    """What to run while metrics are missing; unset means to hold what runs."""
    repository: ModelRepository | None = None
    """Where servers read the variants' files; unset means the claim that they were written to."""
    availability: Availability = Availability()
    """How replicas are kept from going all at once, and how they go."""
    priority_class_name: Annotated[str, Field(max_length=253), Cel(_CLASS_NAME_RULE, _CLASS_NAME_MESSAGE)] = ""
    """Name of the PriorityClass of the pods; empty means the cluster's default."""


class VariantVersion(StatusModel):
    """Which version of the Triton model a variant is. Given once, never reused."""

    name: ObjectName
    """Name of the ModelVariant."""
    version: Annotated[int, Field(ge=1)]
    """Version of the Triton model."""


class ServingDecisionStatus(StatusModel):
    """The present decision and why."""

    variant: str = ""
    """Name of the ModelVariant to serve."""
    hardware_class: str = ""
    """Name of the HardwareClass to run on."""
    replicas: int = 0
    """Replicas to run."""
    mode: str = "Enforce"
    """Mode of the policies in force; under Recommend nothing is changed."""
    holds_requests: bool = False
    """Requests that come while no replica is ready are held."""
    reasons: Reasons = ()
    """What bound the decision, the strongest first."""
    predicted_latency_milliseconds: Measured | None = None
    """What the latency model expects of the target's percentile."""
    rate: Rate | None = None
    """What this costs for each hour."""
    source: str = ""
    """`simulated` when the class is simulated: then every figure is."""


class Observed(StatusModel):
    """What the metrics say."""

    requests_per_second: Measured | None = None
    """Requests a second over all replicas."""
    latency_milliseconds: Measured | None = None
    """The target's percentile, of the slowest replica."""
    percentile: Annotated[str, Field(max_length=8)] = ""
    """Which percentile it is."""
    mean_batch: Measured | None = None
    """Items in an execution, on average."""
    capacity_correction: Measured | None = None
    """Measured over profiled capacity of a replica: what the live server taught the latency model."""
    late_share: Measured | None = None
    """Share of the last hour's requests that took longer than the target allows, or were rejected. A p95 target allows
    0.05: that is the error budget, and the less of it is spent, the closer replicas follow the load."""
    late_share_known: Measured | None = None
    """Part of the hour that this share is known for; what is not known counts as just allowed."""
    late_share_source: Annotated[str, Field(max_length=16)] = ""
    """What most requests were judged by: histogram, summary or estimate."""


class ServingWorkloadStatus(StatusModel):
    """What is going on."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    state: Annotated[str, Field(max_length=64)] = ""
    """One word for `kubectl get`: the reason of the condition Ready."""
    conditions: Conditions = ()
    """Aspects of its state, each true, false or unknown, with reason and message."""
    decision: ServingDecisionStatus | None = None
    active_variant: str = ""
    """The variant that every ready replica serves; empty while they differ."""
    variants: Annotated[tuple[VariantVersion, ...], Field(max_length=64), ListMap(("name",))] = ()
    """Every variant that was ever served, and its version."""
    accuracy: AccuracyFigure | None = None
    """Measured accuracy of the active variant."""
    observed: Observed | None = None
    """What the metrics say."""
    usage: Usage | None = None
    """Energy, cost and carbon so far."""
    replicas: int = 0
    """Pods that exist."""
    ready_replicas: int = 0
    """Pods that are ready to serve."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """Label selector of the pods, for the scale subresource."""
    switches: int = 0
    """How often the variant was changed."""
    rollout: RolloutStatus | None = None
    """The roll-out in progress, or the last one."""
    rejected: Annotated[tuple[RejectedVariant, ...], Field(max_length=32), ListMap(("name",))] = ()
    """Variants that a roll-out sent back, and that are not tried again yet."""
    switched_at: Annotated[str, Field(max_length=40)] = ""
    """When the variant was last changed (an instant); empty while it never was."""
    low_since: Annotated[str, Field(max_length=40)] = ""
    """Since when fewer replicas would have been enough (an instant); empty while they would not."""
    low_most: int = 0
    """Most replicas that were needed since then: what it goes down to."""
    message: ShortText = ""
    """The state in a sentence."""


SERVING_WORKLOAD = Kind(
    kind="ServingWorkload",
    plural="servingworkloads",
    short_names=("sw",),
    namespaced=True,
    spec=ServingWorkloadSpec,
    status=ServingWorkloadStatus,
    description="A model served by Triton: scaled, and its variant chosen, to hold latency and accuracy for the least.",
    scale=True,
    columns=(
        Column("State", ".status.state"),
        Column("Variant", ".status.activeVariant"),
        Column("Ready", ".status.readyReplicas", "integer"),
        Column("Want", ".status.decision.replicas", "integer", description="Replicas decided on"),
        Column("RPS", ".status.observed.requestsPerSecond"),
        Column("Latency-ms", ".status.observed.latencyMilliseconds", description="The target's percentile"),
        Column("Target-ms", ".spec.targets.latency.milliseconds", "integer"),
        Column("Accuracy", ".status.accuracy.value"),
        Column("USD/h", ".status.decision.rate.costUSDPerHour"),
        Column("gCO2/h", ".status.decision.rate.carbonGramsPerHour"),
        Column("Class", ".status.decision.hardwareClass", wide=True),
        Column("Why", ".status.decision.reasons[0].code", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
