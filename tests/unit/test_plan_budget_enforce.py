"""Budgets hold, are used up before anybody is stopped, and stop nobody while something cheaper would do."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worlds import NOW
from trimtab.api.budget import ACTION_ORDER, Budget, BudgetAction
from trimtab.api.policy_rules import SloClass
from trimtab.plan.budget.enforce import enforce
from trimtab.plan.budget.problem import STOP_SECONDS, Demand, Rates, Standing, Verdict
from trimtab.plan.budget.words import stop_reason

CRITICAL, STANDARD, EFFORT = SloClass.LATENCY_CRITICAL, SloClass.STANDARD, SloClass.BEST_EFFORT
FLAT = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def service(key: str, per_hour: float, slo: SloClass = STANDARD, shares: tuple[float, ...] = FLAT) -> Demand:
    rates = tuple(per_hour * share for share in shares)
    return Demand(key, slo, True, rates, holds_per_hour=per_hour, least_per_hour=min(rates) / 2)


def training(key: str, per_hour: float, ahead: float, slo: SloClass = STANDARD, **facts: object) -> Demand:
    given_ = {"holds_per_hour": per_hour, **facts}
    return Demand(key, slo, False, (per_hour,) * 6, (ahead,) * 6, **given_)


def standing(limit: float, spent: float = 0.0, hours: float = 100.0, **facts: object) -> Standing:
    given_ = {"actions": ACTION_ORDER, "period_end": NOW + timedelta(hours=hours), **facts}
    return Standing(limit, spent, NOW, NOW, **given_)


def test_nothing_is_done_while_the_plan_fits() -> None:
    verdict = enforce(standing(101.0), (service("s", 1.0),))
    assert (verdict.level, verdict.exhaustion, verdict.stopped) == (0, None, frozenset())
    assert verdict.forecast[0] == pytest.approx(100.0)


def saver(*shares: float) -> Demand:
    return service("s", 1.0, shares=(*shares, *shares[-1:] * (6 - len(shares))))


def test_the_first_action_that_is_enough_is_planned_and_no_further_one() -> None:
    saving = saver(1.0, 0.9, 0.8)
    assert enforce(standing(95.0), (saving,)).planned == 1
    assert enforce(standing(85.0), (saving,)).planned == 2
    verdict = enforce(standing(75.0), (saving,))
    assert standing(1.0).actions[verdict.planned - 1] is BudgetAction.SUSPEND
    assert verdict.level == verdict.planned
    assert verdict.exhaustion is not None


def test_an_action_is_taken_when_it_would_not_be_enough_any_later_and_those_before_it_until_then() -> None:
    saving = saver(1.0, 0.9, 0.6)
    # 100 hours at 0.6 are 60, and some for the doubt: until then it is enough to begin later.
    early, due = enforce(standing(70.0), (saving,)), enforce(standing(61.0), (saving,))
    assert (early.level, early.planned, early.exhaustion) == (1, 2, None)
    assert early.forecast[early.planned] == pytest.approx(60.0)
    assert (due.level, due.planned) == (2, 2)
    # Nothing before it: nothing is done yet.
    assert enforce(standing(95.0), (saver(1.0, 0.5),)).level == 0


def test_the_declared_order_is_kept() -> None:
    demand = replace(service("s", 1.0), per_hour=(1.0, 1.0, 0.5))
    order = (BudgetAction.SPOT, BudgetAction.FEWER_REPLICAS)
    verdict = enforce(standing(60.0, actions=order), (demand,))
    assert (verdict.level, verdict.planned) == (1, 2)
    assert enforce(standing(51.0, actions=order), (demand,)).level == 2


def left(over: float, limit: float = 104.0, **facts: object) -> Standing:
    return standing(limit, spent=limit - over, **facts)


def test_the_more_what_is_asked_for_has_scattered_the_earlier_an_action_is_taken_within_a_reserve() -> None:
    saving, rates = saver(1.0, 0.5), Rates((1.0, *(0.5,) * 5), (0.0,) * 6, NOW)
    assert enforce(left(52.8, asked=rates), (saving,)).level == 0
    assert enforce(left(52.8, asked=replace(rates, spread=0.5)), (saving,)).level == 1
    # However it scatters, a twentieth of the budget is left unused at most.
    assert enforce(left(54.5, asked=replace(rates, spread=9.0)), (saving,)).level == 0


def test_the_reserve_goes_as_the_end_comes_near() -> None:
    for hours in (100.0, 10.0, 1.0):
        assert enforce(left(0.5 * hours * 1.12, hours=hours), (saver(1.0, 0.5),)).level == 0
        assert enforce(left(0.5 * hours * 1.02, hours=hours), (saver(1.0, 0.5),)).level == 1


def test_an_action_is_taken_back_only_with_some_room() -> None:
    demand, held = saver(1.0, 0.5), {"level": 1, "level_since": NOW - timedelta(hours=1)}
    assert enforce(left(53.0), (demand,)).level == 0
    assert enforce(left(53.0, **held), (demand,)).level == 1
    assert enforce(left(54.0, **held), (demand,)).level == 0
    assert enforce(left(100.5, **held), (demand,)).level == 0, "what is left is enough to take it later"


def test_nobody_is_stopped_while_the_forecast_may_be_wrong_but_for_those_that_may_not_be_stopped() -> None:
    demands = (service("web", 0.5), training("low", 0.5, 52.0, EFFORT))
    verdict, every = enforce(standing(101.0), demands), len(ACTION_ORDER)
    assert (verdict.level, verdict.planned) == (every - 1, every)
    assert enforce(standing(95.0), demands).level == every
    # What is lost meanwhile must be made good by those that may be stopped: here that is little.
    critical = (service("web", 1.0, CRITICAL), training("low", 0.02, 2.0, EFFORT))
    assert enforce(standing(100.8), critical).level == every


def test_who_is_stopped_goes_by_class_then_kind_then_priority_then_cost_of_work() -> None:
    demands = (
        training("cheap", 1.0, 50.0, cost_per_work=1.0),
        training("dear", 1.0, 50.0, cost_per_work=2.0),
        training("urgent", 1.0, 50.0, priority=5, cost_per_work=9.0),
        training("spare", 1.0, 50.0, EFFORT, priority=9),
        service("web", 0.5),
    )
    assert enforce(standing(400.0), demands).stopped == frozenset()
    assert enforce(standing(240.0), demands).stopped == frozenset()  # The last one runs until the line.
    assert enforce(standing(180.0), demands).stopped == {"spare"}
    assert enforce(standing(145.0), demands).stopped == {"spare", "dear"}
    assert enforce(standing(90.0), demands).stopped == {"spare", "dear", "cheap"}


def test_the_latency_critical_are_never_stopped_and_the_budget_says_that_it_will_not_hold() -> None:
    verdict = enforce(standing(50.0), (service("web", 1.0, CRITICAL), training("t", 1.0, 9.0)))
    assert verdict.stopped == {"t"}
    assert verdict.unreachable


def test_without_suspend_nobody_is_stopped_and_that_is_said() -> None:
    order = (BudgetAction.CHEAPER_VARIANT,)
    demand = replace(service("s", 1.0), per_hour=(1.0, 1.0))
    verdict = enforce(standing(50.0, actions=order), (demand,))
    assert verdict.stopped == frozenset()
    assert verdict.unreachable


def test_at_the_line_all_stop_before_it() -> None:
    rate = 10.0
    stopping = rate * STOP_SECONDS / 3600.0
    near = standing(100.0, spent=100.0 - stopping)
    assert enforce(near, (training("t", rate, 50.0),)).stopped == {"t"}
    assert enforce(standing(100.0, spent=100.0 - 1.2 * stopping), (training("t", rate, 50.0),)).stopped == frozenset()


def test_what_is_not_metered_yet_counts_as_spent() -> None:
    late = replace(standing(100.0, spent=98.0), accounted_until=NOW - timedelta(minutes=15))
    verdict = enforce(late, (training("t", 10.0, 50.0),))
    assert verdict.spent_now > 100.0
    assert verdict.stopped == {"t"}


def test_a_training_that_can_wait_for_the_next_period_is_put_off_and_not_stopped() -> None:
    waits = Demand("w", STANDARD, False, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0), (80.0, 80.0, 80.0, 0.0, 0.0, 0.0), 1.0,
                   may_wait=True)  # fmt: skip
    verdict = enforce(standing(100.0), (waits, training("t", 1.0, 90.0)))
    assert verdict.waiting == {"w"}
    assert verdict.stopped == frozenset()
    assert verdict.level == 3
    assert enforce(standing(200.0), (waits, training("t", 1.0, 90.0))).waiting == frozenset()


def test_a_best_effort_service_goes_below_its_targets_before_anybody_is_stopped() -> None:
    saving = (1.0, 1.0, 0.9, 0.9, 0.9, 0.9)
    verdict = enforce(standing(130.0), (service("web", 1.0), service("toy", 1.0, EFFORT, saving)))
    assert verdict.caps_per_hour.keys() >= {"toy"}
    assert "web" not in verdict.caps_per_hour
    assert "toy" not in verdict.stopped


@dataclass
class World:
    """A closed loop: what is decided takes effect late, what is spent is metered late."""

    limit: float
    hours: float
    demands: tuple[Demand, ...]
    noise: tuple[float, ...]
    step_seconds: float = 10.0
    lag_seconds: float = 25.0
    effect_seconds: float = 60.0
    spent: float = 0.0
    verdicts: list[Verdict] = field(default_factory=list)
    first_stop_share: float | None = None

    def run(self) -> None:
        metered: list[float] = []
        left = {d.key: d.ahead[0] if d.ahead else 0.0 for d in self.demands}
        level, since, asked, stopped = 0, None, Rates(), frozenset[str]()
        running, pending = {d.key for d in self.demands}, list[tuple[float, frozenset[str]]]()
        end = NOW + timedelta(hours=self.hours)
        for step in range(int(self.hours * 3600.0 / self.step_seconds)):
            at = step * self.step_seconds
            now = NOW + timedelta(seconds=at)
            lag = min(at, self.lag_seconds)
            seen = metered[-1 - int(lag / self.step_seconds)] if len(metered) > lag / self.step_seconds else 0.0
            hours_left = (end - now).total_seconds() / 3600.0
            asks = tuple(
                replace(
                    d,
                    holds_per_hour=max(d.per_hour) * 1.2 if d.key in running else 0.0,
                    ahead=d.ahead and tuple(min(left[d.key], rate * hours_left) for rate in d.per_hour),
                )
                for d in self.demands
                if d.service or left[d.key] > 0.0
            )
            stand = Standing(
                self.limit, seen, now - timedelta(seconds=lag), now, end, ACTION_ORDER, level, since, asked
            )
            verdict = enforce(stand, asks)
            self.verdicts.append(verdict)
            level, since, asked = verdict.level, verdict.level_since, verdict.asked
            if verdict.stopped and self.first_stop_share is None:
                self.first_stop_share = self.spent / self.limit
            if verdict.stopped != stopped:
                stopped = verdict.stopped
                pending.append((at + self.effect_seconds, stopped))
            while pending and pending[0][0] <= at:
                running = {d.key for d in self.demands} - pending.pop(0)[1]
            self._spend(running, left, level, verdict, self.noise[step % len(self.noise)])
            metered.append(self.spent)

    def _spend(self, running: set[str], left: dict[str, float], level: int, verdict: Verdict, noise: float) -> None:
        for demand in self.demands:
            if demand.key not in running or (not demand.service and left[demand.key] <= 0.0):
                continue
            rate = min(demand.per_hour[level] * noise, verdict.caps_per_hour.get(demand.key, float("inf")))
            spent = rate * self.step_seconds / 3600.0
            self.spent += spent
            left[demand.key] -= 0.0 if demand.service else spent


@st.composite
def worlds(draw: st.DrawFn) -> World:
    hours = draw(st.sampled_from([2.0, 5.0]))
    saved = sorted(draw(st.lists(st.floats(0.5, 1.0), min_size=5, max_size=5)), reverse=True)
    shares = (1.0, *saved)
    demands = []
    for i in range(draw(st.integers(1, 5))):
        rate = draw(st.floats(0.1, 5.0))
        slo = draw(st.sampled_from([STANDARD, EFFORT]))
        if draw(st.booleans()):
            demands.append(service(f"s{i}", rate, slo, shares))
        else:
            per_hour = tuple(rate * share for share in shares)
            work = draw(st.floats(0.2, 2.0)) * rate * hours
            demands.append(Demand(f"t{i}", slo, False, per_hour, (work,) * 6, priority=draw(st.integers(0, 2))))
    noise = draw(st.lists(st.floats(0.8, 1.2), min_size=1, max_size=7))
    asked = sum(d.per_hour[0] * hours if d.service else min(d.ahead[0], d.per_hour[0] * hours) for d in demands)
    limit = asked * draw(st.floats(0.1, 1.3))
    return World(limit, hours, tuple(demands), tuple(noise))


@settings(max_examples=40)
@given(world=worlds())
def test_a_budget_holds_in_any_world_and_is_used_up_before_work_is_refused(world: World) -> None:
    world.run()
    assert world.spent <= 1.01 * world.limit
    fastest = sum(d.per_hour[0] for d in world.demands)
    refused = any(v.stopped for v in world.verdicts[-3:])
    # Two minutes at full rate are kept for stopping; of a budget that lasts longer than that, the rest is used.
    kept = 2.0 * 1.25 * fastest * STOP_SECONDS / 3600.0
    if refused:
        assert world.spent >= min(0.95 * world.limit, world.limit - kept)


@settings(max_examples=25)
@given(world=worlds())
def test_nobody_is_stopped_before_all_cheaper_actions_are_taken(world: World) -> None:
    world.run()
    for verdict in world.verdicts:
        if verdict.stopped:
            assert verdict.level == len(ACTION_ORDER)
            assert verdict.forecast[verdict.level - 1] > 0.98 * world.limit


def test_work_that_is_not_begun_is_told_what_is_left_for_it_and_what_it_would_take() -> None:
    small, waits = standing(0.05, period_end=None), training("t", 1.0, 50.0, holds_per_hour=0.0)
    verdict = enforce(small, (waits,))
    assert verdict.stopped == {"t"}
    budget = Budget.model_validate({"name": "b", "costUSD": "0.05", "period": "Total"})
    assert (
        "pays for 3 min, and nothing is begun for less than 10" in stop_reason("p", budget, small, verdict, 1.0).message
    )
    # What runs already uses it up; and with more, the rank decides.
    assert enforce(small, (replace(waits, holds_per_hour=1.0),)).stopped == frozenset()
    several = enforce(standing(1.0), (training("first", 1.0, 50.0, priority=1), waits))
    assert several.stopped == {"t"}
    assert "higher rank" in stop_reason("p", budget, standing(1.0), several, 1.0).message
