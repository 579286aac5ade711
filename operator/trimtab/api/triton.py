"""Settings of a Triton server, as a ServingWorkload's `spec.triton` holds them."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from trimtab.api.quantity import MemorySize, PositiveDuration
from trimtab.api.schema import ApiModel, Cel, ListMap, ListSet

_TENSOR, _RESOURCE = "^[A-Za-z0-9_][A-Za-z0-9_./:-]*$", "^[A-Za-z0-9_-]+$"
TensorName = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=_TENSOR),
    Cel(f"self.matches('{_TENSOR}')", "must be the name of a tensor: letters, digits and any of _ . / : -"),
]
"""The name of a tensor of the model."""
ResourceName = Annotated[
    str,
    Field(min_length=1, max_length=63, pattern=_RESOURCE),
    Cel(f"self.matches('{_RESOURCE}')", "must be a name of letters, digits, _ and -"),
]
"""The name of a resource of the rate limiter."""
Microseconds = Annotated[int, Field(ge=0, le=600_000_000)]
"""A span of time in microseconds, ten minutes at most."""


class TimeoutAction(StrEnum):
    """What becomes of a request that has waited for longer than its timeout."""

    REJECT = "Reject"
    """It is answered with an error at once."""
    DELAY = "Delay"
    """It goes on waiting, and is run when no other request of its priority waits."""


class QueuePolicy(ApiModel):
    """How requests wait for the dynamic batcher. Without one they wait in the order of arrival, for however long."""

    cel_rules: ClassVar = (
        Cel(
            "self.priorityLevels == 0 ? self.defaultPriority == 0 : "
            "self.defaultPriority >= 1 && self.defaultPriority <= self.priorityLevels",
            "defaultPriority must lie between 1 and priorityLevels where there are any, and be left out where not",
            ".defaultPriority",
        ),
        Cel(
            "self.timeoutAction == 'Delay' ? self.defaultTimeoutMicroseconds > 0 || self.allowTimeoutOverride : true",
            "timeoutAction Delay needs a timeout: set defaultTimeoutMicroseconds, or allowTimeoutOverride",
            ".timeoutAction",
        ),
    )

    priority_levels: Annotated[int, Field(ge=0, le=16)] = 0
    """Levels of priority; a request names its own, and 1 goes before all others. 0 means that all are equal."""
    default_priority: Annotated[int, Field(ge=0, le=16)] = 0
    """Level of a request that names none; 0 only where there are no levels."""
    default_timeout_microseconds: Microseconds = 0
    """How long a request may wait in the queue; 0 means for however long."""
    allow_timeout_override: bool = False
    """Whether a request may name a shorter timeout of its own."""
    timeout_action: TimeoutAction = TimeoutAction.REJECT
    """What becomes of a request that has waited for longer."""
    max_queue_size: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Requests that may wait, of each level; more are refused at once. 0 means however many."""


class ResponseCache(ApiModel):
    """Answers that are kept in the server's memory and given again to a request with the very same inputs."""

    size: MemorySize
    """Memory for them. It is taken from `resources.memory` when the server starts."""


class RateLimiterResource(ApiModel):
    """Something that executions share, by a name of your choice."""

    cel_rules: ClassVar = (
        Cel(
            "self.perExecution <= self.available",
            "perExecution must not be above available: no execution could ever start",
            ".perExecution",
        ),
    )
    name: ResourceName
    """Its name."""
    per_execution: Annotated[int, Field(ge=1, le=1_000_000)]
    """How much of it an execution holds while it runs."""
    available: Annotated[int, Field(ge=1, le=1_000_000)]
    """How much of it one server has."""


class RateLimiter(ApiModel):
    """Bounds what runs at once in a server: an execution starts when it gets all of its resources."""

    resources: Annotated[tuple[RateLimiterResource, ...], Field(min_length=1, max_length=8), ListMap(("name",))]
    """What an execution holds."""
    priority: Annotated[int, Field(ge=1, le=1000)] = 1
    """Weight of the model's instances where several models share a server: 2 gets half as many turns as 1."""


class Warmup(ApiModel):
    """Requests that every instance runs before the model is ready, so that no client waits for what comes first."""

    requests: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 1
    """Items in each of them."""


class SequenceStrategy(StrEnum):
    """How the steps of sequences become batches."""

    DIRECT = "Direct"
    """A sequence keeps one slot of one instance for as long as it lasts."""
    OLDEST = "Oldest"
    """A sequence keeps its instance; steps of many sequences are batched, the oldest first."""


class ControlKind(StrEnum):
    """What a control input tells the model of a step."""

    START = "Start"
    READY = "Ready"
    END = "End"
    CORRELATION_ID = "CorrelationId"


