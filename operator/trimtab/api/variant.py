"""ModelVariant: a trained model made smaller or faster, with what was measured of it."""

from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.common import AccuracyFigure, Conditions, Resources
from trimtab.api.quantity import Fraction, Measured, MemorySize, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, Column, Kind, ListSet, ObjectName, ShortText, StatusModel
from trimtab.api.variant_steps import ORDER, Search, VariantStep


class VariantSource(ApiModel):
    """Where the model comes from."""

    training_workload: ObjectName
    """A TrainingWorkload of the same namespace; the variant is made when it has succeeded."""


class VariantBenchmark(ApiModel):
    """How latency and throughput are measured."""

    batches: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=8), ListSet()
    ] = (1, 8, 32)
    """Batch sizes to measure."""
    seconds_per_batch: Annotated[int, Field(ge=1, le=600)] = 3
    """How long each is measured."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Intra-op threads of the measured session."""


class Gate(ApiModel):
    """What the variant must be shown to reach, by tests on the held-out samples, to be allowed to serve."""

    cel_rules: ClassVar = (
        Cel(
            "!has(self.significance) || !isQuantity(string(self.significance)) || "
            "(quantity(string(self.significance)).isGreaterThan(quantity('0')) && "
            "quantity(string(self.significance)).compareTo(quantity('0.5')) <= 0)",
            'must be above 0 and at most 0.5, such as "0.05"',
            ".significance",
        ),
    )
    min_accuracy: Fraction | None = None
    """Held-out accuracy that must be surpassed; tested by the exact binomial test."""
    max_accuracy_drop: Fraction | None = None
    """Loss against the source model that must not be reached; tested on the same samples, as a paired test. A loss of
    0 can be shown of a better variant only."""
    significance: Fraction = 0.05
    """Greatest probability that a variant just not good enough passes; 0.5 takes the bare figures as they are."""


class ModelVariantSpec(ApiModel):
    """How the variant is made and measured."""

    cel_rules: ClassVar = (
        Cel(
            "self.source == oldSelf.source",
            "cannot be changed after creation: delete the ModelVariant and create it anew, or use another name",
            ".source",
        ),
        Cel(
            "!has(self.search) || !has(self.steps) || self.steps.size() == 0",
            "search finds the steps itself: give one of search and steps",
            ".search",
        ),
    )
    source: VariantSource
    steps: Annotated[tuple[VariantStep, ...], Field(max_length=8), ORDER] = ()
    """What is done to the model; empty means the plain export to ONNX in fp32."""
    search: Search | None = None
    """Finds the steps, by trying many; without it, steps are what is done."""
    benchmark: VariantBenchmark = VariantBenchmark()
    """How latency and throughput are measured."""
    gate: Gate = Gate()
    """What it must reach to be allowed to serve."""
    resources: Resources = Resources()
    """What the pod that makes and measures it gets: measure with what serving gets, and the figures fit it."""
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0
    """Seed of finetuning and of the choice of calibration samples."""
    image: Annotated[str, Field(max_length=512)] = ""
    """Image of the optimizer; empty means the one that the operator was installed with."""
    timeout: PositiveDuration | None = None
    """Longest that making it may take; unset means 24h."""
    max_size: MemorySize = "2Gi"
    """Largest model that is read or written; ONNX files end at 2Gi."""
    step_cache: MemorySize = "1Gi"
    """Room on the claim for results of steps. A chain that begins as another one did takes them from there."""


class ProfilePoint(StatusModel):
    """Measured speed at one batch size."""

    batch: int
    """Items in one request."""
    p50_milliseconds: Measured
    """Median latency of a request, in milliseconds."""
    p95_milliseconds: Measured
    """Latency that 95 % of requests stay under, in milliseconds."""
    p99_milliseconds: Measured
    """Latency that 99 % of requests stay under, in milliseconds."""
    items_per_second: Measured
    """Throughput of one replica with the CPU that it was measured with."""
    cpu_seconds_per_item: Measured
    """CPU time that one item takes, in seconds."""


class Artifact(StatusModel):
    """The file that serves."""

    claim_name: str
    """PersistentVolumeClaim that holds the file."""
    path: str
    """Path in the claim."""
    sha256: Annotated[str, Field(max_length=64)]
    """SHA-256 digest of the file, in hexadecimal."""
    size_bytes: int
    """Size of the file in bytes."""


class StepReport(StatusModel):
    """What became of one step."""

    name: Annotated[str, Field(max_length=32)]
    """The step; export is the one from torch to ONNX."""
    digest: Annotated[str, Field(max_length=64)]
    """Names what went in: the source, all steps so far, the seed and the tools' versions."""
    reused: bool = False
    """Whether an earlier build had the result already."""
    seconds: Measured = 0.0
    """How long it took."""
    relative_error: Measured | None = None
    """How far outputs moved from those before it: root mean square of the difference by that of the outputs."""
    tolerance: Measured | None = None
    """Largest relative error at which the step counts as right; steps that train have none."""
    note: ShortText = ""
    """What it did, in figures."""


