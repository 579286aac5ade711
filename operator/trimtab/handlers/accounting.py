"""Settles the ledger for every account of a Snapshot: workloads, the budgets of policies, and the nodes of classes.

Each account starts from what stands in status: a restarted operator goes on from there, and a pass that is repeated
before the status write was seen comes to the same sums.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import TypeVar

from trimtab.api.budget import BudgetStatus
from trimtab.api.common import Usage
from trimtab.api.hardware import NodeUsage
from trimtab.handlers.baselines import with_savings
from trimtab.ledger.account import advance, revisit
from trimtab.ledger.booking import Booked, Intensity, book
from trimtab.observe.meter import WindowReading, declared_units
from trimtab.observe.meter_windows import CLASS, Due, Window, policy_kind, workloads
from trimtab.plan.budget.members import gone, selects_all
from trimtab.plan.intensity import mean_intensity, points_by_zone
from trimtab.plan.policy import applies
from trimtab.plan.snapshot import PolicyState, Snapshot

AnyUsage = TypeVar("AnyUsage", bound=Usage)


@dataclass(frozen=True)
class Books:
    """What was booked in a pass, window by window: workloads, classes and budgets are settled from the same."""

    windows: tuple[tuple[Window, Booked], ...]
    intensity: Intensity

    @cached_property
    def dues(self) -> list[dict[str, list[Due]]]:
        """By window, the stretches of each account."""
        found = []
        for window, _ in self.windows:
            by_account: dict[str, list[Due]] = defaultdict(list)
            for due in window.dues:
                by_account[due.account].append(due)
            found.append(by_account)
        return found


def book_all(snapshot: Snapshot, readings: Iterable[WindowReading]) -> Books:
    """Book every reading of a pass, each once."""
    intensity = _intensity(snapshot)
    hardware = {h.meta.name: h for h in snapshot.hardware}
    keys = [f"{kind}/{state.meta.key}" for kind, state in workloads(snapshot)]
    declared = declared_units(snapshot)
    booked = []
    for one in readings:
        # Pods of workloads that are gone count for budgets.
        accounts = list(dict.fromkeys([*keys, *(pod.account for pod in one.reading.pods)]))
        booked.append((one.window, book(one.reading, one.window.edges, accounts, hardware, declared, intensity)))
    return Books(tuple(booked), intensity)


def _intensity(snapshot: Snapshot) -> Intensity:
    series = points_by_zone(snapshot.carbon)
    starts = {zone: [point.start for point in points] for zone, points in series.items()}

    def intensity(zone: str, start: datetime, end: datetime) -> float | None:
        points = series.get(zone, ())
        # Most cells lie within one interval of the series: those need no mean over all of it.
        index = bisect_right(starts.get(zone, []), start)
        if index > 0 and (index == len(points) or points[index].start >= end):
            return points[index - 1].grams_per_kwh
        return mean_intensity(points, start, end)

    return intensity


def settle_all(snapshot: Snapshot, books: Books) -> dict[str, Usage]:
    """The accounts of workloads and classes that were read, by `Kind/namespace/name` or `HardwareClass/name`."""
    usages: dict[str, Usage] = {}
    for kind, state in workloads(snapshot):
        key = f"{kind}/{state.meta.key}"
        settled = _settle(state.status.usage or Usage(), key, books)
        if settled is not None:
            usages[key] = with_savings(state, settled, snapshot, books.intensity)
    for hardware in snapshot.hardware:
        key = f"{CLASS}/{hardware.meta.name}"
        nodes = _settle(hardware.status.usage or NodeUsage(), key, books)
        if nodes is not None:
            usages[key] = nodes
    return usages


def settle_budgets(snapshot: Snapshot, books: Books) -> dict[tuple[str, str], Usage]:
    """The accounts of budgets that were read, by the policy's key and the budget's name.

    A budget is for all workloads that its policy selects. Those that are gone have no labels any more: they count where
    the policy selects by namespace alone, or where the budget's status names them.
    """
    usages: dict[tuple[str, str], Usage] = {}
    for policy in snapshot.policies:
        for budget in policy.status.budgets:
            account = f"{policy_kind(policy)}/{policy.meta.key}/{budget.name}"
            settled = _settle(budget.usage, account, books, partial(_reached, policy, budget, snapshot))
            if settled is not None:
                usages[policy.meta.key, budget.name] = settled
    return usages


def _settle(
    before: AnyUsage, account: str, books: Books, keys: Callable[[Booked], Sequence[str]] | None = None
) -> AnyUsage | None:
    """Carry an account through all windows that have a stretch of it; None when none has.

    Args:
        before: As it stands in status.
        account: Its name.
        books: What was booked.
        keys: Which booked accounts it is the sum of; None means its own.
    """
    usage, read = before, False
    for (_, booked), dues in zip(books.windows, books.dues, strict=True):
        for due in dues.get(account, ()):
            if not _fits(usage, due):
                continue
            read = True
            summed = keys(booked) if keys is not None else (account,)
            if due.gap is not None:
                usage = revisit(usage, booked, summed, due.gap)
            else:
                usage = advance(usage, booked, summed, due.start, due.end)
    return usage if read else None


def _fits(usage: Usage, due: Due) -> bool:
    """Whether the stretch is still to be booked: a gap may have been dropped or changed by the stretch before."""
    return due.gap in usage.gaps if due.gap is not None else usage.accounted_until in (None, due.start)


def _reached(policy: PolicyState, budget: BudgetStatus, snapshot: Snapshot, booked: Booked) -> tuple[str, ...]:
    present = {f"{kind}/{state.meta.key}": state.meta for kind, state in workloads(snapshot)}
    keys = {key for key, meta in present.items() if applies(policy, meta)}
    if selects_all(policy):
        for key in booked.cells:
            kind, _, rest = key.partition("/")
            if key not in present and kind != CLASS and _in_namespace(policy, rest.split("/")[0]):
                keys.add(key)
    else:
        keys |= gone(budget, frozenset(present))
    return tuple(sorted(keys))


def _in_namespace(policy: PolicyState, namespace: str) -> bool:
    if policy.meta.namespace:
        return policy.meta.namespace == namespace
    named = getattr(policy.spec, "namespaces", ())
    return not named or namespace in named
