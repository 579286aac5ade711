"""The last words of a workload's containers: termination messages, read and checked.

Everything here comes from a container and may be anything, so nothing of it is believed before it fits its model.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from trimtab.plan.snapshot import MeasuredPoint, SearchResult, StepResult, TrainingResult, VariantResult

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Figure = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _TrainingMessage(_Message):
    """What rank 0 of the train runtime writes."""

    completed_samples: _Count
    total_samples: _Count = 0
    visits_min: _Count | None = None
    visits_max: _Count | None = None
    accuracy: _Share | None = None
    accuracy_low: _Share | None = None
    accuracy_high: _Share | None = None
    held_out_samples: _Count = 0
    stopped: bool = False
    sha256: str = ""


class _ProfileMessage(_Message):
    batch: Annotated[int, Field(ge=1)]
    p50_ms: _Figure
    p95_ms: _Figure
    p99_ms: _Figure
    items_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    cpu_seconds_per_item: _Figure


class _StepMessage(_Message):
    name: Annotated[str, Field(min_length=1, max_length=32)]
    digest: Annotated[str, Field(max_length=64)] = ""
    reused: bool = False
    seconds: _Figure = 0.0
    relative_error: _Figure | None = None
    tolerance: _Figure | None = None
    note: Annotated[str, Field(max_length=1024)] = ""


class _FrontMessage(_Message):
    steps: Annotated[str, Field(max_length=512)]
    accuracy: _Share
    cpu_seconds_per_item: _Figure
    size_bytes: Annotated[int, Field(gt=0)]
    chosen: bool = False


class _SearchMessage(_Message):
    trials: _Count
    skipped: _Count
    reasons: Annotated[tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=4)] = ()
    front: Annotated[tuple[_FrontMessage, ...], Field(max_length=8)] = ()


class _VariantMessage(_Message):
    """What the optimize runtime writes."""

    artifact: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(gt=0)]
    accuracy: _Share
    accuracy_low: _Share
    accuracy_high: _Share
    held_out_samples: Annotated[int, Field(ge=1)]
    baseline_accuracy: _Share
    agreement: _Share
    baseline_only_right: _Count | None = None
    variant_only_right: _Count | None = None
    peak_memory_bytes: _Count
    steps: Annotated[tuple[_StepMessage, ...], Field(max_length=16)] = ()
    search: _SearchMessage | None = None
    profile: Annotated[tuple[_ProfileMessage, ...], Field(min_length=1)]


class _Envelope(_Message):
    kind: str = ""
    error: str = ""
    reason: Annotated[str, Field(pattern="^([A-Z][A-Za-z]{0,63})?$")] = ""
    rank: int = 0


def training_result(message: str) -> TrainingResult | None:
    """The training runtime's result, or None when the message holds none (another rank, an error, any other text)."""
    envelope = _envelope(message)
    if envelope is None or envelope.kind != "training" or envelope.rank != 0 or envelope.error:
        return None
    try:
        parsed = _TrainingMessage.model_validate_json(message)
    except ValidationError:
        return None
    return TrainingResult(**parsed.model_dump())


def better_training(known: TrainingResult | None, new: TrainingResult | None) -> TrainingResult | None:
    """Which of two results of one Job to keep: a finished one over a stopped one, then the one that got further."""
    if known is None or new is None:
        return known or new
    if known.stopped != new.stopped:
        return known if new.stopped else new
    return known if known.completed_samples > new.completed_samples else new


def variant_failure_reason(message: str) -> str:
    """The optimizer's word for what went wrong, such as `ParityFailed`; empty where it gave none."""
    envelope = _envelope(message)
    return envelope.reason if envelope is not None and envelope.error else ""


def variant_result(message: str, exit_code: int | None) -> tuple[VariantResult | None, str]:
    """The optimizer's report, or why there is none (for the person who asked for the variant).

    Both are empty while nothing has ended.
    """
    if exit_code is None and not message:
        return None, ""
    envelope = _envelope(message)
    if envelope is not None and envelope.error:
        return None, envelope.error
    if exit_code not in (0, None):
        return None, f"the optimizer ended with exit code {exit_code}" + (
            f": {message.strip()[:500]}" if message else ""
        )
    if envelope is None or envelope.kind != "variant":
        return None, f"the optimizer left no report in its termination message, but {message.strip()[:200]!r}"
    try:
        parsed = _VariantMessage.model_validate_json(message)
    except ValidationError as error:
        return None, f"the optimizer's report is not usable: {_first_problem(error)}"
    fields: dict[str, Any] = parsed.model_dump(exclude={"profile", "steps", "search"})
    steps = tuple(StepResult(**step.model_dump()) for step in parsed.steps)
    profile = tuple(MeasuredPoint(**point.model_dump()) for point in parsed.profile)
    search = SearchResult.model_validate(parsed.search.model_dump()) if parsed.search else None
    return VariantResult(**fields, steps=steps, search=search, profile=profile), ""


def _envelope(message: str) -> _Envelope | None:
    try:
        return _Envelope.model_validate_json(message)
    except ValidationError:
        return None


def _first_problem(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in detail["loc"]) + f": {detail['msg']}"