class FrontPoint(StatusModel):
    """A chain of steps that no other one of the search beats in accuracy, compute and size at once."""

    steps: Annotated[str, Field(max_length=512)]
    """The chain, in short; empty for the plain export."""
    accuracy: Measured
    """On the half of the held-out samples that decided."""
    cpu_seconds_per_item: Measured
    """CPU time for an item, at the largest batch of the benchmark."""
    size_bytes: int
    """Size of the file."""
    chosen: bool = False
    """Whether it is the one that the other figures are of."""


class SearchReport(StatusModel):
    """What a search tried."""

    trials: int
    """Chains that were built and measured."""
    skipped: int
    """Chains that could not be built, or fit."""
    reasons: Annotated[tuple[ShortText, ...], Field(max_length=4)] = ()
    """Why, of the first few."""
    front: Annotated[tuple[FrontPoint, ...], Field(max_length=8)] = ()
    """The most accurate first. With the picture on the claim, front.svg beside the artifact."""


class GateFigures(StatusModel):
    """The tests of the gate, on the figures above."""

    significance: Measured
    """What was declared."""
    p_value: Measured
    """Probability of such figures from a variant just not good enough: the larger one, of two rules."""
    samples: int
    """Held-out samples that the tests had."""
    samples_needed: int | None = None
    """Samples that would pass with a probability of 80 % were the figures to stay so; absent where none would."""
    accuracy_at_least: Measured | None = None
    """One-sided lower bound of accuracy at 1 - significance, with gate.minAccuracy."""
    drop_at_most: Measured | None = None
    """One-sided upper bound of the loss against the source at 1 - significance, with gate.maxAccuracyDrop."""


class ModelVariantStatus(StatusModel):
    """What was made, and what was measured."""

    observed_generation: int = 0
    """The generation of the object that status speaks of."""
    state: Annotated[str, Field(max_length=64)] = ""
    """One word for `kubectl get`: the reason of the condition Ready."""
    conditions: Conditions = ()
    """Aspects of its state, each true, false or unknown, with reason and message."""
    spec_hash: Annotated[str, Field(max_length=64)] = ""
    """Which spec and source the figures belong to."""
    artifact: Artifact | None = None
    """The file that serves."""
    accuracy: AccuracyFigure | None = None
    """Held-out accuracy of the variant."""
    baseline_accuracy: Measured | None = None
    """Held-out accuracy of the source model."""
    agreement: Measured | None = None
    """Share of held-out samples where it answers as the source model does."""
    baseline_only_right: int | None = None
    """Held-out samples that only the source model answers right: what it lost."""
    variant_only_right: int | None = None
    """Held-out samples that only the variant answers right: what it won."""
    gate: GateFigures | None = None
    """How its accuracy stands the gate's tests."""
    peak_memory_bytes: int = 0
    """Most memory that the process held while it was measured, in bytes."""
    cpu_cores: Measured | None = None
    """CPU that the figures were measured with."""
    hardware_class: str = ""
    """Hardware class that they were measured on."""
    steps: Annotated[tuple[StepReport, ...], Field(max_length=16)] = ()
    """What became of each step."""
    search: SearchReport | None = None
    """What was tried, where the steps were searched for; accuracy and gate are then of the other half."""
    profile: Annotated[tuple[ProfilePoint, ...], Field(max_length=16)] = ()
    """Measured speed by batch size, the smallest first."""
    summary: ShortText = ""
    """Accuracy, size and speed in a sentence."""
    message: ShortText = ""
    """The state in a sentence."""


MODEL_VARIANT = Kind(
    kind="ModelVariant",
    plural="modelvariants",
    short_names=("mv",),
    namespaced=True,
    spec=ModelVariantSpec,
    status=ModelVariantStatus,
    description="A trained model, exported and optimized, with measured accuracy, size, latency and throughput.",
    columns=(
        Column("State", ".status.state"),
        Column("Source", ".spec.source.trainingWorkload"),
        Column("Accuracy", ".status.accuracy.value"),
        Column("Bytes", ".status.artifact.sizeBytes", "integer"),
        Column("p95-ms", ".status.profile[0].p95Milliseconds", description="Latency at the smallest batch"),
        Column("Items/s", ".status.profile[0].itemsPerSecond", description="Throughput at the smallest batch"),
        Column("Agreement", ".status.agreement", wide=True, description="Answers equal to the source model's"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    ),
)
