"""Carries accounts on: closed intervals that adjoin, each counted once, with estimates that are taken out again.

An account ends at `accountedUntil`; what stands in its status is all that is remembered. A stretch of cells that are
not closed is booked by an estimate and kept as a gap, with what was booked for it; when its samples are there, that is
subtracted and what was measured is added. So the sums come to the same in whatever steps, and after whatever
interruptions, an account was carried on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from trimtab.api.common import Usage, UsageGap
from trimtab.ledger.amounts import Amount, as_fields, of_usage, total
from trimtab.ledger.booking import Booked, instant, milliseconds
from trimtab.ledger.errors import sources_of

MOST_GAPS: Final = 8
LONGEST_GAP_MS: Final = 6 * 3_600_000
"""Gaps that began longer ago are not read again: their estimates stay."""
_RECENT_CELLS: Final = 30
"""An estimate goes by the mean of so many cells before it."""

AnyUsage = TypeVar("AnyUsage", bound=Usage)


def advance(usage: AnyUsage, booked: Booked, keys: Sequence[str], start: datetime, end: datetime) -> AnyUsage:
    """Add one closed interval to an account.

    Args:
        usage: The account so far.
        booked: What was spent; both instants are among its edges.
        keys: The accounts in it that are added up: one workload, or all those that a budget is for.
        start: Where the account ended; of a new account where it begins.
        end: Where it ends now.

    Raises:
        ValueError: when the interval does not begin where the account ended: it would count twice, or lose.
    """
    if usage.accounted_until is not None and usage.accounted_until != start:
        raise ValueError(f"{keys}: account ends at {usage.accounted_until}, the interval begins at {start}")
    amounts, unclosed, edges = _merged(booked, keys, start, end)
    unclosed = _without_ends(unclosed, edges, [hole for key in keys for hole in booked.holes.get(key, ())])
    measured = [a for a, is_open in zip(amounts, unclosed, strict=True) if not is_open]
    gaps = list(usage.gaps)
    added = total(measured)
    recent, recent_ms = _recent(amounts, unclosed, edges)
    for first, last in _runs(unclosed):
        begin, stop = edges[first], edges[last]
        before = gaps[-1] if gaps and milliseconds(gaps[-1].end) == begin else None
        if before is not None:
            grown = _estimate(of_usage(before), _length(before), stop - begin)
            gaps[-1] = _gap(milliseconds(before.start), stop, of_usage(before).plus(grown))
        else:
            grown = _estimate(recent, recent_ms, stop - begin)
            gaps.append(_gap(begin, stop, grown))
        added = added.plus(grown)
    new = _sources(booked, keys, start, end)
    return _with(usage, of_usage(usage).plus(added), _kept(gaps, end), new, accounted_until=end)


def revisit(usage: AnyUsage, booked: Booked, keys: Sequence[str], gap: UsageGap) -> AnyUsage:
    """Put what was measured in the place of a gap's estimate, as far as its samples are there now.

    Raises:
        ValueError: when the account has no such gap: what it holds was put right already.
    """
    if gap not in usage.gaps:
        raise ValueError(f"{keys}: the account has no gap from {gap.start} to {gap.end}")
    amounts, unclosed, edges = _merged(booked, keys, gap.start, gap.end)
    before = of_usage(gap)
    after = total([a for a, is_open in zip(amounts, unclosed, strict=True) if not is_open])
    left = []
    for first, last in _runs(unclosed):
        estimate = _estimate(before, _length(gap), edges[last] - edges[first])
        after = after.plus(estimate)
        left.append(_gap(edges[first], edges[last], estimate))
    gaps = [one for other in usage.gaps for one in (left if other == gap else [other])]
    end = usage.accounted_until or gap.end
    new = _sources(booked, keys, gap.start, gap.end)
    return _with(usage, of_usage(usage).minus(before).plus(after), _kept(gaps, end), new)


def closed_part(usage: Usage) -> Amount:
    """The sums without what may still be corrected: these never fall, whatever is corrected later."""
    amount = of_usage(usage)
    for gap in usage.gaps:
        amount = amount.minus(of_usage(gap))
    return amount


def _merged(
    booked: Booked, keys: Sequence[str], start: datetime, end: datetime
) -> tuple[list[Amount], list[bool], list[int]]:
    first, last = milliseconds(start), milliseconds(end)
    amounts, unclosed, edges = booked.part(keys[0] if keys else "", first, last)
    for key in keys[1:]:
        more, also, _ = booked.part(key, first, last)
        amounts = [a.plus(b) for a, b in zip(amounts, more, strict=True)]
        unclosed = [a or b for a, b in zip(unclosed, also, strict=True)]
    return amounts, unclosed, edges


def _without_ends(unclosed: list[bool], edges: list[int], holes: Sequence[tuple[int, int]]) -> list[bool]:
    """A hole that reaches over an end of the interval stays open as a whole: it is read again in one piece."""
    over = [(a, b) for a, b in holes if a < edges[0] < b or a < edges[-1] < b]
    return [
        is_open or any(a < edges[cell + 1] and edges[cell] < b for a, b in over)
        for cell, is_open in enumerate(unclosed)
    ]


def _recent(amounts: list[Amount], unclosed: list[bool], edges: list[int]) -> tuple[Amount, int]:
    """What was spent in the cells before the first open one, and how long that was."""
    first = unclosed.index(True) if True in unclosed else len(unclosed)
    begin = max(0, first - _RECENT_CELLS)
    return total(amounts[begin:first]), edges[first] - edges[begin]


def _estimate(known: Amount, known_ms: int, wanted_ms: int) -> Amount:
    """As much for each second as was spent before. Its replica time was not seen, and no work is made up."""
    guess = known.scaled(wanted_ms, known_ms)
    return Amount(
        guess.energy_watt_hours, guess.idle_watt_hours, guess.cost_usd, guess.carbon_grams, guess.embodied_grams,
        guess.replica_seconds, guess.replica_seconds, 0, guess.unattributed_watt_hours, guess.energy_watt_hours,
    )  # fmt: skip


def _runs(unclosed: list[bool]) -> list[tuple[int, int]]:
    """First and last index (exclusive) of each run of open cells."""
    runs: list[tuple[int, int]] = []
    for cell, is_open in enumerate(unclosed):
        if is_open and runs and runs[-1][1] == cell:
            runs[-1] = (runs[-1][0], cell + 1)
        elif is_open:
            runs.append((cell, cell + 1))
    return runs


def _length(gap: UsageGap) -> int:
    return milliseconds(gap.end) - milliseconds(gap.start)


def _gap(start_ms: int, end_ms: int, booked: Amount) -> UsageGap:
    return UsageGap(start=instant(start_ms), end=instant(end_ms), **as_fields(booked, UsageGap))


def _kept(gaps: list[UsageGap], end: datetime) -> tuple[UsageGap, ...]:
    """The gaps that may still be corrected; the estimates of the others stay in the sums for good."""
    oldest = milliseconds(end) - LONGEST_GAP_MS
    return tuple([gap for gap in gaps if milliseconds(gap.start) >= oldest][-MOST_GAPS:])


def _sources(booked: Booked, keys: Sequence[str], start: datetime, end: datetime) -> set[str]:
    return set().union(*(booked.read_from(key, milliseconds(start), milliseconds(end)) for key in keys))


def _with(usage: AnyUsage, amount: Amount, gaps: tuple[UsageGap, ...], sources: set[str], **more: object) -> AnyUsage:
    return usage.model_copy(
        update={
            **as_fields(amount, type(usage)),
            **sources_of(usage, sources),
            **_per_item(amount),
            "gaps": gaps,
            **more,
        }
    )


def _per_item(amount: Amount) -> dict[str, float | None]:
    """Energy, cost and carbon of one sample or inference."""
    items = amount.work_items
    return {
        f"{name}_per_item": getattr(amount, name if name != "watt_hours" else "energy_watt_hours") / items
        if items > 0
        else None
        for name in ("watt_hours", "cost_usd", "carbon_grams")
    }
