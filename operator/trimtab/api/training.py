"""TrainingWorkload: a training job with its efficiency targets."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from trimtab.api.common import AccuracyFigure, Conditions, Hardware, Rate, Reasons, Resources, Usage
from trimtab.api.quantity import Amount, Fraction, Measured, PositiveAmount, PositiveDuration
from trimtab.api.schema import (
    NAME_PATTERN,
    ApiModel,
    Cel,
    Column,
    Kind,
    ListMap,
    ObjectName,
    PreserveUnknown,
    ShortText,
    StatusModel,
)

RuntimeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=NAME_PATTERN),
    Cel(
        f"self.matches('{NAME_PATTERN}')", "must be a name: lower case letters, digits and '-', such as \"digits-cnn\""
    ),
]
"""The name of something that the runtime ships; it says itself when it does not know the name."""


class TorchRuntime(ApiModel):
    """The built-in torch runtime: a model and a data set that it ships, trained data-parallel with checkpoints."""

    model: RuntimeName = "digits-cnn"
    """The model to train: one that the runtime knows."""
    dataset: RuntimeName = "digits"
    """The data set to train on: one that the runtime ships."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Passes over the training data."""
    global_batch_size: Annotated[int, Field(ge=1, le=1_048_576)] = 64
    """Samples in one step over all replicas; kept when the number of replicas changes."""
    learning_rate: PositiveAmount = 0.001
    """Step size of the optimizer."""
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0
    """Seed of initial weights and of the order of samples."""
    samples_per_second_limit: PositiveAmount | None = None
    """Paces the training over all replicas, in samples a second; unset means as fast as it goes."""
    image: Annotated[str, Field(max_length=512)] = ""
    """Image of the runtime; empty means the one that the operator was installed with."""


class Work(ApiModel):
    """How much there is to do, where the runtime cannot say it itself."""

    total_samples: Annotated[int, Field(ge=1)]
    """Samples to process in all; progress is read from the metric `trimtab_training_progress_samples`."""
    model: Annotated[str, Field(max_length=63)] = ""
    """Name under which hardware profiles know this model, such as "resnet50"."""


class Checkpoint(ApiModel):
    """Where training state is kept over suspensions and lost pods."""

    claim_name: ObjectName
    """PersistentVolumeClaim for checkpoints and the trained model; ReadWriteMany when replicas span nodes."""
    interval: PositiveDuration = timedelta(seconds=30)
    """Time between checkpoints; at a suspension one is written in any case."""


class ThroughputProfile(ApiModel):
    """Declared speed on a hardware class, used until a measurement exists. Several entries of one class with different
    replicas say how the training scales.
    """

    hardware_class: ObjectName
    """Name of the HardwareClass that the speed holds on."""
    replicas: Annotated[int, Field(ge=1, le=4096)] = 1
    """Replicas that the speed is of."""
    samples_per_second: PositiveAmount
    """Samples a second of these replicas together."""
    watts: Amount | None = None
    """Power of one replica's accelerators at work; unset means the class's power model."""


class TrainingTargets(ApiModel):
    """What the training must hold to."""

    complete_within: PositiveDuration | None = None
    """Deadline, counted from the creation of the object."""
    min_accuracy: Fraction | None = None
    """Held-out accuracy below which the result is not Ready."""


_FIXED = "cannot be changed after creation: delete the TrainingWorkload and create it anew, or use another name"


class TrainingWorkloadSpec(ApiModel):
    """What to train, on how much, and to which targets."""

    cel_rules: ClassVar = (
        Cel("has(self.torch) != has(self.template)", "exactly one of torch and template must be set", ".torch"),
        Cel(
            "has(self.template) ? has(self.work) : true",
            "work.totalSamples must be set with a template",
            ".work",
        ),
        Cel(
            "has(self.torch) ? has(self.checkpoint) : true",
            "checkpoint.claimName must be set with torch",
            ".checkpoint",
        ),
        Cel(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be above maxReplicas (1 unless set)",
            ".minReplicas",
        ),
        Cel(
            "has(self.replicas) ? (self.replicas >= self.minReplicas && self.replicas <= self.maxReplicas) : true",
            "replicas must lie between minReplicas and maxReplicas",
            ".replicas",
        ),
        Cel(
            "has(self.torch) == has(oldSelf.torch) && (has(self.torch) ? self.torch == oldSelf.torch : true)",
            f"torch {_FIXED}",
            ".torch",
        ),
        Cel(
            "has(oldSelf.checkpoint)"
            " ? has(self.checkpoint) && self.checkpoint.claimName == oldSelf.checkpoint.claimName : true",
            f"checkpoint.claimName {_FIXED}",
            ".checkpoint",
        ),
    )

    torch: TorchRuntime | None = None
    """Use the built-in torch runtime."""
    template: Annotated[dict[str, Any] | None, PreserveUnknown()] = None
    """Pod template of an own container, as in a Job. It publishes its progress and writes a checkpoint on SIGTERM."""
    work: Work | None = None
    """The total work, needed with a template."""
    resources: Resources = Resources()
    """What one replica needs."""
    min_replicas: Annotated[int, Field(ge=1, le=4096)] = 1
    """Fewest data-parallel replicas to run with; all of them start together or none (a gang)."""
    max_replicas: Annotated[int, Field(ge=1, le=4096)] = 1
    """Most data-parallel replicas."""
    replicas: Annotated[int | None, Field(ge=1, le=4096)] = None
    """Fixes the number of replicas (the scale subresource writes it); unset means that trimtab chooses."""
    hardware: Hardware = Hardware()
    """Where it may run."""
    profiles: Annotated[
        tuple[ThroughputProfile, ...], Field(max_length=32), ListMap(("hardwareClass", "replicas"))
    ] = ()
    """Declared speed by hardware class and replicas."""
    checkpoint: Checkpoint | None = None
    """Where training state is kept."""
    targets: TrainingTargets = TrainingTargets()
    """What the training must hold to."""
    suspend: bool = False
    """Suspends by hand: a checkpoint is written and the pods end; false again resumes."""
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    """Higher goes first when capacity is short."""


