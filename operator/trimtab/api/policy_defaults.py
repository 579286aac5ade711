"""What a policy sets on workloads at their creation, where their user has said nothing."""

from typing import Annotated

from pydantic import Field

from trimtab.api.common import LabelMap
from trimtab.api.quantity import Fraction, PositiveDuration
from trimtab.api.schema import ApiModel, ListSet, ObjectName


class TrainingDefaults(ApiModel):
    """Set on TrainingWorkloads."""

    complete_within: PositiveDuration | None = None
    """`targets.completeWithin` of a training that has no deadline."""
    min_accuracy: Fraction | None = None
    """`targets.minAccuracy` of a training that names none."""


class ServingDefaults(ApiModel):
    """Set on ServingWorkloads."""

    fallback_replicas: Annotated[int | None, Field(ge=1, le=4096)] = None
    """`fallback.replicas` of a service that has no fallback; its maxReplicas where that is less."""


class WorkloadDefaults(ApiModel):
    """What the mutating webhook sets on the workloads that the policy selects, when they are created. What their user
    wrote is never changed. The annotation trimtab.dev/defaulted-by says what was set, and by which policy.
    """

    labels: LabelMap = {}
    """Labels that a workload without them gets, such as its team. They count for the selectors of other policies."""
    hardware_classes: Annotated[tuple[ObjectName, ...], Field(max_length=32), ListSet()] = ()
    """`hardware.classes` of a workload that names none."""
    training: TrainingDefaults = TrainingDefaults()
    """For TrainingWorkloads."""
    serving: ServingDefaults = ServingDefaults()
    """For ServingWorkloads."""
