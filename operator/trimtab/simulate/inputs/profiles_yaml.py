"""trimtab's own profile file: YAML (or JSON, which is YAML), checked field by field.

```yaml
source: where the figures are from
hardware:
  a100:
    usd_per_hour: 2.74          # of one unit
    idle_watts: 93
    peak_watts: 656
variants:
  - name: efficientnet-b0
    accuracy: 0.774             # 0..1
    profiles:
      - hardware: a100
        units: 1                # accelerators of a replica
        start_seconds: 60       # from the decision until a new replica serves
        load_seconds: 5         # from the decision until a running replica serves this variant instead; may be left out
        max_batch: 64           # the largest measured, when left out
        instances: 1
        queue_delay_ms: 0
        overhead_ms: 0          # part of the latency that occupies no instance
        batches:
          - {batch: 1, ms: 9.5, p99_ms: 12.6, watts: 300}   # or items_per_second in place of ms; watts may be left out
  - name: llama2-70b
    accuracy: 0.689
    profiles:
      - hardware: h100
        units: 2
        start_seconds: 90
        max_batch: 32           # slots
        decode_watts: 900
        prefill: [{tokens: 512, ms: 83.8}, {tokens: 1024, ms: 158}]   # time to first token of one prompt
        decode: [{batch: 1, ms: 37.0}, {batch: 32, ms: 52.3}]         # time of a decoding step
```
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trimtab.simulate.inputs.profiles import BatchSpeed, ServingOption, ServingProfiles, Speed, TokenSpeed
from trimtab.simulate.inputs.table import InputError, read_text

Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotBelow = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=1)]

_NORMAL_P99 = 2.3263478740408408
"""The standard normal's quantile at 0.99."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Hardware(_Strict):
    usd_per_hour: NotBelow
    idle_watts: NotBelow
    peak_watts: Above


class _BatchPoint(_Strict):
    batch: Whole
    ms: Above | None = None
    items_per_second: Above | None = None
    p99_ms: Above | None = None
    watts: Above | None = None

    @model_validator(mode="after")
    def _one_speed(self) -> "_BatchPoint":
        if (self.ms is None) == (self.items_per_second is None):
            raise ValueError("write exactly one of ms and items_per_second")
        return self

    def seconds(self) -> float:
        return self.ms / 1e3 if self.ms is not None else self.batch / (self.items_per_second or math.inf)


class _PromptPoint(_Strict):
    tokens: Whole
    ms: Above


class _DecodePoint(_Strict):
    batch: Whole
    ms: Above


