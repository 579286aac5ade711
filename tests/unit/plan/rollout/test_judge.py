"""How a roll-out goes on, by what both variants did."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worlds import NOW
from trimtab.api.rollout import Rollout, RolloutPhase, RolloutStatus
from trimtab.plan.rollout.judge import judge
from trimtab.plan.serving_facts import RolloutCounts, RolloutInterval

BOUND_MS = 100.0
BEGUN = RolloutStatus(phase=RolloutPhase.RUNNING, stable="fp32", candidate="int8", started_at=NOW)


def interval(
    index: int,
    candidate: tuple[float, float, float | None] = (25, 0, 20.0),
    stable: tuple[float, float, float | None] = (100, 0, 20.0),
) -> RolloutInterval:
    """(requests, failures, latency in ms) of both."""
    return RolloutInterval(
        ends_at=NOW + timedelta(seconds=15 * (index + 1)),
        candidate=RolloutCounts(requests=candidate[0], failures=candidate[1], latency_ms=candidate[2]),
        stable=RolloutCounts(requests=stable[0], failures=stable[1], latency_ms=stable[2]),
    )


def after(count: int, spec: dict[str, Any] | None = None, **arms: Any) -> RolloutStatus:
    """The verdict after so many intervals of 15 s."""
    intervals = [interval(i, **arms) for i in range(count)]
    return judge(Rollout.model_validate(spec or {}), BEGUN, intervals, BOUND_MS, NOW + timedelta(seconds=15 * count))


def test_a_candidate_as_good_as_what_serves_is_promoted_once_its_requests_show_it() -> None:
    early, late = after(20), after(32)
    assert (early.phase, early.reason, early.ended_at) == (RolloutPhase.RUNNING, "Comparing", None)
    assert (late.phase, late.reason, late.ended_at) == (
        RolloutPhase.PROMOTED, "CandidateIsNoWorse", NOW + timedelta(minutes=8),
    )  # fmt: skip
    assert "int8 failed 0 of 800 requests" in late.message


def test_however_many_requests_it_serves_for_the_least_time() -> None:
    verdict = after(8, candidate=(1000, 0, 20.0))
    assert (verdict.phase, verdict.reason) == (RolloutPhase.RUNNING, "WaitsForMinDuration")


def test_one_that_fails_requests_goes_back_within_a_minute() -> None:
    verdict = after(3, candidate=(25, 3, 20.0))
    assert (verdict.phase, verdict.reason) == (RolloutPhase.RETURNED, "CandidateFailsMore")
    assert "int8 failed 9 of 75 requests, and fp32 failed 0 of 300" in verdict.message


def test_one_that_is_late_where_the_other_is_not_goes_back() -> None:
    assert after(6, candidate=(25, 0, 150.0)).phase is RolloutPhase.RUNNING
    verdict = after(7, candidate=(25, 0, 150.0))
    assert (verdict.phase, verdict.reason) == (RolloutPhase.RETURNED, "CandidateIsLate")


def test_a_rush_that_makes_both_late_is_nobodys_fault() -> None:
    verdict = after(40, candidate=(25, 0, 150.0), stable=(100, 0, 150.0))
    assert verdict.phase is RolloutPhase.PROMOTED


def test_without_requests_it_is_undecided_to_the_end_and_then_as_asked() -> None:
    idle = {"candidate": (0, 0, None), "stable": (0, 0, None)}
    assert after(119, **idle).phase is RolloutPhase.RUNNING
    assert (after(120, **idle).phase, after(120, **idle).reason) == (RolloutPhase.RETURNED, "Inconclusive")
    assert after(120, {"inconclusive": "Promote"}, **idle).phase is RolloutPhase.PROMOTED


rates = st.tuples(st.floats(0, 500), st.floats(0, 1), st.none() | st.floats(0, 500))


@given(st.lists(st.tuples(rates, rates), max_size=30), st.integers(0, 4000))
def test_any_evidence_gives_a_verdict_that_can_be_written(
    rows: list[tuple[tuple[float, float, float | None], tuple[float, float, float | None]]], seconds: int
) -> None:
    def counts(row: tuple[float, float, float | None]) -> RolloutCounts:
        return RolloutCounts(requests=row[0], failures=row[0] * row[1], latency_ms=row[2])

    intervals = [RolloutInterval(ends_at=NOW, candidate=counts(a), stable=counts(b)) for a, b in rows]
    verdict = judge(Rollout(), BEGUN, intervals, BOUND_MS, NOW + timedelta(seconds=seconds))
    assert RolloutStatus.model_validate(verdict.model_dump(mode="json", by_alias=True)) is not None
    assert (verdict.ended_at is None) == (verdict.phase is RolloutPhase.RUNNING)
    again = judge(Rollout(), BEGUN, intervals, BOUND_MS, NOW + timedelta(seconds=seconds))
    assert again == verdict
