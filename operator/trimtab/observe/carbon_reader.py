"""Fetches carbon traces from their ConfigMaps, and keeps the last good one when that fails."""

import base64
import binascii
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trimtab.api.carbon import CarbonSourceSpec, TraceConfigMap, TraceFormat
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, KubeError
from trimtab.kube.paths import CONFIG_MAPS, object_path
from trimtab.observe.carbon import Series, static_series, trace_series
from trimtab.observe.signals.carbon_aware_sdk import parse_exported
from trimtab.observe.signals.signal import Signal, SignalError
from trimtab.observe.trace import Trace, TraceError, parse_trace


@dataclass
class _Held:
    read_at: datetime
    text: str | None = None
    """What `trace` was read from: it is read again only when this changes."""
    trace: Trace | None = None
    """The last one that could be used."""
    problem: str = ""


class CarbonReader:
    """Reads each trace at most once in `refresh_seconds`.

    A failure leaves the last good trace in force, with a problem that says so.
    """

    def __init__(self, kube: KubeClient, refresh_seconds: float) -> None:
        self._kube = kube
        self._refresh = timedelta(seconds=refresh_seconds)
        self._held: dict[TraceConfigMap, _Held] = {}

    def series(self, spec: CarbonSourceSpec, created_at: datetime, since: datetime, now: datetime) -> Series:
        """The source's series in wall-clock time, from `since` to the end of its forecast."""
        if spec.config_map is None:
            return static_series(spec, since)
        held = self._read(spec.config_map, now)
        if held.trace is None:
            return Series(problem=held.problem)
        series = trace_series(held.trace, spec, created_at, since, now)
        stale = f"{held.problem}; the last good trace stays in force" if held.problem else ""
        problem = "; ".join(part for part in (stale, series.problem) if part)
        return replace(series, problem=problem)

    def forget(self, keep: set[TraceConfigMap]) -> None:
        """Let go of the traces that no source names any more."""
        for reference in self._held.keys() - keep:
            del self._held[reference]

    def _read(self, reference: TraceConfigMap, now: datetime) -> _Held:
        held = self._held.get(reference)
        if held is not None and timedelta(0) <= now - held.read_at < self._refresh:
            return held
        held = held or _Held(read_at=now)
        held.read_at = now
        self._held[reference] = held
        text, held.problem = self._fetch(reference)
        if text is None or (text == held.text and held.trace is not None):
            return held
        try:
            held.trace, held.text = parse(text, reference), text
        except TraceError as error:
            held.problem = f"{_name(reference)} {error}"
        return held

    def _fetch(self, reference: TraceConfigMap) -> tuple[str | None, str]:
        name = f"ConfigMap {reference.namespace}/{reference.name}"
        try:
            found = self._kube.get(object_path(CONFIG_MAPS, reference.name, reference.namespace))
        except Forbidden as error:
            return None, f"{name} may not be read by the operator: {error.message}"
        except KubeError as error:
            return None, f"{name} cannot be read: {error.message}"
        if found is None:
            return None, f"{name} does not exist"
        data, binary = found.get("data") or {}, found.get("binaryData") or {}
        if reference.key in data:
            return str(data[reference.key]), ""
        if reference.key not in binary:
            keys = ", ".join(repr(key) for key in sorted({*data, *binary})) or "none"
            return None, f"{name} has no key {reference.key!r}; its keys are {keys}"
        try:
            return base64.b64decode(binary[reference.key]).decode(), ""
        except (binascii.Error, UnicodeDecodeError) as error:
            return None, f"{_name(reference)} is not text in UTF-8: {error}"


def parse(text: str, reference: TraceConfigMap) -> Trace:
    """The trace that a ConfigMap's key holds, in the format that the source says.

    Raises:
        TraceError: when it is not in that format.
    """
    if reference.format is TraceFormat.CSV:
        return parse_trace(text, reference)
    try:
        points = parse_exported(text)
    except SignalError as error:
        raise TraceError(str(error)) from error
    return Trace(
        tuple(point.start for point in points),
        tuple(point.grams_per_kwh for point in points),
        Signal(forecast=points).step,
    )


def _name(reference: TraceConfigMap) -> str:
    return f"key {reference.key!r} of ConfigMap {reference.namespace}/{reference.name}"