class _Profile(_Strict):
    hardware: str
    units: Above = 1.0
    start_seconds: NotBelow = 60.0
    load_seconds: NotBelow = 0.0
    max_batch: Whole | None = None
    instances: Whole = 1
    queue_delay_ms: NotBelow = 0.0
    overhead_ms: NotBelow = 0.0
    decode_watts: Above | None = None
    batches: tuple[_BatchPoint, ...] = ()
    prefill: tuple[_PromptPoint, ...] = ()
    decode: tuple[_DecodePoint, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> "_Profile":
        if bool(self.batches) == bool(self.prefill and self.decode) or bool(self.prefill) != bool(self.decode):
            raise ValueError("write either batches (a classic model) or both prefill and decode (a language model)")
        for name, sizes in (
            ("batches", [point.batch for point in self.batches]),
            ("prefill", [point.tokens for point in self.prefill]),
            ("decode", [point.batch for point in self.decode]),
        ):
            if sizes != sorted(set(sizes)):
                raise ValueError(f"{name} must ascend, each size once")
        return self


class _Variant(_Strict):
    name: Annotated[str, Field(min_length=1)]
    accuracy: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    profiles: Annotated[tuple[_Profile, ...], Field(min_length=1)]


class _File(_Strict):
    version: Literal[1] = 1
    source: str = ""
    hardware: Annotated[dict[str, _Hardware], Field(min_length=1)]
    variants: Annotated[tuple[_Variant, ...], Field(min_length=1)]


def read_yaml(path: Path) -> ServingProfiles:
    """Read a profile file.

    Raises:
        InputError: It is no YAML, or a field is missing, unknown or wrong; the first ten are reported together.
    """
    content = read_text(path)
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
        data = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InputError(path, line, column, f"this is no YAML: {error.problem}; see the format of profiles") from error
    if root is None or not isinstance(data, dict):
        raise InputError(path, 1, 1, "there is no mapping; write hardware and variants")
    try:
        parsed = _File.model_validate(data)
    except ValidationError as error:
        raise InputError.together([_problem(path, root, problem) for problem in error.errors()]) from error
    return _profiles(path, root, parsed)


def _profiles(path: Path, root: yaml.Node, parsed: _File) -> ServingProfiles:
    options = []
    for i, variant in enumerate(parsed.variants):
        for j, profile in enumerate(variant.profiles):
            hardware = parsed.hardware.get(profile.hardware)
            if hardware is None:
                known = ", ".join(parsed.hardware)
                place = ("variants", i, "profiles", j, "hardware")
                message = f"hardware {profile.hardware!r} is unknown; known are {known}"
                raise _error(path, root, place, message)
            options.append(_option(variant, profile, hardware))
    kinds = {type(option.speed) for option in options}
    if len(kinds) > 1:
        raise _error(
            path, root, ("variants",), "batches and prefill/decode are mixed; all variants must be of one kind"
        )
    notes = (f"Profiles: {parsed.source}",) if parsed.source else ()
    return ServingProfiles(tuple(options), notes)


def _option(variant: _Variant, profile: _Profile, hardware: _Hardware) -> ServingOption:
    measured = [point.watts for point in profile.batches if point.watts is not None]
    busy = max(measured) if measured else hardware.peak_watts * profile.units
    return ServingOption(
        variant=variant.name,
        hardware=profile.hardware,
        accuracy=variant.accuracy,
        speed=_speed(profile),
        usd_per_hour=hardware.usd_per_hour * profile.units,
        idle_watts=hardware.idle_watts * profile.units,
        busy_watts=busy,
        decode_watts=profile.decode_watts or busy,
        units=profile.units,
        start_seconds=profile.start_seconds,
        load_seconds=profile.load_seconds,
    )


def _speed(profile: _Profile) -> Speed:
    if profile.batches:
        return BatchSpeed(
            batches=tuple(point.batch for point in profile.batches),
            seconds=tuple(point.seconds() for point in profile.batches),
            max_batch=profile.max_batch or profile.batches[-1].batch,
            queue_delay_seconds=profile.queue_delay_ms / 1e3,
            instances=profile.instances,
            variability=_variability(profile.batches),
            overhead_seconds=profile.overhead_ms / 1e3,
        )
    return TokenSpeed(
        prompt_tokens=tuple(point.tokens for point in profile.prefill),
        prefill_seconds=tuple(point.ms / 1e3 for point in profile.prefill),
        decode_batches=tuple(point.batch for point in profile.decode),
        token_seconds=tuple(point.ms / 1e3 for point in profile.decode),
        max_batch=profile.max_batch or profile.decode[-1].batch,
    )


def _variability(points: tuple[_BatchPoint, ...]) -> float:
    """Squared coefficient of variation of a lognormal with the measured p99 and mean: the mean over sizes."""
    found = []
    for point in points:
        if point.p99_ms is not None and point.p99_ms / 1e3 > point.seconds():
            # ln(p99 / mean) = z s - s^2 / 2, the smaller root of s.
            ratio = math.log(point.p99_ms / 1e3 / point.seconds())
            sigma = _NORMAL_P99 - math.sqrt(max(_NORMAL_P99**2 - 2.0 * ratio, 0.0))
            found.append(math.expm1(sigma**2))
        elif point.p99_ms is not None:
            found.append(0.0)
    return sum(found) / len(found) if found else 0.0


def _problem(path: Path, root: yaml.Node, problem: Any) -> InputError:
    place = tuple(part for part in problem["loc"] if part not in ("float", "int", "constrained-float"))
    said = str(problem["msg"]).removeprefix("Value error, ")
    name = ".".join(str(part) for part in place) or "the file"
    if problem["type"] == "missing":
        return _error(path, root, place[:-1], f"{name} is missing; write it")
    if problem["type"] == "extra_forbidden":
        return _error(path, root, place, f"{name} is unknown; see the format of profiles")
    return _error(path, root, place, f"{name}: {said}")


def _error(path: Path, root: yaml.Node, place: tuple[Any, ...], message: str) -> InputError:
    node = root
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [value for key, value in node.value if key.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [node.value[part]]
        else:
            found = []
        if not found:
            break
        node = found[0]
    mark = node.start_mark
    return InputError(path, mark.line + 1, mark.column + 1, message)
