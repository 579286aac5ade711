"""Who has to do with less so that a budget holds: the least of its declared actions that is enough, and a hard stop.

Money may be spent up to the line. Actions are taken when the forecast at the present plan crosses it, in the declared
order, each only when those before are not enough; they are taken back as soon as less is enough. While Suspend is in
force, what is left is given out by rank (SLO class, services before trainings, priority, cost of work): each gets what
it needs until the period ends, the last one that still gets something runs until the line, and who gets nothing stops.
At the line all stop but the latency-critical, early enough for what is spent until the pods are gone.
"""

from dataclasses import dataclass

from trimtab.api.budget import BudgetAction
from trimtab.api.policy_rules import SloClass
from trimtab.plan.budget.forecast import carry_on, exhausted_at, hours_left, needs, spent_by_now
from trimtab.plan.budget.problem import METER_DOUBT, RESUME_HOURS, STOP_SECONDS, Demand, Rates, Standing, Verdict

RELEASE = 0.99
"""An action is taken back when the forecast without it is below this part of the limit."""


def enforce(standing: Standing, demands: tuple[Demand, ...]) -> Verdict:
    """Decide what is done about a budget.

    Args:
        standing: The budget.
        demands: What the workloads under it ask for: also of those that do not run now, whatever keeps them.
    """
    levels = len(standing.actions) + 1
    asked = carry_on(standing, demands)
    spent_now, need = spent_by_now(standing, demands), needs(standing, demands, asked)
    forecast = tuple(
        min(spent_now + n, max(standing.limit, spent_now)) if _suspends(standing, k) else spent_now + n
        for k, n in enumerate(need)
    )
    level = _level(standing, forecast, levels)
    since = standing.level_since if level == standing.level and standing.level_since else standing.now
    plain = max((k for k in range(level + 1) if not _suspends(standing, k)), default=0)
    verdict = Verdict(
        level=level,
        level_since=since if level else None,
        spent_now=spent_now,
        forecast=forecast,
        exhaustion=exhausted_at(standing, spent_now, need[plain]),
        asked=asked,
    )
    return _given_out(_Pot(standing, demands, asked, spent_now, level), verdict)


def _suspends(standing: Standing, level: int) -> bool:
    return BudgetAction.SUSPEND in standing.actions[:level]


def _level(standing: Standing, forecast: tuple[float, ...], levels: int) -> int:
    """The least level that is enough; one that is in force is left for a lower one only with some room."""
    before = min(standing.level, levels - 1)
    for level in range(levels):
        room = RELEASE if level < before else 1.0
        if forecast[level] <= standing.limit * room * (1 + 1e-12):
            return level
    return levels - 1


@dataclass(frozen=True)
class _Pot:
    """What there is to give out, and who asks."""

    standing: Standing
    demands: tuple[Demand, ...]
    asked: Rates
    spent_now: float
    level: int

    @property
    def left(self) -> float:
        return self.standing.limit - self.spent_now

    def taken(self, action: BudgetAction) -> bool:
        return action in self.standing.actions[: self.level]

    def need(self, demand: Demand) -> float:
        """Until the period ends, at the present level."""
        if not demand.service:
            return demand.ahead[self.level]
        now = sum(d.per_hour[self.level] for d in self.demands if d.service)
        usual = self.asked.services[self.level]
        share = demand.per_hour[self.level] / now if now > 0.0 else 0.0
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
