"""What admission has to say about an object, and how amounts are put into words."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from trimtab.api import labels
from trimtab.plan.snapshot import ObjectMeta

WARN_ONLY = "warn"
HOW_TO_INSIST = f"the label {labels.ADMISSION}: {WARN_ONLY} on it admits it all the same"


class Severity(StrEnum):
    """What follows from a finding."""

    REFUSE = "Refuse"
    """It can never be as things are: the object is not stored."""
    WARN = "Warn"
    """It is stored, and the user reads a warning."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit."""

    code: str
    """What it is, in CamelCase."""
    path: str
    """The field that it is about."""
    message: str
    """By how much it does not fit, and what would be right."""
    severity: Severity = Severity.REFUSE

    def warned(self) -> "Finding":
        """The same, only said."""
        return replace(self, severity=Severity.WARN)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request."""

    refused: tuple[Finding, ...] = ()
    """Why it is refused; empty when it is admitted."""
    warnings: tuple[Finding, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether the object may be stored."""
        return not self.refused

    @property
    def message(self) -> str:
        """Why it is refused, for the person who asked."""
        return "; ".join(str(finding) for finding in self.refused) + f" ({HOW_TO_INSIST})"


def verdict(findings: Iterable[Finding]) -> Verdict:
    """Sort findings by what follows from them."""
    given = tuple(findings)
    return Verdict(
        refused=tuple(f for f in given if f.severity is Severity.REFUSE),
        warnings=tuple(f for f in given if f.severity is Severity.WARN),
    )


def warns_only(meta: ObjectMeta) -> bool:
    """Whether somebody has said of the object that it shall refuse nothing."""
    return meta.labels.get(labels.ADMISSION) == WARN_ONLY


def number(value: float) -> str:
    """An amount with four digits at most, never in powers of ten."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{float(f'{value:.4g}'):.9f}".rstrip("0").rstrip(".")


def memory(size_bytes: float) -> str:
    """A size of memory, such as `1.5Gi`."""
    unit, size = ("Gi", 2**30) if size_bytes >= 2**30 else ("Mi", 2**20)
    return f"{number(size_bytes / size)}{unit}"


def span(time: timedelta) -> str:
    """A length of time to the minute, or to the second where it is short."""
    seconds = max(0, round(time.total_seconds()))
    if seconds < 600:
        return f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}h{minutes}m" if hours and minutes else f"{hours}h" if hours else f"{minutes}m"
