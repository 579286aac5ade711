"""Which stretches of time the meter reads now, and for which accounts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.api.common import Usage, UsageGap
from trimtab.ledger.booking import edges_between, grid_floor, instant, milliseconds
from trimtab.ledger.cumulative import LONGEST_STEP_MS
from trimtab.observe.assemble import open_account_start
from trimtab.observe.facts import SERVING, TRAINING
from trimtab.observe.settings import ObserveSettings
from trimtab.plan.snapshot import HardwareState, PolicyState, ServingState, Snapshot, TrainingState

_YOUNG = timedelta(minutes=10)
CLASS = "HardwareClass"


@dataclass(frozen=True)
class Due:
    """A stretch of one account that is to be read."""

    account: str
    """`Kind/namespace/name` of a workload, `HardwareClass/name`, or `Kind/namespace/name/budget` of a policy's budget
    (`Kind/name/budget` where the policy is the cluster's)."""
    start: datetime
    end: datetime
    gap: UsageGap | None = None
    """The gap that is read again; None where the account is carried on."""


@dataclass(frozen=True)
class Window:
    """Stretches that are read together, by one set of queries."""

    dues: tuple[Due, ...]
    read_start: datetime
    """From here on samples are asked for."""
    read_end: datetime
    """Up to here."""
    namespaces: tuple[str, ...] = ()
    """Where workloads may be that are in these accounts; empty means anywhere."""

    @property
    def edges(self) -> tuple[int, ...]:
        """Bounds (ms) of the cells of all its stretches."""
        starts = [milliseconds(due.start) for due in self.dues]
        ends = [milliseconds(due.end) for due in self.dues]
        return tuple(sorted({*edges_between(min(starts), max(ends)), *starts, *ends}))

    @property
    def revisit(self) -> bool:
        """Whether gaps are read again."""
        return self.dues[0].gap is not None


@dataclass(frozen=True)
class _Open:
    """An account that is open."""

    key: str
    usage: Usage | None
    start: datetime
    limit: datetime | None = None
    """Where it ends for good."""


def windows(snapshot: Snapshot, settings: ObserveSettings) -> list[Window]:
    """The stretches to read now: accounts are carried on, the most overdue first, then gaps are read again.

    An account that is far behind goes in steps. Their ends lie on whole minutes, so that accounts that fell behind
    together are read together.
    """
    lag = timedelta(seconds=settings.meter_lag_seconds)
    newest = instant(grid_floor(milliseconds(snapshot.taken_at - lag)))
    accounts = _accounts(snapshot, settings, newest)
    due = _advances(accounts, newest, settings)
    again = _revisits(accounts, settings.meter_revisit_minutes)
    most = settings.meter_windows_a_pass
    again = again[: max(most - len(due), most // 2)]
    # Gaps first: carrying an account on drops those that are too old.
    chosen = [*again, *due][:most]
    namespaces = _namespaces(snapshot)
    around = timedelta(seconds=settings.meter_lookback_seconds)
    # That a series ended is told by what was scraped after its next sample would have been due at the latest.
    after = around + timedelta(seconds=patience_seconds(settings), milliseconds=2 * LONGEST_STEP_MS)
    return [
        Window(tuple(dues), min(d.start for d in dues) - around,
               min(snapshot.taken_at, max(d.end for d in dues) + after), namespaces)
        for dues in chosen
    ]  # fmt: skip


def patience_seconds(settings: ObserveSettings) -> float:
    """How long after a series' last sample its next one is waited for: three scrapes, and the kubelet's lateness."""
    return 15.0 + 3 * settings.scrape_interval_seconds


def _namespaces(snapshot: Snapshot) -> tuple[str, ...]:
    """Namespaces of all workloads and policies; none when a budget is for all that there ever were."""
    names = {state.meta.namespace for _, state in workloads(snapshot)}
    for policy in snapshot.policies:
        named = getattr(policy.spec, "namespaces", ())
        if policy.status.budgets and not policy.meta.namespace and not named:
            return ()
        names.update(named, [policy.meta.namespace] if policy.meta.namespace else [])
    return tuple(sorted(names))


def _advances(accounts: Iterable[_Open], newest: datetime, settings: ObserveSettings) -> list[list[Due]]:
    longest = timedelta(seconds=settings.meter_window_seconds)
    by_end: dict[datetime, list[Due]] = defaultdict(list)
    for one in accounts:
        last = min(newest, one.limit) if one.limit is not None else newest
        if one.start < last:
            end = last if last - one.start <= longest else _whole_minute(one.start, one.start + longest)
            by_end[end].append(Due(one.key, one.start, end))
    return [by_end[end] for end in sorted(by_end)]


def _revisits(accounts: Iterable[_Open], minutes: int) -> list[list[Due]]:
    """Gaps after which samples came again. Old ones, which mostly stay, only now and then."""
    due = []
    for one in accounts:
        until = one.usage.accounted_until if one.usage is not None else None
        for gap in one.usage.gaps if one.usage is not None and until is not None else ():
            young = until is not None and until - gap.end <= _YOUNG
            if until is not None and gap.end < until and (young or until.minute % minutes == 0):
                due.append(Due(one.key, gap.start, gap.end, gap))
    due.sort(key=lambda one: (one.start, one.end))
    groups: list[list[Due]] = []
    for each in due:
        group = groups[-1] if groups else None
        if group is not None and each.end - group[0].start <= max(_YOUNG, group[0].end - group[0].start):
            group.append(each)
        else:
            groups.append([each])
    return groups


def _whole_minute(start: datetime, end: datetime) -> datetime:
    whole = end.replace(second=0, microsecond=0)
    return whole if whole > start else end


def _on_grid(at: datetime) -> datetime:
    return instant(grid_floor(milliseconds(at)))


def workloads(snapshot: Snapshot) -> list[tuple[str, TrainingState | ServingState]]:
    """All workloads with their kind."""
    return [*((TRAINING, one) for one in snapshot.training), *((SERVING, one) for one in snapshot.serving)]


def policy_kind(policy: PolicyState) -> str:
    """EfficiencyPolicy, or ClusterEfficiencyPolicy."""
    return "EfficiencyPolicy" if policy.meta.namespace else "ClusterEfficiencyPolicy"


def _accounts(snapshot: Snapshot, settings: ObserveSettings, newest: datetime) -> list[_Open]:
    grace = settings.meter_lag_seconds + settings.meter_lookback_seconds
    found = []
    for kind, state in workloads(snapshot):
        usage = state.status.usage
        start = open_account_start(state, grace)
        if start is not None:
            known = usage is not None and usage.accounted_until is not None
            found.append(_Open(f"{kind}/{state.meta.key}", usage, start if known else _on_grid(start)))
        elif usage is not None and usage.accounted_until is not None and usage.gaps:
            # It is not carried on any more, but what it is still missing may come.
            found.append(_Open(f"{kind}/{state.meta.key}", usage, usage.accounted_until, usage.accounted_until))
    for policy in snapshot.policies:
        for budget in policy.status.budgets:
            key = f"{policy_kind(policy)}/{policy.meta.key}/{budget.name}"
            start = budget.usage.accounted_until or _on_grid(budget.period_start)
            found.append(_Open(key, budget.usage, start, budget.period_end))
    first = newest - timedelta(seconds=settings.meter_window_seconds)
    for hardware in snapshot.hardware:
        node_usage = hardware.status.usage
        since = node_usage.accounted_until if node_usage is not None else None
        begin = since or max(first, _on_grid(hardware.meta.created_at))
        found.append(_Open(f"{CLASS}/{hardware.meta.name}", node_usage, begin))
    return found


_LONGEST_PAST = timedelta(days=7)


def carbon_since(
    states: Sequence[TrainingState | ServingState],
    policies: Iterable[PolicyState],
    hardware: Iterable[HardwareState],
    now: datetime,
) -> datetime:
    """How far back intensities are needed: to where the oldest open account or gap begins, and for the baseline of a
    training to its creation; a week at most.
    """
    usages = [
        state.status.usage
        for state in states
        if not isinstance(state, TrainingState) or state.status.completion_time is None or state.pods
    ]
    usages += [budget.usage for policy in policies for budget in policy.status.budgets]
    usages += [one.status.usage for one in hardware]
    starts = [gap.start for usage in usages if usage is not None for gap in usage.gaps]
    starts += [usage.accounted_until for usage in usages if usage is not None and usage.accounted_until is not None]
    starts += [
        state.meta.created_at
        for state in states
        if state.status.usage is None or (isinstance(state, TrainingState) and state.status.completion_time is None)
    ]
    return max(min(starts, default=now), now - _LONGEST_PAST) - timedelta(minutes=5)
