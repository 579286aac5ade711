"""Who has to do with less so that a budget holds: the least of its declared actions that is enough, and a hard stop.

Money may be spent up to the line. The plan is the first action that is enough by the forecast, with those before it.
It is carried out at the latest moment: what is saved early cannot be spent any more where the demand falls later, and
what is spent early can still be saved, for as long as the action that is planned is enough for the rest. Until then
only the actions before it are taken. A reserve for the doubt of the forecast is kept, which goes down to nothing at the
end of the period; so actions are released as the end comes near.

While Suspend is in force, what is left is given out by rank (SLO class, services before trainings, priority, cost of
work): each gets what it needs until the period ends, the last one that still gets something runs until the line, and
who gets nothing stops. At the line all stop but the latency-critical, early enough for what is spent until the pods are
gone.
"""

from dataclasses import dataclass
from functools import cached_property

from trimtab.api.budget import BudgetAction
from trimtab.api.policy_rules import SloClass
from trimtab.plan.budget.forecast import carry_on, doubt, exhausted_at, hours_left, needs, spent_by_now
from trimtab.plan.budget.problem import METER_DOUBT, RESUME_HOURS, STOP_SECONDS, Demand, Rates, Standing, Verdict

RELEASE = 0.99
"""An action is taken back when the forecast without it is below this part of the limit."""
RESERVE = 0.03
"""Most that is kept for the doubt of the forecast, as a part of the limit: with the room of `RELEASE` it stays within
the twentieth of a budget that may be left unused."""


def enforce(standing: Standing, demands: tuple[Demand, ...]) -> Verdict:
    """Decide what is done about a budget.

    Args:
        standing: The budget.
        demands: What the workloads under it ask for: also of those that do not run now, whatever keeps them.
    """
    asked = carry_on(standing, demands)
    outlook = _Outlook(standing, demands, asked)
    left, before = outlook.left, min(standing.level, len(outlook.need) - 1)
    level = outlook.due(left)
    if level < before:
        level = min(before, outlook.due(left - (1.0 - RELEASE) * standing.limit))
    return _judged(outlook, level, max(level, outlook.enough(left)))


def enforce_at(standing: Standing, demands: tuple[Demand, ...], level: int) -> Verdict:
    """What comes of a budget when so many of its actions are taken, whatever the forecast says.

    Args:
        standing: The budget.
        demands: What the workloads under it ask for.
        level: How many actions are taken.
    """
    return _judged(_Outlook(standing, demands, carry_on(standing, demands)), level, level)


@dataclass(frozen=True)
class _Outlook:
    """What is to come until the period ends."""

    standing: Standing
    demands: tuple[Demand, ...]
    asked: Rates

    @cached_property
    def spent_now(self) -> float:
        return spent_by_now(self.standing, self.demands)

    @property
    def left(self) -> float:
        return self.standing.limit - self.spent_now

    @cached_property
    def need(self) -> tuple[float, ...]:
        """By level."""
        return needs(self.standing, self.demands, self.asked)

    def suspends(self, level: int) -> bool:
        return BudgetAction.SUSPEND in self.standing.actions[:level]

    def enough(self, left: float) -> int:
        """The least level that is enough by the forecast."""
        fits = (k for k, need in enumerate(self.need) if self.suspends(k) or need <= left * (1 + 1e-12))
        return next(fits, len(self.need) - 1)

    def due(self, left: float) -> int:
        """The level to be in force: the least that is enough, once it would not be enough any later."""
        enough = self.enough(left)
        if enough == 0:
            return 0
        if self.suspends(enough):
            # Others are stopped when it is sure that the actions before are not enough.
            return enough if self.need[enough - 1] - self._doubted(enough - 1) > left else enough - 1
        return enough if self.need[enough] + self._reserve(enough) + self.stopping > left else enough - 1

    @property
    def stopping(self) -> float:
        """Spending until what is decided has taken effect."""
        return sum(d.holds_per_hour for d in self.demands) * STOP_SECONDS / 3600.0 * (1.0 + METER_DOUBT)

    def _off(self, level: int) -> float:
        """What the need may be off by."""
        return self.need[level] * doubt(self.standing, self.asked)

    def _reserve(self, level: int) -> float:
        return min(self._off(level), RESERVE * self.standing.limit)

    def _doubted(self, level: int) -> float:
        """What may turn out not to be needed; no more than those can make good that may be stopped later."""
        critical = [d for d in self.demands if d.slo is SloClass.LATENCY_CRITICAL]
        pot = _Pot(self.standing, self.demands, self.asked, self.spent_now, level, level)
        loose = max(0.0, self.need[level] - sum(pot.need(d) for d in critical))
        return min(self._off(level), loose / 2.0)

    def forecast(self, level: int) -> float:
        total = self.spent_now + self.need[level]
        return min(total, max(self.standing.limit, self.spent_now)) if self.suspends(level) else total


