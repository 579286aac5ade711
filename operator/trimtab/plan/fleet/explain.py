"""Says why a way to serve was taken, and what the next better one would have cost."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trimtab.api.common import Reason
from trimtab.plan.fleet.prefer import Preference
from trimtab.plan.fleet.ways import IntArray, Sizes, Ways, limit_broken, rates


@dataclass(frozen=True)
class Account:
    """All that the words are made of."""

    ways: Ways
    sizes: Sizes
    """For the load that the ways were compared by."""
    full: Sizes
    """The same as if there were no limits: says which limit holds a way back. Only rows that are held back differ."""
    preference: Preference
    ranked: tuple[IntArray, ...]
    """Rows of each workload from best to worst, in the order of the fleet."""

    def label(self, row: int) -> str:
        """The way, for messages."""
        option = self.ways.options[row]
        return f"{self.sizes.replicas[row]:.0f} x {option.variant} on {option.pool}"

    def price(self, row: int) -> str:
        """What it costs and gives."""
        spent = self.sizes.spent
        return (
            f"{spent.usd[row]:.3g} USD/h, {spent.grams[row]:.3g} gCO2e/h, accuracy {self.ways.accuracy[row]:.4f}, "
            f"predicted {self.sizes.latency_seconds[row] * 1000.0:.0f} ms"
        )

    def held_back(self, row: int) -> str:
        """Which limit keeps it from the replicas that the target needs; empty when none does."""
        if not self.sizes.held_back[row]:
            return ""
        return (
            f"{self.full.replicas[row]:.0f} replicas would be needed: {limit_broken(self.ways, self.full.spent, row)}"
        )

    def over_limit(self, row: int) -> str:
        """Which limit it breaks all the same; empty when none."""
        return limit_broken(self.ways, self.sizes.spent, row)

    def too_slow(self, row: int) -> str:
        """By how much it misses the latency target; empty when it holds."""
        latency, bound = self.sizes.latency_seconds[row], self.ways.bound_seconds[row]
        if latency <= bound:
            return ""
        label = self.ways.workloads[self.ways.owner[row]].target.label
        return f"{label} would be {latency * 1000.0:.0f} ms, the target is {bound * 1000.0:.0f} ms"

    def problem(self, row: int) -> str:
        """The first of these that there is."""
        return self.held_back(row) or self.over_limit(row) or self.too_slow(row)

    def next_best(self, owner: int, row: int) -> str | None:
        """The best way that was not taken, and what it would cost."""
        other = next((int(r) for r in self.ranked[owner] if r != row), None)
        if other is None:
            return None
        problem = self.problem(other)
        return f"next: {self.label(other)} ({self.price(other)}{', but ' + problem if problem else ''})"


def account(ways: Ways, sizes: Sizes, preference: Preference, order: IntArray) -> Account:
    """Gather what the words are made of."""
    bounds = np.searchsorted(ways.owner[order], np.arange(len(ways.workloads) + 1))
    ranked = tuple(order[a:b] for a, b in pairwise(bounds))
    if not sizes.cut:
        return Account(ways, sizes, sizes, preference, ranked)
    spent = rates(ways, sizes.load, sizes.needed)
    full = Sizes(
        sizes.load, sizes.needed, sizes.needed, sizes.latency_seconds, spent, ~sizes.held_back, sizes.held_back
    )
    return Account(ways, sizes, full, preference, ranked)


def why(account: Account, owner: int, row: int) -> tuple[Reason, str]:
    """Why a workload gets a way.

    Args:
        account: What the words are made of.
        owner: The workload.
        row: The way.

    Returns:
        The reason, and the code of what keeps the workload from something better (empty when nothing does).
    """
    preference = account.preference
    present = next((int(r) for r in account.ranked[owner] if preference.present[r]), None)
    if preference.settles[row]:
        text = f"keeps {account.label(row)} until its change shows in the metrics: {account.price(row)}"
        return Reason(code="VariantSettles", message=text), ""
    best = int(account.ranked[owner][0])
    if row != best and preference.holds[best]:
        pool = account.ways.options[best].pool
        text = (
            f"{pool} has no room for {account.label(best)}, the best alone; takes {account.label(row)}: "
            f"{account.price(row)}"
        )
        return Reason(code="CapacityShared", message=text, alternative=account.next_best(owner, row)), "Capacity"
    if not preference.holds[row]:
        problem, held = account.problem(row), account.held_back(row)
        text = f"nothing allowed holds the targets; nearest: {account.label(row)} ({problem})"
        over = bool(held or account.over_limit(row))
        return Reason(
            code="LimitsTooTight" if held else "TargetOutOfReach", message=text
        ), "Limits" if over else "Target"
    return _by_preference(account, owner, row, present), _bound(account, owner, row)


def _by_preference(account: Account, owner: int, row: int, present: int | None) -> Reason:
    """Because what served could not go on, or because it is the best."""
    options, before = account.ways.options, ""
    forced = present is not None and not account.preference.holds[present]
    if present is not None and forced and options[row].variant != options[present].variant:
        held = account.held_back(present)
        code = "CheaperVariantFitsLimits" if held else "FasterVariantHoldsTarget"
        before = f"{options[present].variant}: {held or account.too_slow(present)}; now "
    elif account.ways.workloads[owner].settings.prefer_accuracy:
        code = "MostAccurateWithinLimits"
    else:
        code = "CheapestThatHoldsTargets"
    return Reason(
        code=code,
        message=f"{before}{account.label(row)}: {account.price(row)}",
        alternative=account.next_best(owner, row),
    )


def _bound(account: Account, owner: int, row: int) -> str:
    """Limits, where a way that is more to the workload's liking is held back by one."""
    rows = account.ranked[owner]
    if account.ways.workloads[owner].settings.prefer_accuracy:
        better = rows[account.ways.accuracy[rows] > account.ways.accuracy[row]]
    else:
        better = rows[account.sizes.spent.priced[rows] < account.sizes.spent.priced[row]]
    if np.any(account.sizes.held_back[better] | ~account.sizes.keeps_limits[better]):
        return "Limits"
    slow = account.sizes.latency_seconds[better] > account.ways.bound_seconds[better]
    return "Target" if np.any(slow) else ""


def short(account: Account, row: int, replicas: int, needed: int) -> Reason:
    """Why a workload gets fewer replicas than its target needs."""
    option = account.ways.options[row]
    text = f"{option.pool} has room for {replicas} of the {needed} replicas of {option.variant} that the load needs"
    return Reason(code="CapacityShort", message=text)


def nothing(owner_has_ways: bool) -> Reason:
    """Why a workload gets nothing."""
    if owner_has_ways:
        return Reason(code="CapacityShort", message="other workloads hold all capacity of the classes it may run on")
    text = "no HardwareClass with free capacity offers what spec.resources asks for"
    return Reason(code="CapacityShort", message=text)
