"""Where units are short: the queue of the baselines, the planner in the loop, and the limit of both."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.training.scenes import PAI_1K, ciso, random_workload, series, workload
from trimtab.simulate.inputs.training_jobs import ScalingProfile
from trimtab.simulate.training.account import Prices, account
from trimtab.simulate.training.control import peaks
from trimtab.simulate.training.intensity import Forecasts, Intensity
from trimtab.simulate.training.limit import limit
from trimtab.simulate.training.policies import planner, run_at_once, suspend_resume
from trimtab.simulate.training.queueing import carry_out
from trimtab.simulate.training.run import TrainingRun, run_training
from trimtab.simulate.training.runs import Runs
from trimtab.simulate.training.shared_dual import dual_bound
from trimtab.simulate.training.shared_optimum import _programme
from trimtab.simulate.training.shared_programme import solve
from trimtab.simulate.training.workload import Workload

PRICES = Prices(1.0, 0.0)


def most_units(runs: Runs, jobs: Workload) -> float:
    edges = np.array([0.0, float(runs.end_hours.max()) + 1.0])
    units = (jobs.units[runs.job] * runs.replicas).tolist()
    return float(peaks(edges, list(zip(runs.start_hours.tolist(), runs.end_hours.tolist(), units, strict=True)))[0])


def test_the_queue_is_first_in_first_out_and_nobody_overtakes() -> None:
    jobs = workload((0.0, 2.0, 3, 6), (0.5, 1.0, 2, 6), (0.6, 1.0, 1, 6))
    plan = run_at_once.plan(jobs, Intensity(0, np.ones(10)))
    ran = carry_out(plan, jobs, 4)
    # The third would fit beside the first; it waits for the second, which came before it.
    assert ran.start_hours.tolist() == [0.0, 2.0, 2.0]


def test_a_start_takes_its_overhead_and_the_rest_moves_back() -> None:
    jobs = workload((0.0, 2.5, 1, 4), switch_hours=0.25)
    grid = Intensity(0, np.array([400.0, 300.0, 100.0, 500.0, 100.0, 100.0, 200.0]))
    ran = carry_out(suspend_resume.plan(jobs, grid), jobs, None)
    assert ran.start_hours.tolist() == [2.0, 4.0]
    assert ran.end_hours.tolist() == [3.25, 5.75]


def test_peaks_are_of_instants_not_of_slots() -> None:
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    assert peaks(edges, [(0.0, 0.5, 2.0), (0.5, 1.0, 3.0), (1.5, 2.5, 1.0)]).tolist() == [3.0, 1.0, 1.0]
    assert peaks(edges, [(0.0, 3.0, 1.0), (0.2, 0.4, 1.0), (0.3, 1.0, 1.0)]).tolist() == [3.0, 1.0, 1.0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), error_pct=st.sampled_from([0.0, 10.0]), elastic=st.booleans())
def test_the_planner_in_the_loop_keeps_to_the_capacity_and_does_the_work(
    seed: int, error_pct: float, elastic: bool
) -> None:
    rng = np.random.default_rng(seed)
    profile = ScalingProfile(np.cumsum([1.0, 0.8]), np.array([1.0, 2.1])) if elastic else None
    jobs = random_workload(rng, 20, profile)
    truth = Intensity(0, rng.uniform(20.0, 600.0, 200))
    capacity = 8.0
    runs, seconds, _ = planner.simulate(jobs, Forecasts(truth, error_pct, seed), PRICES, capacity)
    assert most_units(runs, jobs) <= capacity + 1e-6
    assert (runs.start_hours >= jobs.arrival_hours[runs.job] - 1e-9).all()
    done = np.bincount(runs.job, runs.hours * jobs.scaling.speed[runs.replicas - 1], len(jobs))
    np.testing.assert_allclose(done, jobs.length_hours, atol=1e-5)
    assert len(seconds) > 0
    apart = Runs(runs.job, runs.start_hours, runs.end_hours, runs.replicas)
    same_job = apart.job[1:] == apart.job[:-1]
    assert (apart.start_hours[1:][same_job] >= apart.end_hours[:-1][same_job] - 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), elastic=st.booleans())
def test_more_units_never_cost_the_optimum_more_and_the_dual_is_below_it(seed: int, elastic: bool) -> None:
    rng = np.random.default_rng(seed)
    profile = ScalingProfile(np.cumsum([1.0, 0.8, 0.5]), np.array([1.0, 2.1, 3.3])) if elastic else None
    jobs = random_workload(rng, 30, profile)
    truth = Intensity(0, rng.uniform(20.0, 600.0, 200))
    limits = [limit(jobs, truth, PRICES, capacity).objective for capacity in (12.0, 24.0, 48.0, None)]
    assert all(more <= less * (1 + 1e-7) for less, more in pairwise(limits))
    programme = _programme(jobs, truth, PRICES, 12.0, late_hours=0.0)
    solution = solve(programme)
    assert solution is not None
    bound = dual_bound(programme)
    assert bound <= solution.objective * (1 + 1e-7)
    assert bound >= solution.objective * 0.9  # How close it comes depends on how its steps fall.
    assert limits[0] == pytest.approx(solution.objective, rel=1e-6)


def test_the_programme_agrees_with_each_job_at_its_own_best_where_there_is_room() -> None:
    rng = np.random.default_rng(5)
    profile = ScalingProfile(np.array([1.0, 1.7, 2.6]), np.array([1.0, 2.1, 3.0]))
    jobs, truth = random_workload(rng, 20, profile), Intensity(0, rng.uniform(20.0, 600.0, 150))
    for prices in (PRICES, Prices(2.0, 1e-3)):
        solution = solve(_programme(jobs, truth, prices, 1e6, late_hours=0.0))
        assert solution is not None
        assert limit(jobs, truth, prices, None).objective == pytest.approx(solution.objective, rel=1e-6)


def test_too_few_units_for_all_deadlines_is_said() -> None:
    jobs = workload(*[(0.0, 4.0, 1, 6) for _ in range(10)])
    truth = Intensity(0, np.full(80, 100.0))
    result = limit(jobs, truth, PRICES, 2.0).result
    assert "do not suffice for all deadlines" in result.notes[0]
    assert result.energy_kwh == pytest.approx(40.0)
    assert float(result.timeline.units.max()) <= 2.0 + 1e-6


def test_scarce_capacity_on_a_real_trace() -> None:
    run = TrainingRun(
        jobs=PAI_1K,
        carbon=ciso(),
        start_hour=7000,
        hours=48,
        capacity=23,
        policies=("trimtab", "run-at-once", "suspend-resume"),
    )
    ours, at_once, suspend = run_training(run)
    assert ours.carbon_g < at_once.carbon_g
    assert (ours.deadline_misses or 0) < (at_once.deadline_misses or 0) + (suspend.deadline_misses or 0)
    assert ours.ratio_to_optimum is not None
    assert 1.0 <= ours.ratio_to_optimum < 1.08


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policies": ("trimtab", "pollux")}, "format pollux"),
        ({"policies": ("best",)}, "'best' is unknown; the policies are trimtab, optimum, run-at-once"),
        ({"start_hour": 99}, "start hour 99 is not in the carbon series; give 0 to 9"),
        ({"capacity": 0.0}, "capacity is 0.0"),
        ({"forecast_error_pct": -1.0}, "forecast_error_pct is -1.0; give 0 or more"),
        ({"hours": float("nan")}, "hours is nan; give a number above 0"),
        ({"start_hour": 5}, "no job can take part"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("arrival_time,length,cpus\n0,1,1\n")
    options = {"jobs": path, "carbon": series(*[100.0] * 10), **changes}
    with pytest.raises(ValueError, match=said):
        run_training(TrainingRun(**options))  # type: ignore[arg-type]


def test_the_same_seed_is_the_same_run_and_policies_do_not_touch_each_other(tmp_path: Path) -> None:
    options = {"jobs": PAI_1K, "carbon": ciso(), "start_hour": 100, "hours": 24.0, "forecast_error_pct": 10.0}
    both = run_training(TrainingRun(**options, policies=("trimtab", "ecovisor")))  # type: ignore[arg-type]
    alone = run_training(TrainingRun(**options, policies=("ecovisor",)))  # type: ignore[arg-type]
    assert both[1].carbon_g == alone[0].carbon_g
    assert both[0].carbon_g == run_training(TrainingRun(**options, policies=("trimtab",)))[0].carbon_g  # type: ignore[arg-type]
    other = run_training(TrainingRun(**options, policies=("ecovisor",), seed=1))  # type: ignore[arg-type]
    assert other[0].carbon_g != alone[0].carbon_g


def test_money_counts_where_carbon_has_a_price() -> None:
    profile = ScalingProfile(np.array([1.0, 1.2]), np.array([1.0, 1.1]))
    jobs = workload((0.0, 2.4, 1, 0.0), scaling=profile)
    truth = Intensity(0, np.array([100.0, 100.0, 100.0, 100.0]))
    # A second replica adds a tenth of the power for a fifth of speed: good for carbon, dear in money.
    carbon_only = limit(jobs, truth, Prices(10.0, 0.0), None).result
    with_money = limit(jobs, truth, Prices(10.0, 1e-9), None).result
    assert carbon_only.carbon_g < with_money.carbon_g
    assert carbon_only.cost > with_money.cost
    runs, _, _ = planner.simulate(jobs, Forecasts(truth), Prices(10.0, 1e-9), None)
    assert account("trimtab", runs, jobs, truth, PRICES).energy_kwh == pytest.approx(with_money.energy_kwh)
