"""What is added up in an account: whole billionths of each unit, so that sums are exact."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trimtab.api.common import Usage, UsageGap
from trimtab.api.quantity import ExactSum, nanos_of


class Amount(NamedTuple):
    """Amounts of one stretch of time. Each is in billionths of the unit that its name says."""

    energy_watt_hours: int = 0
    idle_watt_hours: int = 0
    cost_usd: int = 0
    carbon_grams: int = 0
    embodied_grams: int = 0
    replica_seconds: int = 0
    unmetered_seconds: int = 0
    work_items: int = 0
    unattributed_watt_hours: int = 0
    estimated_watt_hours: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount._make(a + b for a, b in zip(self, other, strict=True))

    def minus(self, other: "Amount") -> "Amount":
        """Without the other."""
        return Amount._make(a - b for a, b in zip(self, other, strict=True))

    def scaled(self, above: int, below: int) -> "Amount":
        """So many times it, rounded down; nothing when `below` is zero."""
        return Amount._make(each * above // below for each in self) if below > 0 else NOTHING


NOTHING: Final = Amount()


def of_usage(usage: Usage | UsageGap) -> Amount:
    """The sums that stand in an account, or in one of its gaps, whose energy is an estimate as a whole."""
    values = {name: nanos_of(getattr(usage, name, 0.0)) for name in Amount._fields}
    if isinstance(usage, UsageGap):
        values["estimated_watt_hours"] = values["energy_watt_hours"]
    return Amount(**values)


def as_fields(amount: Amount, model: type[Usage] | type[UsageGap]) -> dict[str, ExactSum]:
    """The fields of a status model that hold these sums."""
    return {name: ExactSum.of(getattr(amount, name)) for name in Amount._fields if name in model.model_fields}


def total(amounts: Sequence[Amount]) -> Amount:
    """Their sum."""
    return Amount._make(map(sum, zip(*amounts, strict=True))) if amounts else NOTHING
