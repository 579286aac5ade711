"""The level of a load whose bursts are absorbed: headroom by what the past tells, waiting by what the target allows."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.plan.fleet.demand import demand, patience_seconds
from trimtab.plan.fleet.level import SURGE_MEAN, level, unknown_share
from trimtab.plan.fleet.problem import Load, Option, Running, Settings, Target, Workload
from trimtab.plan.fleet.profiles import BatchProfile

OPTION = Option("fp32", "pool", 0.9, BatchProfile((1,), (0.01,)), usd_per_hour=1.0, start_seconds=90.0)
ABSORBS = Settings(load_window_seconds=60.0, drain_seconds=90.0, scale_down_stabilization_seconds=180.0)
RATES = st.lists(st.floats(0.0, 1e4), min_size=1, max_size=60)


def workload(rates: list[float], settings: Settings = ABSORBS, bound_seconds: float = 2.0, **load: float) -> Workload:
    return Workload("a", (OPTION,), Target(bound_seconds, 0.99), Load(tuple(rates), **load), settings)


def headroom(rates: np.ndarray, confidence: float = 0.9) -> float:
    found = level(rates[None, :], 10.0, 100.0, 60.0, confidence)
    return float(found.ready_for[0] / found.mean[0] - 1.0)


def test_the_level_is_the_mean_of_three_windows() -> None:
    rates = np.arange(100.0, 104.0, 0.1)
    assert level(rates[None, :], 10.0, 100.0, 60.0, 0.5).mean[0] == pytest.approx(rates[-18:].mean())


def test_a_constant_load_keeps_the_assumed_surge_only_as_far_as_its_past_is_short() -> None:
    surge = -SURGE_MEAN * np.log(0.1)  # The 90 % quantile of an exponential rise.
    assert headroom(np.full(30, 5.0)) == pytest.approx(surge * unknown_share(300.0, 100.0))
    found = [headroom(np.full(count, 5.0)) for count in (12, 30, 90, 360)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9 * surge
    assert found[-1] < 0.5 * surge


def test_who_has_error_budget_left_assumes_less_of_a_surge() -> None:
    constant = np.full(30, 5.0)
    found = [headroom(constant, confidence) for confidence in (0.2, 0.4, 0.6, 0.9)]
    assert found == sorted(found)
    assert found[0] < 0.3 * found[2]


def test_a_load_that_wanders_gets_more_headroom_than_a_constant_one() -> None:
    # Ten minutes up, ten minutes down.
    wanders = 10.0 + 3.0 * np.sin(np.arange(360) * 2.0 * np.pi / 120.0)
    assert headroom(wanders) > headroom(np.full(360, 10.0)) + 0.05
    assert headroom(wanders, 0.95) > headroom(wanders, 0.7)


def test_a_rise_is_followed_before_the_level_has_followed_it() -> None:
    steady, risen = np.full(60, 10.0), np.concatenate((np.full(54, 10.0), np.full(6, 13.0)))
    of_steady, of_risen = (level(r[None, :], 10.0, 100.0, 60.0, 0.5) for r in (steady, risen))
    assert of_risen.mean[0] == pytest.approx(11.0)
    assert of_risen.ready_for[0] > 13.0
    assert of_steady.ready_for[0] < 13.0


def test_a_step_counts_as_soon_as_its_arrivals_prove_it() -> None:
    steady, step = np.full(60, 20.0), np.concatenate((np.full(59, 20.0), [40.0]))
    of_steady, of_step = (level(r[None, :], 10.0, 100.0, 60.0, 0.5) for r in (steady, step))
    # 400 arrivals in 10 s: two standard deviations of that count below it, and a tenth more.
    scatter = 200.0**2 / 59.0 / 2.0
    deviation = np.sqrt(401.0 * scatter / (59 * 200.0 + 400.0) * 60.0)
    assert of_step.ready_for[0] == pytest.approx(1.1 * (400.0 - 2.0 * deviation) / 10.0)
    assert of_steady.ready_for[0] < 24.0


def test_a_burst_that_may_wait_within_the_target_proves_nothing() -> None:
    step = np.concatenate((np.full(59, 20.0), [40.0]))
    prompt, patient = (level(step[None, :], 10.0, 100.0, 60.0, 0.5, waits) for waits in (2.0, 30.0))
    assert prompt.ready_for[0] > 1.2 * patient.ready_for[0]


def test_a_burst_proves_nothing_where_bursts_are_usual() -> None:
    bursty = np.where(np.arange(60) % 2 == 0, 5.0, 35.0)
    found = level(bursty[None, :], 10.0, 100.0, 60.0, 0.5)
    assert found.ready_for[0] < 20.0 * (1.0 + SURGE_MEAN)


@given(rates=RATES, over=st.floats(1.0, 300.0), ahead=st.floats(10.0, 600.0), confidence=st.floats(0.01, 0.99))
def test_nobody_is_made_ready_for_less_than_the_level(
    rates: list[float], over: float, ahead: float, confidence: float
) -> None:
    found = level(np.array([rates]), 10.0, ahead, over, confidence)
    assert np.isfinite(found.ready_for).all()
    assert found.ready_for[0] >= found.mean[0] >= min(rates) * (1.0 - 1e-9)


def test_a_patient_target_lets_a_rise_wait_and_a_prompt_one_does_not() -> None:
    rates = [5.0] * 30
    found = demand((workload(rates, bound_seconds=0.5), workload(rates, bound_seconds=60.0)))
    prompt, patient = found.ready_for.tolist()
    assert prompt > 5.5
    assert patient == pytest.approx(5.0)


def test_what_may_wait_within_the_target_is_no_backlog() -> None:
    rates = [5.0] * 30
    found = demand(tuple(workload(rates, bound_seconds=60.0, pending_requests=n) for n in (0.0, 150.0, 240.0)))
    none, within, beyond = found.ready_for.tolist()
    assert within == none
    assert beyond == pytest.approx(none + 90.0 / 90.0)


def test_rounding_up_counts_as_headroom_and_never_goes_below_the_level() -> None:
    rates = [5.0] * 30
    new = workload(rates)
    small, large, alone = (replace(new, running=Running("fp32", "pool", count)) for count in (5, 100, 1))
    ready = demand((new, large, small, alone)).ready_for.tolist()
    assert ready == sorted(ready, reverse=True)
    assert ready[0] - ready[2] == pytest.approx(0.5)
    assert ready[3] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("rates", "settings"), [([5.0] * 11, ABSORBS), ([5.0] * 30, replace(ABSORBS, load_window_seconds=0.0))]
)
def test_without_a_past_or_where_nothing_absorbs_bursts_the_load_itself_counts(
    rates: list[float], settings: Settings
) -> None:
    plain = replace(settings, confidence=0.5)
    ready, behind = demand((workload(rates, plain), workload(rates, plain, pending_requests=9.0))).ready_for.tolist()
    assert ready == pytest.approx(5.0)
    assert behind == pytest.approx(5.1)


def test_unspent_budget_shortens_patience_once_the_past_is_known() -> None:
    known = [5.0] * 360
    assert patience_seconds(workload(known)) == 180.0
    assert patience_seconds(workload(known, late_share=0.02)) == 180.0
    spared, new = (patience_seconds(workload(rates, late_share=0.0)) for rates in (known, known[:12]))
    assert 120.0 <= spared < 150.0
    assert 170.0 < new < 180.0
