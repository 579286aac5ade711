"""The question that enforcement answers: a budget as it stands, and what each workload under it asks for.

The operator builds it from a Snapshot, the simulator from a trace. All amounts are in the budget's own unit (USD, kWh,
kgCO2e). A level is how many actions of the budget's order are taken: at level 0 none, at `len(actions)` all.
"""

from dataclasses import dataclass, field
from datetime import datetime

from trimtab.api.budget import BudgetAction
from trimtab.api.policy_rules import SloClass

RESUME_HOURS = 1.0 / 6.0
"""Who does not run is let run only for at least so long: a start costs, too."""
STOP_SECONDS = 75.0
"""From a decision until nothing is spent any more: the loop, a checkpoint, the grace of the pods."""
METER_DOUBT = 0.05
"""Part of what is spent since the account ended that may be missing in its estimate."""
_CLASS_ORDER = (SloClass.LATENCY_CRITICAL, SloClass.STANDARD, SloClass.BEST_EFFORT)


@dataclass(frozen=True)
class Demand:
    """What one workload asks for."""

    key: str
    """`Kind/namespace/name`."""
    slo: SloClass
    service: bool
    """It runs on; a training ends when its work is done."""
    per_hour: tuple[float, ...]
    """Spending for an hour, by level. For trainings at the pace at which the work is done now: who runs narrower spends
    less for an hour, but for longer."""
    ahead: tuple[float, ...] = ()
    """Trainings: spending from now until the work is done or the period ends, by level."""
    holds_per_hour: float = 0.0
    """The most that its pods spend now for an hour; 0 while it has none."""
    unmetered: float | None = None
    """What its pods may have spent, each since it is there, after the account ended; None: as long as the account is
    behind."""
    least_per_hour: float = 0.0
    """Services: for an hour with one replica."""
    priority: int = 0
    cost_per_work: float = 0.0
    """Of two equals the dearer one has to do without."""
    may_wait: bool = False
    """Trainings: all of the work can be done after the period and before its deadline."""

    @property
    def rank(self) -> tuple[int, bool, int, float, str]:
        """Those that are touched last come first."""
        return (_CLASS_ORDER.index(self.slo), not self.service, -self.priority, self.cost_per_work, self.key)


@dataclass(frozen=True)
class Rates:
    """Mean rates that were asked for lately, by level."""

    services: tuple[float, ...] = ()
    trainings: tuple[float, ...] = ()
    at: datetime | None = None
    """When they were carried on last."""
    since: datetime | None = None
    """From when on they are known; None: for longer than it matters."""
    spread: float = 0.0
    """Standard deviation of what was asked for in all without any action, around its mean."""


@dataclass(frozen=True)
class Standing:
    """A budget as it stands."""

    limit: float
    spent: float
    """Metered, until `accounted_until`."""
    accounted_until: datetime
    now: datetime
    period_end: datetime | None
    actions: tuple[BudgetAction, ...]
    level: int = 0
    """As decided before."""
    level_since: datetime | None = None
    asked: Rates = Rates()
    memory_hours: float = 24.0
    """Time constant of the mean rates that were asked for."""


@dataclass(frozen=True)
class Verdict:
    """What is done about a budget."""

    level: int
    """How many actions are in force."""
    planned: int
    """How many are enough by the forecast: those beyond `level` are taken when they would not be enough any later."""
    level_since: datetime | None
    spent_now: float
    """What is metered, and the estimate of what is not metered yet."""
    forecast: tuple[float, ...]
    """Spending at the end of the period (of a day, for a Total) by level; Suspend counts as enough."""
    exhaustion: datetime | None
    """When the limit is reached by what is planned if nobody is suspended; None when that is after the period."""
    asked: Rates
    stopped: frozenset[str] = frozenset()
    """Who may not run."""
    waiting: frozenset[str] = frozenset()
    """Trainings that are put off until the next period: their deadlines allow it."""
    caps_per_hour: dict[str, float] = field(default_factory=dict)
    """The most that a service may spend for an hour, where it has to do with less than its targets need."""
    unreachable: bool = False
    """The budget will not hold whatever is done, as its workloads may not be touched further."""
