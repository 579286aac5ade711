"""Fetches carbon traces from their ConfigMaps, and keeps the last good one when that fails."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.carbon import CarbonSourceSpec, TraceConfigMap
from trimtab.kube.client import KubeClient
from trimtab.kube.errors import Forbidden, KubeError
from trimtab.kube.paths import CONFIG_MAPS, object_path
from trimtab.observe.carbon import Series, static_series, trace_series
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
        return Series(series.points, series.trace_time, problem)

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
            held.trace, held.text = parse_trace(text, reference), text
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
        data = found.get("data") or {}
        if reference.key not in data:
            keys = ", ".join(repr(key) for key in sorted(data)) or "none"
            return None, f"{name} has no key {reference.key!r}; its keys are {keys}"
        return str(data[reference.key]), ""


def _name(reference: TraceConfigMap) -> str:
    return f"key {reference.key!r} of ConfigMap {reference.namespace}/{reference.name}"
