"""A budget over a day through the operator's whole plan: Snapshot in, decisions out, status as the only memory."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.unit.worlds import NOW, hardware, job, policy, snapshot, training
from trimtab.api.common import Usage
from trimtab.api.training import TrainingAction
from trimtab.apply.other_status import policy_status
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import PolicyState, TrainingMetrics, TrainingState, WorkloadPod

_STEP = timedelta(seconds=120)
_LAG = timedelta(seconds=25)
_REPLICA_USD_PER_HOUR = 0.5 / 8.0 * 0.10


@dataclass
class Loop:
    """The cluster, the meter and the operator's loop, in steps of two minutes."""

    cap: PolicyState
    names: dict[str, dict[str, Any]]
    replicas: dict[str, int] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    now: datetime = NOW
    spent: float = 0.0
    codes: set[str] = field(default_factory=set)
    stopped_at_share: list[float] = field(default_factory=list)

    def step(self) -> None:
        snap = snapshot(
            taken_at=self.now,
            policies=(self.cap,),
            training=tuple(self._training(name, spec) for name, spec in self.names.items()),
            hardware=(hardware(capacity_units=8.0, units_per_node=8.0),),
        )
        decided = plan(snap)
        before, rate = self.spent, sum(self.replicas.values()) * _REPLICA_USD_PER_HOUR
        for decision in decided.training:
            name = decision.key.partition("/")[2]
            self.replicas[name] = decision.replicas if decision.action is TrainingAction.RUN else 0
            self.codes |= {r.code for r in decision.reasons}
            self.codes |= {a for b in decided.policies[0].budgets for a in (b.action,)}
            if decision.reasons[0].code.startswith("Budget"):
                self.stopped_at_share.append(self.spent / 0.2)
        # What was decided takes effect in a step: until then what ran before is still paid for.
        self.spent += rate * _STEP / timedelta(hours=1)
        for name, count in self.replicas.items():
            self.done[name] = self.done.get(name, 0.0) + 5.0 * count * _STEP.total_seconds()
        self.now += _STEP
        share = (_STEP - _LAG) / _STEP
        usage = Usage(cost_usd=before + (self.spent - before) * share, accounted_until=self.now - _LAG)
        status = policy_status(self.cap, decided.policies[0], 2, {"day": usage}, self.now)
        self.cap = self.cap.model_copy(update={"status": status})

    def _training(self, name: str, spec: dict[str, Any]) -> TrainingState:
        count = self.replicas.get(name, 0)
        pods = tuple(
            WorkloadPod(
                name=f"{name}-{i}", hardware_class="local-cpu", phase="Running", ready=True, created_at=self.now - _STEP
            )
            for i in range(count)
        )
        state = training(
            name,
            minReplicas=1,
            maxReplicas=2,
            profiles=[{"hardwareClass": "local-cpu", "samplesPerSecond": 5}],
            job=job(suspended=not count, replicas=count or 2),
            pods=pods,
            metrics=TrainingMetrics(
                completed_samples=self.done.get(name, 0.0),
                total_samples=1e6,
                samples_per_second=5.0 * count,
                observed_at=self.now,
            ),
            **spec,
        )
        return state.model_copy(update={"meta": state.meta.model_copy(update={"name": name})})


def test_a_day_under_a_budget_through_the_whole_plan() -> None:
    cap = policy("cap", budgets=[{"name": "day", "costUSD": "0.2", "period": "Day"}])
    cap = cap.model_copy(update={"meta": cap.meta.model_copy(update={"created_at": NOW})})
    loop = Loop(cap, {"first": {"priority": 5}, "second": {}, "third": {}})
    while loop.now < NOW + timedelta(hours=12):
        loop.step()
    # Three trainings with two replicas each would spend 0.45 USD until midnight.
    assert 0.95 * 0.2 <= loop.spent <= 1.01 * 0.2
    assert {"FewerReplicas", "Suspend", "BudgetNearlyExhausted"} & loop.codes
    # The first has the highest rank: it did the most.
    assert loop.done["first"] >= loop.done["second"]
    assert loop.done["first"] >= loop.done["third"]
    loop.step()
    loop.step()
    (status,) = loop.cap.status.budgets
    assert status.period_start == NOW + timedelta(hours=12)
    assert status.spent < 0.01
    assert 1 <= sum(loop.replicas.values()) <= 6
