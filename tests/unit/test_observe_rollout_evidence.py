"""What is read of a roll-out's two variants."""

from datetime import timedelta

import pytest

from tests.unit.test_plan_rollout import FP32_SERVES, running, state
from tests.unit.worlds import NOW
from trimtab.observe.rollout_evidence import COUNTERS, evidence_queries, rollout_intervals
from trimtab.observe.series import Series

T = NOW.timestamp()


def series(version: str, *values: float, model: str = "digits", first: float = T - 30) -> Series:
    """Increases at the ends of intervals of 15 s."""
    return Series({"model": model, "version": version}, tuple((first + 15 * i, v) for i, v in enumerate(values)))


def test_nothing_is_asked_without_a_roll_out() -> None:
    assert evidence_queries([state(FP32_SERVES)], 15.0, NOW) == {}


def test_it_is_asked_once_for_all_since_the_oldest_began() -> None:
    young, old = state(running(60)), state(running(300))
    queries = evidence_queries([young, old, state(FP32_SERVES)], 15.0, NOW)
    assert tuple(queries) == COUNTERS
    assert queries["nv_inference_request_failure"] == (
        "sum by (namespace, workload, model, version) (increase(nv_inference_request_failure"
        '{workload_kind="ServingWorkload",workload!=""}[15000ms]))[300000ms:15000ms]'
    )


def test_each_variant_gets_its_own_figures() -> None:
    found = {
        "nv_inference_request_success": [series("1", 90, 80, 70), series("2", 9, 8, 0), series("2", 5, model="other")],
        "nv_inference_request_failure": [series("1", 0, 0, 0), series("2", 1, 0, 2)],
        "nv_inference_request_duration_us": [series("1", 90e4, 80e4, 70e4), series("2", 9e4, 8e4, 0)],
        "nv_inference_queue_duration_us": [series("1", 0, 0, 0), series("2", 0, 4e4, 0)],
    }
    first, second, third = rollout_intervals(state(running(60)), found, 15.0)
    assert (first.candidate.requests, first.candidate.failures) == (10, 1)
    assert (first.candidate.latency_ms, first.stable.latency_ms) == (10.0, 10.0)
    # 5 ms of queue and 5 ms of work, for the 95th percentile of a wait that is exponential.
    assert second.candidate.latency_ms == pytest.approx(5 + 5 * 2.9957, abs=1e-3)
    assert (third.candidate.requests, third.candidate.failures, third.candidate.latency_ms) == (2, 2, None)


def test_what_was_before_the_roll_out_is_not_its_own() -> None:
    found = {"nv_inference_request_success": [series("1", 90, 80, 70)]}
    ends = [one.ends_at for one in rollout_intervals(state(running(30)), found, 15.0)]
    assert ends == [NOW - timedelta(seconds=15), NOW]