class ControlType(StrEnum):
    """Type of a control input's tensor."""

    FP32 = "FP32"
    INT32 = "INT32"
    BOOL = "BOOL"
    UINT64 = "UINT64"
    INT64 = "INT64"


class ControlInput(ApiModel):
    """An input of the model that Triton fills in for every step of a sequence."""

    cel_rules: ClassVar = (
        Cel(
            "(self.kind == 'CorrelationId') == (self.dataType in ['UINT64', 'INT64'])",
            "dataType must be UINT64 or INT64 for a CorrelationId, and FP32, INT32 or BOOL for the other kinds",
            ".dataType",
        ),
    )
    kind: ControlKind
    """What it tells: whether the step is its sequence's first or last, whether there is one, or whose it is."""
    input: TensorName
    """Name of the model's input."""
    data_type: ControlType = ControlType.FP32
    """Its type. All but CorrelationId are 0 for no and 1 for yes."""


class RecurrentState(ApiModel):
    """A pair of tensors through which a recurrent model hands its state from one step to the next."""

    input: TensorName
    """The model's input that takes the state, [batch, ...]; zeros in the first step."""
    output: TensorName
    """The model's output that gives the next one, of the same shape and type."""


class SequenceBatching(ApiModel):
    """For models with a state. Requests of one sequence carry its id, and go to one instance, in order."""

    strategy: SequenceStrategy = SequenceStrategy.OLDEST
    """How the steps of sequences become batches."""
    max_idle: PositiveDuration = timedelta(minutes=1)
    """A sequence that gets no request for so long is given up, and its state with it."""
    max_candidate_sequences: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """With Oldest: sequences that one instance holds at once; what comes beyond waits."""
    controls: Annotated[tuple[ControlInput, ...], Field(max_length=4), ListMap(("kind",))] = ()
    """Control inputs that the model has."""
    states: Annotated[tuple[RecurrentState, ...], Field(max_length=16), ListMap(("input",))] = ()
    """The model's state. Without any, the model finds its own way from the control inputs."""


class TritonSettings(ApiModel):
    """Settings of the Triton server. Those of batching, queues, instances, sequences and warm-up change on running
    servers, by a reload that answers every request; `image`, `responseCache` and `rateLimiter` replace the pods.
    """

    cel_rules: ClassVar = (
        Cel(
            "has(self.preferredBatchSizes) ? self.preferredBatchSizes.all(n, n <= self.maxBatchSize) : true",
            "preferredBatchSizes must not be above maxBatchSize (32 unless set)",
            ".preferredBatchSizes",
        ),
        Cel(
            "has(self.warmup) ? self.warmup.batch <= self.maxBatchSize : true",
            "warmup.batch must not be above maxBatchSize (32 unless set)",
            ".warmup.batch",
        ),
        Cel(
            "!(has(self.queue) && has(self.sequence))",
            "queue is for the dynamic batcher, which sequence replaces: set one of them",
            ".queue",
        ),
        Cel(
            "!(has(self.responseCache) && has(self.sequence))",
            "responseCache and sequence exclude each other: an answer depends on what came before in its sequence",
            ".responseCache",
        ),
        Cel(
            "has(self.sequence) && has(self.preferredBatchSizes) && size(self.preferredBatchSizes) > 0 "
            "? self.sequence.strategy == 'Oldest' : true",
            "preferredBatchSizes need the sequence strategy Oldest: with Direct every slot has its own sequence",
            ".preferredBatchSizes",
        ),
    )

    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Most items that the batcher puts into one execution."""
    preferred_batch_sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(max_length=16), ListSet()
    ] = ()
    """Sizes at which a batch is run without waiting for more; empty means that any size may be."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """How long the batcher may wait for more requests."""
    queue: QueuePolicy | None = None
    """Priorities, timeouts and bounds of the queue; unset means first come, first served, for however long."""
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    """Model instances in one server."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Intra-op threads of one instance."""
    response_cache: ResponseCache | None = None
    """Keeps answers for requests that come again; unset means that each is computed."""
    rate_limiter: RateLimiter | None = None
    """Bounds what runs at once; unset means that every instance may."""
    warmup: Warmup | None = None
    """Runs requests before the model is ready; unset means none."""
    sequence: SequenceBatching | None = None
    """For recurrent models: batches the steps of sequences; unset means that requests have nothing to do with each
    other."""
    log_verbose: Annotated[int, Field(ge=0, le=9)] = 0
    """How much the server logs of its inner doings; 0 is its normal log."""
    image: Annotated[str, Field(max_length=512)] = ""
    """Image of the server; empty means the one that the operator was installed with."""