class TrainingAction(StrEnum):
    """What the operator decided for a training workload."""

    RUN = "Run"
    SUSPEND = "Suspend"
    WAIT = "Wait"
    NONE = "None"


class ScheduleSlot(StatusModel):
    """A stretch of time in the plan of a training workload."""

    start: datetime
    """When it begins."""
    end: datetime
    """When it ends."""
    replicas: int
    """0 means suspended."""
    hardware_class: str = ""
    """Name of the HardwareClass; empty while suspended."""


class TrainingDecisionStatus(StatusModel):
    """The present decision and why."""

    action: TrainingAction
    """Run, Suspend (after a checkpoint), Wait (not started yet), or None where nothing is left to do."""
    replicas: int = 0
    """Replicas to run."""
    hardware_class: str = ""
    """Name of the HardwareClass to run on."""
    mode: str = "Enforce"
    """Mode of the policies in force; under Recommend nothing is changed."""
    reasons: Reasons = ()
    """What bound the decision, the strongest first."""
    schedule: Annotated[tuple[ScheduleSlot, ...], Field(max_length=64)] = ()
    """The plan over time, as far as the forecast reaches."""
    rate: Rate | None = None
    """What running costs for each hour, as decided."""
    source: str = ""
    """`simulated` when the class is simulated: then every figure is."""


class MeasuredScaling(StatusModel):
    """Speed as it was measured with so many replicas."""

    hardware_class: str
    """Name of the HardwareClass that they ran on."""
    replicas: int
    """Replicas that ran."""
    samples_per_second: Measured
    """Samples a second of all of them together."""


class Progress(StatusModel):
    """Work done."""

    completed_samples: int = 0
    """Samples processed so far."""
    total_samples: int = 0
    """Samples to process in all."""
    percent: int = 0
    """Completed share of the samples, in percent."""
    samples_per_second: Measured | None = None
    """Present speed over all replicas."""
    scaling: Annotated[tuple[MeasuredScaling, ...], Field(max_length=32), ListMap(("hardwareClass", "replicas"))] = ()
    """Speed by hardware class and replicas, as learned while it ran."""
    visits_min: int | None = None
    """Fewest times that a sample of the training data was seen; with visitsMax it proves that no work was lost or
    repeated."""
    visits_max: int | None = None
    """Most times that a sample of the training data was seen."""
    source: str = ""
    """`measured` or `simulated`."""


class TrainingWorkloadStatus(StatusModel):
    """What is going on."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    state: Annotated[str, Field(max_length=64)] = ""
    """One word for `kubectl get`: the reason of the condition Ready."""
    conditions: Conditions = ()
    """Aspects of its state, each true, false or unknown, with reason and message."""
    decision: TrainingDecisionStatus | None = None
    progress: Progress | None = None
    """Work done."""
    accuracy: AccuracyFigure | None = None
    """Held-out accuracy of the finished model."""
    usage: Usage | None = None
    """Energy, cost and carbon so far."""
    replicas: int = 0
    """Pods that exist."""
    selector: Annotated[str, Field(max_length=512)] = ""
    """Label selector of the pods, for the scale subresource."""
    suspensions: int = 0
    """How often it was suspended."""
    start_time: datetime | None = None
    """When its pods first ran."""
    completion_time: datetime | None = None
    """When the work was done."""
    running_since: datetime | None = None
    """When the present run began; unset while nothing runs."""
    running_seconds: Measured = 0.0
    """Time with pods running, in the runs before the present one."""
    artifact: Annotated[str, Field(max_length=512)] = ""
    """Path of the trained model in the claim."""
    message: ShortText = ""
    """The state in a sentence."""


TRAINING_WORKLOAD = Kind(
    kind="TrainingWorkload",
    plural="trainingworkloads",
    short_names=("tw",),
    namespaced=True,
    spec=TrainingWorkloadSpec,
    status=TrainingWorkloadStatus,
    description="A training job: scheduled, suspended and resumed to meet its targets for the least cost and carbon.",
    scale=True,
    columns=(
        Column("State", ".status.state"),
        Column("Progress", ".status.progress.percent", "integer", description="Percent of the work done"),
        Column("Replicas", ".status.replicas", "integer"),
        Column("Class", ".status.decision.hardwareClass", description="Hardware class"),
        Column("Accuracy", ".status.accuracy.value"),
        Column("Cost-USD", ".status.usage.costUSD"),
        Column("Carbon-g", ".status.usage.carbonGrams", description="Grams of CO2 equivalent"),
        Column("Figures", ".status.usage.source", description="measured, modelled or simulated"),
        Column("Energy-Wh", ".status.usage.energyWattHours", wide=True),
        Column("Why", ".status.decision.reasons[0].code", wide=True),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
