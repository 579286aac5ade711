"""The raw samples that the ledger accounts for: which intervals to read, the queries, and the reading of results."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.ledger.meter import MeterReading, PodMeter, Sample
from trimtab.observe.assemble import open_account_start
from trimtab.observe.facts import SERVING, TRAINING
from trimtab.observe.prometheus import seconds
from trimtab.observe.series import Series, at_time
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import ServingState, Snapshot, TrainingState, WorkloadPod

PodKey = tuple[str, str]
"""Namespace and name of a pod."""


@dataclass(frozen=True)
class Account:
    """A workload's interval that is to be read."""

    key: str
    """`TrainingWorkload/namespace/name` or `ServingWorkload/namespace/name`."""
    start: datetime
    end: datetime
    pods: tuple[WorkloadPod, ...]

    @property
    def namespace(self) -> str:
        """Namespace of the workload."""
        return self.key.split("/")[1]


@dataclass(frozen=True)
class Window:
    """Accounts that end at the same instant, read together."""

    end: datetime
    accounts: tuple[Account, ...]
    lookback: timedelta

    @property
    def range_seconds(self) -> float:
        """Length of the range to read: as far back as any account reaches, and the look-back."""
        return (self.end - min(account.start for account in self.accounts) + self.lookback).total_seconds()


@dataclass(frozen=True)
class _Holder:
    """Whose a pod is."""

    key: str
    hardware_class: str


def windows(snapshot: Snapshot, settings: ObserveSettings) -> list[Window]:
    """The intervals to read now, the most overdue first.

    An account that is far behind goes in steps. Their ends lie on whole minutes, so that accounts that fell behind
    together are read together.
    """
    newest = (snapshot.taken_at - timedelta(seconds=settings.meter_lag_seconds)).replace(microsecond=0)
    longest = timedelta(seconds=settings.meter_window_seconds)
    by_end: dict[datetime, list[Account]] = defaultdict(list)
    for kind, state in _workloads(snapshot):
        start = open_account_start(state, settings.meter_lag_seconds + settings.meter_lookback_seconds)
        if start is None or start >= newest:
            continue
        end = newest if newest - start <= longest else _whole_minute(start, start + longest)
        by_end[end].append(Account(f"{kind}/{state.meta.key}", start, end, state.pods))
    lookback = timedelta(seconds=settings.meter_lookback_seconds)
    due = [Window(end, tuple(by_end[end]), lookback) for end in sorted(by_end)]
    return due[: settings.meter_windows_a_pass]


def _whole_minute(start: datetime, end: datetime) -> datetime:
    whole = end.replace(second=0, microsecond=0)
    return whole if whole > start else end


def _workloads(snapshot: Snapshot) -> list[tuple[str, TrainingState | ServingState]]:
    return [*((TRAINING, one) for one in snapshot.training), *((SERVING, one) for one in snapshot.serving)]


@dataclass(frozen=True)
class Queries:
    """PromQL of one window, to be evaluated at its end."""

    pods: str
    """Which pods there were: one that is gone is still known by having been scraped."""
    cpu: str
    watts: str


def queries(window: Window) -> Queries:
    """The three queries of a window, for all its workloads together."""
    span = seconds(window.range_seconds)
    namespaces = "|".join(sorted({account.namespace for account in window.accounts}))
    kinds = f'workload!="",workload_kind=~"{TRAINING}|{SERVING}"'
    return Queries(
        pods=f'last_over_time(up{{{kinds},namespace=~"{namespaces}"}}[{span}])',
        cpu=f'pod_cpu_usage_seconds_total{{namespace=~"{namespaces}"}}[{span}]',
        watts=f'trimtab_power_watts{{{kinds},namespace=~"{namespaces}"}}[{span}]',
    )


def read_window(
    window: Window,
    pods: Iterable[Series],
    cpu: Iterable[Series],
    watts: Sequence[Series],
    simulated_classes: frozenset[str],
) -> dict[str, MeterReading]:
    """Readings by account key, from the results of the window's queries."""
    holders = _holders(window, [*pods, *watts])
    cpu_points = _merged(cpu, summed=False)
    watt_points = _merged(watts, summed=True)
    simulated = {_pod_key(one) for one in watts if one.label("simulated") == "true"}
    by_account: dict[str, list[PodKey]] = defaultdict(list)
    for pod, holder in sorted(holders.items()):
        by_account[holder.key].append(pod)
    readings = {}
    for account in window.accounts:
        started = {pod.name: pod.started_at for pod in account.pods}
        meters = []
        for pod in by_account[account.key]:
            hardware_class = holders[pod].hardware_class
            meter = PodMeter(
                pod=pod[1],
                hardware_class=hardware_class,
                cpu_seconds=_inside(cpu_points.get(pod, {}), account),
                watts=_inside(watt_points.get(pod, {}), account),
                simulated=pod in simulated or hardware_class in simulated_classes,
                started_at=started.get(pod[1]),
            )
            if meter.cpu_seconds or meter.watts:
                meters.append(meter)
        workload = account.key.split("/", 1)[1]
        readings[account.key] = MeterReading(key=workload, start=account.start, end=account.end, pods=tuple(meters))
    return readings


def _pod_key(series: Series) -> PodKey:
    return series.label("namespace"), series.label("pod")


def _holders(window: Window, labelled: Iterable[Series]) -> dict[PodKey, _Holder]:
    """Whose each pod is, by the labels of what was scraped, and by what is there now."""
    found = {
        _pod_key(one): _Holder(
            f"{one.label('workload_kind')}/{one.label('namespace')}/{one.label('workload')}",
            one.label("hardware_class"),
        )
        for one in labelled
    }
    for account in window.accounts:
        for pod in account.pods:
            found[account.namespace, pod.name] = _Holder(account.key, pod.hardware_class)
    return found


def _merged(series: Iterable[Series], *, summed: bool) -> Mapping[PodKey, dict[float, float]]:
    """One curve for each pod, by Unix time.

    Several power meters of a pod (one for each accelerator) add up. A counter that two jobs scrape is still one.
    """
    curves: dict[PodKey, dict[float, float]] = defaultdict(dict)
    for one in series:
        curve = curves[_pod_key(one)]
        for at, value in one.points:
            known = curve.get(at, 0.0)
            curve[at] = known + value if summed else max(known, value)
    return curves


def _inside(curve: Mapping[float, float], account: Account) -> tuple[Sample, ...]:
    """The samples of an interval, with the last one at or before its start; none when the interval itself has none."""
    samples = [Sample(at=at_time(at), value=curve[at]) for at in sorted(curve)]
    inside = [sample for sample in samples if account.start < sample.at <= account.end]
    before = [sample for sample in samples if sample.at <= account.start]
    return tuple(before[-1:] + inside) if inside else ()
