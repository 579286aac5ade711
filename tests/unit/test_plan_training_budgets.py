"""Budgets and the schedule of trainings, from a Snapshot: who is put off, by how much, and what is said."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_plan_budget_orders import capped, spent
from tests.unit.worlds import NOW, carbon, hardware, policy, snapshot, training
from trimtab.api.budget import BudgetStatus
from trimtab.api.common import Usage
from trimtab.api.policy import EfficiencyPolicyStatus
from trimtab.api.training import TrainingAction
from trimtab.plan.decisions import Plan, TrainingDecision
from trimtab.plan.planner import plan
from trimtab.plan.snapshot import PolicyState, TrainingMetrics, TrainingState

LATER = {"actions": ["LaterSlots", "Suspend"]}
MONTH_END = datetime(2026, 12, 1, tzinfo=UTC)
USD_PER_HOUR = 0.10 / 2.0
"""Of one training: a gang of two half cores on nodes of two cores for 0.10 USD an hour."""


def trains(name: str, hours: float, within: str | None = None, **facts: object) -> TrainingState:
    """A training with so many hours of work, at ten samples a second."""
    left = hours * 36_000.0
    metrics = TrainingMetrics(completed_samples=0.0, total_samples=left, samples_per_second=10.0, observed_at=NOW)
    profile = [{"hardwareClass": "local-cpu", "samplesPerSecond": 5}]
    targets = {"completeWithin": within} if within else {}
    return training(name, work={"totalSamples": int(left)}, profiles=profile, targets=targets,
                    **{"metrics": metrics, **facts})  # type: ignore[arg-type]  # fmt: skip


def planned(*states: TrainingState, left_usd: float, units: float = 16.0, **spec: object) -> Plan:
    state = spent(capped("10", budget={**LATER, **spec}), 10.0 - left_usd)  # type: ignore[arg-type]
    roomy = hardware(capacity_units=units, units_per_node=2.0, nodes=int(units / 2.0))
    return plan(snapshot(policies=(state,), training=states, hardware=(roomy,), carbon=(carbon("ES", 200.0),)))


def by_name(found: Plan) -> dict[str, TrainingDecision]:
    return {decision.key.partition("/")[2]: decision for decision in found.training}


def before(decision: TrainingDecision, until: datetime) -> float:
    """Hours that are planned until an instant."""
    return sum(
        max(0.0, (min(slot.end, until) - slot.start).total_seconds()) / 3600.0
        for slot in decision.schedule
        if slot.replicas and slot.start < until
    )


def test_who_has_to_be_done_in_this_period_has_the_budget_and_who_has_time_is_put_off() -> None:
    """Both want ten hours, 0.5 USD each, and there are 0.7 USD: by their deadlines both can have what they want."""
    found = by_name(planned(trains("patient", 10.0, "400h"), trains("urgent", 10.0, "24h"), left_usd=0.7))
    urgent, patient = found["urgent"], found["patient"]
    assert urgent.action is TrainingAction.RUN
    assert before(urgent, MONTH_END) == pytest.approx(10.0, abs=0.02)
    # 0.2 USD are left for the patient one, and the rest of it is done in December.
    assert before(patient, MONTH_END) <= 4.0 + 1e-6
    assert sum(before(patient, NOW + timedelta(hours=h)) for h in (500,)) == pytest.approx(10.0, abs=0.05)
    assert all(next(c for c in d.conditions if c.type == "TargetsFeasible").status == "True" for d in found.values())


def test_put_off_entirely_it_says_which_budget_until_when_and_what_running_would_cost() -> None:
    found = by_name(planned(trains("patient", 10.0, "400h"), trains("urgent", 10.0, "24h"), left_usd=0.501))
    patient = found["patient"]
    assert (patient.action, patient.reasons[0].code) == (TrainingAction.WAIT, "BudgetLaterSlots")
    assert "budget month of policy demo/cap" in patient.reasons[0].message
    assert "put off until 2026-12-01 00:00 UTC" in patient.reasons[0].message
    assert before(patient, MONTH_END) == 0.0


def test_a_budget_that_cannot_hold_what_is_due_says_by_how_much() -> None:
    found = planned(trains("urgent", 10.0, "24h"), left_usd=0.4, actions=["LaterSlots"])
    (decision,) = found.training
    assert decision.action is TrainingAction.RUN
    (reason,) = (r for r in decision.reasons if r.code == "BudgetTooSmall")
    # 0.5 USD of work, 0.4 USD less what stopping costs.
    assert "budget month of policy demo/cap lacks 0.1 USD" in reason.message


def test_days_that_follow_are_not_filled_beyond_their_own_budgets() -> None:
    """Three trainings of ten hours each have three days; a day has 0.6 USD: no day can have more than one of them."""
    status = BudgetStatus(
        name="day",
        period_start=datetime(2026, 11, 24, tzinfo=UTC),
        period_end=datetime(2026, 11, 25, tzinfo=UTC),
        usage=Usage(cost_usd=0.05, accounted_until=NOW - timedelta(seconds=25)),
    )
    budget = {"name": "day", "costUSD": "0.6", "period": "Day", **LATER}
    daily = policy("cap", budgets=[budget]).model_copy(update={"status": EfficiencyPolicyStatus(budgets=(status,))})
    states = tuple(trains(f"job-{i}", 10.0, "80h") for i in range(3))
    roomy = hardware(capacity_units=16.0, units_per_node=2.0, nodes=8)
    found = plan(snapshot(policies=(daily,), training=states, hardware=(roomy,), carbon=(carbon("ES", 200.0),)))
    midnights = [datetime(2026, 11, 25, tzinfo=UTC) + timedelta(days=d) for d in range(4)]
    until = [sum(before(d, at) for d in found.training) for at in midnights]
    assert until[0] * USD_PER_HOUR <= 0.55 + 1e-6
    assert (until[1] - until[0]) * USD_PER_HOUR <= 0.6 + 1e-6
    assert (until[2] - until[1]) * USD_PER_HOUR <= 0.6 + 1e-6
    assert until[3] == pytest.approx(30.0, abs=0.1)


def test_a_training_without_a_deadline_is_not_put_off_beyond_the_period() -> None:
    """That would be Suspend: its user did not say that it may be done next month."""
    found = by_name(planned(trains("open", 10.0), left_usd=0.4, actions=["LaterSlots"]))
    assert before(found["open"], MONTH_END) > 9.9


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.floats(1.0, 12.0), st.sampled_from([None, "24h", "300h", "600h"])), min_size=1, max_size=5),
    st.floats(0.01, 3.0),
)
def test_no_plan_spends_more_than_is_left_unless_it_says_so(
    work: list[tuple[float, str | None]], left_usd: float
) -> None:
    states = tuple(trains(f"job-{i}", hours, within) for i, (hours, within) in enumerate(work))
    found = planned(*states, left_usd=left_usd)
    assert planned(*states, left_usd=left_usd).training == found.training
    runs = [d for d in found.training if d.action in (TrainingAction.RUN, TrainingAction.WAIT)]
    usd = sum(before(d, MONTH_END) for d in runs) * USD_PER_HOUR
    said = any(
        r.code in ("BudgetTooSmall", "BudgetExhausted", "BudgetNearlyExhausted") for d in runs for r in d.reasons
    )
    assert usd <= left_usd + 1e-3 or said


def test_a_budget_with_room_plans_as_if_there_were_none() -> None:
    states = (trains("a", 10.0, "400h"), trains("b", 3.0))
    roomy = hardware(capacity_units=16.0, units_per_node=2.0, nodes=8)
    facts = {"training": states, "hardware": (roomy,), "carbon": (carbon("ES", 200.0),)}
    with_room: PolicyState = spent(capped("1000", budget=LATER), 10.0)
    assert plan(snapshot(policies=(with_room,), **facts)).training == plan(snapshot(**facts)).training