def _judged(outlook: _Outlook, level: int, planned: int) -> Verdict:
    standing, need = outlook.standing, outlook.need
    since = standing.level_since if level == standing.level and standing.level_since else standing.now
    plain = max((k for k in range(planned + 1) if not outlook.suspends(k)), default=0)
    verdict = Verdict(
        level=level,
        planned=planned,
        level_since=since if level else None,
        spent_now=outlook.spent_now,
        forecast=tuple(outlook.forecast(k) for k in range(len(need))),
        exhaustion=exhausted_at(standing, outlook.spent_now, need[plain]),
        asked=outlook.asked,
    )
    return _given_out(_Pot(standing, outlook.demands, outlook.asked, outlook.spent_now, level, planned), verdict)


@dataclass(frozen=True)
class _Pot:
    """What there is to give out, and who asks."""

    standing: Standing
    demands: tuple[Demand, ...]
    asked: Rates
    spent_now: float
    level: int
    planned: int
    """The level that is in force or will be: it is enough for the rest of the period."""

    @property
    def left(self) -> float:
        return self.standing.limit - self.spent_now

    def taken(self, action: BudgetAction) -> bool:
        return action in self.standing.actions[: self.level]

    def need(self, demand: Demand) -> float:
        """Until the period ends, by the plan."""
        if not demand.service:
            return demand.ahead[self.planned]
        now = sum(d.per_hour[self.planned] for d in self.demands if d.service)
        usual = self.asked.services[self.planned]
        share = demand.per_hour[self.planned] / now if now > 0.0 else 0.0
        return max(usual * share, demand.least_per_hour) * hours_left(self.standing)


def _given_out(pot: _Pot, verdict: Verdict) -> Verdict:
    """Put off, slow down and stop whom the present level says."""
    ranked = sorted(pot.demands, key=lambda d: d.rank)
    waiting = _waiting(pot, ranked) if pot.taken(BudgetAction.LATER_SLOTS) else frozenset[str]()
    caps = _paces(pot, ranked) if pot.taken(BudgetAction.FEWER_REPLICAS) else {}
    stopped: frozenset[str] = frozenset()
    if pot.taken(BudgetAction.SUSPEND):
        stopped, last = _stopped(pot, [d for d in ranked if d.key not in waiting])
        caps.update(last)
    protected = sum(pot.need(d) for d in ranked if d.slo is SloClass.LATENCY_CRITICAL)
    over = verdict.forecast[-1] > pot.standing.limit and not pot.taken(BudgetAction.SUSPEND)
    return Verdict(
        **{
            **verdict.__dict__,
            "stopped": stopped,
            "waiting": waiting,
            "caps_per_hour": caps,
            "unreachable": protected > max(0.0, pot.left) or over,
        }
    )


def _waiting(pot: _Pot, ranked: list[Demand]) -> frozenset[str]:
    """Trainings that are put off past the period, last in rank first, until the rest fits."""
    over = sum(pot.need(d) if d.service else _now_need(pot, d) for d in ranked) - pot.left
    waiting: set[str] = set()
    for demand in reversed(ranked):
        if over <= 0.0:
            break
        if demand.may_wait:
            waiting.add(demand.key)
            over -= _now_need(pot, demand)
    return frozenset(waiting)


def _now_need(pot: _Pot, demand: Demand) -> float:
    """What a training would need in this period were it not put off: at the level below LaterSlots."""
    return demand.ahead[pot.standing.actions.index(BudgetAction.LATER_SLOTS)] if demand.may_wait else pot.need(demand)


def _paces(pot: _Pot, ranked: list[Demand]) -> dict[str, float]:
    """Best-effort services are slowed down to the pace at which the budget lasts, to one replica at least."""
    slack = [d for d in ranked if d.service and d.slo is SloClass.BEST_EFFORT]
    before = pot.standing.actions.index(BudgetAction.FEWER_REPLICAS)
    wanted = sum(d.per_hour[before] for d in slack)
    hours = hours_left(pot.standing)
    if wanted <= 0.0 or hours <= 0.0:
        return {}
    others = sum(pot.need(d) for d in ranked if d not in slack)
    pace = min(1.0, max(0.0, pot.left - others) / (wanted * hours))
    return {d.key: max(d.least_per_hour, d.per_hour[before] * pace) for d in slack} if pace < 1.0 else {}


def _stopped(pot: _Pot, ranked: list[Demand]) -> tuple[frozenset[str], dict[str, float]]:
    """Give out what is left by rank: who gets nothing stops. And the pace of the services that get only a part."""
    stopping = STOP_SECONDS / 3600.0 * (1.0 + METER_DOUBT)
    available = pot.left - sum(d.holds_per_hour for d in pot.demands) * stopping
    hours = hours_left(pot.standing)
    stopped: set[str] = set()
    caps: dict[str, float] = {}
    for demand in ranked:
        need = pot.need(demand)
        if demand.slo is SloClass.LATENCY_CRITICAL:
            available -= need
            continue
        resumes = 0.0 if demand.holds_per_hour > 0.0 else min(need, demand.per_hour[pot.level] * RESUME_HOURS)
        if available <= resumes:
            stopped.add(demand.key)
            continue
        if demand.service and need > available and hours > 0.0:
            caps[demand.key] = max(demand.least_per_hour, available / hours)
        available -= min(need, available)
    return frozenset(stopped), caps
