"""Each published policy on cases that can be worked out by hand, and on random ones what all of them must hold to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.training.scenes import random_workload, workload
from trimtab.simulate.inputs.training_jobs import ScalingProfile
from trimtab.simulate.training.account import Prices, account
from trimtab.simulate.training.intensity import Forecasts, Intensity
from trimtab.simulate.training.optimum import optimum
from trimtab.simulate.training.policies import (
    carbon_time,
    carbonscaler,
    ecovisor,
    lowest_slot,
    lowest_window,
    run_at_once,
    static_oracle,
    suspend_resume,
)
from trimtab.simulate.training.replay import plan_at_arrival
from trimtab.simulate.training.run import BASELINES
from trimtab.simulate.training.runs import Runs

GRID = Intensity(0, np.array([400.0, 300.0, 100.0, 500.0, 100.0, 100.0, 200.0, 400.0, 400.0, 400.0]))
PRICES = Prices(usd_per_unit_hour=1.0, usd_per_gram=0.0)


def stretches(runs: Runs) -> list[tuple[float, float, int]]:
    return list(zip(runs.start_hours.tolist(), runs.end_hours.tolist(), runs.replicas.tolist(), strict=True))


def test_run_at_once() -> None:
    assert stretches(run_at_once.plan(workload((0.25, 2.0, 3, 6)), GRID)) == [(0.25, 2.25, 1)]


def test_lowest_slot_starts_in_the_lowest_hour_and_knows_no_length() -> None:
    assert stretches(lowest_slot.plan(workload((0.5, 2.0, 1, 5)), GRID)) == [(2.0, 4.0, 1)]
    # The hour of arrival itself is the lowest: it starts at once.
    assert stretches(lowest_slot.plan(workload((2.5, 1.0, 1, 1)), GRID)) == [(2.5, 3.5, 1)]


def test_lowest_window_goes_by_the_expected_length() -> None:
    jobs = workload((0.0, 1.0, 1, 6), expected_hours=2.0)
    # Windows of two hours cost 700, 400, 600, 600, 200, 300, 600: the fifth is the lowest.
    assert stretches(lowest_window.plan(jobs, GRID)) == [(4.0, 5.0, 1)]


def test_carbon_time_weighs_savings_by_completion() -> None:
    jobs = workload((0.0, 1.0, 1, 6), expected_hours=1.0)
    # Saved per hour to completion: waiting 1 h saves 100/2, 2 h 300/3, 4 h 300/5.
    assert stretches(carbon_time.plan(jobs, GRID)) == [(2.0, 3.0, 1)]


def test_suspend_resume_takes_the_lowest_hours() -> None:
    assert stretches(suspend_resume.plan(workload((0.0, 2.5, 1, 4)), GRID)) == [(2.0, 3.0, 1), (4.0, 5.5, 1)]


def test_ecovisor_runs_below_its_threshold_until_its_wait_is_used_up() -> None:
    day = Intensity(0, np.concatenate([GRID.grams_per_kwh, np.full(20, 450.0)]))
    # The lowest 30 % of a day are 7.2 hours; the eighth lowest hour, of 400, is the threshold.
    assert stretches(ecovisor.plan(workload((0.0, 3.0, 1, 6)), day)) == [(1.0, 3.0, 1), (4.0, 5.0, 1)]
    assert stretches(ecovisor.plan(workload((0.0, 3.0, 1, 0.5)), day)) == [(0.5, 3.5, 1)]


def test_carbonscaler_adds_replicas_where_they_do_most_for_their_carbon() -> None:
    profile = ScalingProfile(np.array([1.0, 1.8]), np.array([1.0, 2.0]))
    jobs = workload((0.0, 2.8, 1, 3.2), scaling=profile)
    # Of the hours to 6: three of 100 take one replica first; no second one is worth 125 before these three are used.
    assert stretches(carbonscaler.plan(jobs, GRID)) == [(2.0, 3.0, 1), (4.0, 5.8, 1)]
    tight = workload((2.0, 1.8, 1, 0.0), scaling=profile)
    assert stretches(carbonscaler.plan(tight, GRID)) == [(2.0, 3.0, 2)]


def test_static_oracle_takes_the_best_single_scale() -> None:
    profile = ScalingProfile(np.array([1.0, 1.9]), np.array([1.0, 2.0]))
    assert stretches(static_oracle.plan(workload((2.0, 1.9, 1, 0.0), scaling=profile), GRID)) == [(2.0, 3.0, 2)]
    assert stretches(static_oracle.plan(workload((4.0, 1.9, 1, 0.0), scaling=profile), GRID)) == [(4.0, 5.9, 1)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), error_pct=st.sampled_from([0.0, 15.0]))
def test_every_policy_does_the_work_in_time_and_none_beats_the_optimum(seed: int, error_pct: float) -> None:
    rng = np.random.default_rng(seed)
    profile = ScalingProfile(np.cumsum([1.0, 0.9, 0.6]), np.array([1.0, 2.0, 3.1]))
    jobs = random_workload(rng, 25, profile)
    truth = Intensity(0, rng.uniform(20.0, 600.0, 150))
    limit = account("optimum", optimum(jobs, truth, PRICES), jobs, truth, PRICES)
    assert limit.deadline_misses == 0
    for name, plan in BASELINES.items():
        runs, _ = plan_at_arrival(name, plan, jobs, Forecasts(truth, error_pct, seed))
        done = np.bincount(runs.job, runs.hours * profile.speed[runs.replicas - 1], len(jobs))
        np.testing.assert_allclose(done, jobs.length_hours, atol=1e-6, err_msg=name)
        result = account(name, runs, jobs, truth, PRICES)
        assert result.deadline_misses == 0, name
        assert (runs.start_hours >= jobs.arrival_hours[runs.job] - 1e-9).all(), name
        assert result.carbon_g >= limit.carbon_g * (1 - 1e-9), name


def test_figures_are_those_of_the_runs() -> None:
    jobs = workload((0.0, 2.5, 2, 4), (1.5, 1.0, 1, 6))
    result = account("suspend-resume", suspend_resume.plan(jobs, GRID), jobs, GRID, PRICES, [0.001, 0.003])
    assert result.carbon_g == pytest.approx(2 * (100 + 100 + 50) + 100)
    assert result.energy_kwh == pytest.approx(2 * 2.5 + 1)
    assert result.cost == result.replica_hours == pytest.approx(6.0)
    assert result.switches == 1
    assert result.outcomes.wait_hours.tolist() == pytest.approx([3.0, 0.5])
    assert result.mean_jct_h == pytest.approx((5.5 + 1.5) / 2)
    assert result.timeline.units.tolist() == pytest.approx([0, 0, 3, 0, 2, 1])
    assert result.timeline.demand.tolist() == pytest.approx([1, 1.5, 2, 1, 1, 0.5])
    assert result.plan_ms_p50 == pytest.approx(2.0)
