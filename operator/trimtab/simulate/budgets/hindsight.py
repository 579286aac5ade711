"""Whether a suspension was needed, with hindsight: the rest of the period lived through with the cheaper actions alone.

What came then is known to the replay: the jobs that arrived, what they really spent, the grid's intensities. Nothing
of the operator's own forecast is in this judgement.
"""

import copy
import math
from collections import deque
from dataclasses import replace

from trimtab.api.budget import BudgetAction
from trimtab.plan.budget.enforce import enforce_at
from trimtab.plan.budget.problem import Demand, Standing, Verdict
from trimtab.simulate.budgets.replay import Replay, hours_of

_STEP_HOURS = 1.0
_EVERY_HOURS = 6.0
"""Suspensions within so many hours of one that was judged are judged as that one."""


class _Cheaper(Replay):
    """What would have come from an instant on: all actions before Suspend in force, and nobody is stopped."""

    def __init__(self, one: Replay) -> None:
        """Goes on from where another replay stands, which is left as it is."""
        # Not super().__init__: it is a copy of a replay in full course.
        self.__dict__.update(one.__dict__)
        self.random = copy.deepcopy(one.random)
        self.queue = deque(replace(job) for job in one.queue)
        self.world = copy.copy(one.world)
        self.world.services = [replace(service) for service in one.world.services]
        self.world.jobs = {key: replace(job) for key, job in one.world.jobs.items()}
        self.spent = deque(one.spent)
        self.periods = [replace(period, actions=dict(period.actions)) for period in one.periods]

    def decide(self, standing: Standing, demands: tuple[Demand, ...]) -> Verdict:
        return enforce_at(standing, demands, standing.actions.index(BudgetAction.SUSPEND))

    def note(self, standing: Standing, verdict: Verdict, demands: list[Demand]) -> None:
        pass

    def step(self, standing: Standing, verdict: Verdict, hour: float) -> float:
        # There is no line to stop at.
        return _STEP_HOURS

    def holds(self, hour: float) -> bool:
        """Whether the budget would have been kept; False where the simulation ends before the period."""
        limit = self.status.limit
        end = hours_of(self.status.period_end) if self.status.period_end is not None else math.inf
        if end > self.options.hours:
            return False
        while hour < end - 1e-9 and self.total - self.opened <= limit:
            hour = self.pass_at(hour, end - hour)
        return self.total - self.opened <= limit


class JudgedReplay(Replay):
    """A replay that judges each suspension when it is decided, and each period from its first hour."""

    _period = -1
    _begun: tuple[_Cheaper, float]
    _stopped: frozenset[str] = frozenset()
    _judged_at = -math.inf
    _needless = False

    def note(self, standing: Standing, verdict: Verdict, demands: list[Demand]) -> None:
        """Keep what was decided, and judge who is stopped anew."""
        super().note(standing, verdict, demands)
        hour, period = hours_of(standing.now), self.periods[-1]
        if self._period != len(self.periods):
            self._period, self._stopped, self._judged_at = len(self.periods), frozenset(), -math.inf
            self._begun = _Cheaper(self), hour
        news, self._stopped = verdict.stopped - self._stopped, verdict.stopped
        if not news:
            return
        if not period.suspensions:
            cheaper, since = self._begun
            period.could_be_free = cheaper.holds(since)
        if hour - self._judged_at >= _EVERY_HOURS:
            self._judged_at, self._needless = hour, _Cheaper(self).holds(hour)
        period.suspensions += len(news)
        period.needless += len(news) if self._needless else 0
