"""A whole run as the command line starts it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.simulate.elastic.workloads import DATA, FIRST_20
from trimtab.plan.elastic.placement import ClusterShape
from trimtab.simulate.elastic.bound import least_mean_completion_seconds
from trimtab.simulate.elastic.ideal import Ideal
from trimtab.simulate.elastic.run import POLICIES, ElasticRun, run_elastic
from trimtab.simulate.inputs.carbon import CarbonSeries
from trimtab.simulate.results import PolicyResult

FAST = ("trimtab", "trimtab-priced", "optimum", "run-at-once", "tiresias", "optimus")
DAY = CarbonSeries("test", None, np.tile([100.0, 100.0, 600.0, 600.0], 12))
OPTIONS = ElasticRun(jobs=FIRST_20, nodes=4, policies=FAST, carbon=DAY)


@pytest.fixture(scope="module")
def results() -> dict[str, PolicyResult]:
    return {result.policy: result for result in run_elastic(OPTIONS)}


def test_every_policy_reports_all_figures(results: dict[str, PolicyResult]) -> None:
    assert tuple(results) == FAST
    for name, result in results.items():
        figures = result.figures()
        assert all(figures[key] is not None for key in ("carbon_g", "cost", "energy_kwh", "mean_jct_h"))
        if name == "optimum":
            continue
        assert len(result.outcomes.jct_hours) == 20
        assert result.cost == pytest.approx(result.replica_hours * OPTIONS.usd_per_gpu_hour)
        assert result.outcomes.carbon_grams.sum() == pytest.approx(result.carbon_g)
        assert 100 <= result.carbon_g / result.energy_kwh <= 600
        hours = np.diff(result.timeline.hours, append=result.timeline.hours[-1] + 1 / 60)
        assert float(hours @ result.timeline.units) == pytest.approx(result.replica_hours)


def test_nothing_is_below_the_bounds(results: dict[str, PolicyResult]) -> None:
    bound = results["optimum"]
    for result in results.values():
        assert result.ratio_to_optimum is not None
        assert result.ratio_to_optimum >= 1.0
        assert result.replica_hours >= bound.replica_hours
        assert result.energy_kwh >= bound.energy_kwh * 0.999
        assert result.carbon_g >= bound.carbon_g


def test_money_and_delay_are_traded(results: dict[str, PolicyResult]) -> None:
    (cheap,) = run_elastic(replace(OPTIONS, policies=("trimtab-priced",), usd_per_delay_hour=2.0))
    fast = results["trimtab"]
    assert cheap.cost < fast.cost
    assert (cheap.mean_jct_h or 0) > (fast.mean_jct_h or 0)


def test_a_price_of_carbon_moves_work_to_clean_hours() -> None:
    options = replace(OPTIONS, policies=("trimtab-priced",), usd_per_gpu_hour=0.0, usd_per_delay_hour=1.0)
    (blind,) = run_elastic(replace(options, usd_per_tonne=1.0))
    (aware,) = run_elastic(replace(options, usd_per_tonne=20000.0))
    assert aware.carbon_g / aware.energy_kwh < blind.carbon_g / blind.energy_kwh
    assert aware.carbon_g < blind.carbon_g


def test_the_forecast_error_is_seeded() -> None:
    options = replace(OPTIONS, policies=("trimtab-priced",), usd_per_tonne=20000.0, forecast_error_pct=20.0)
    one, same = (run_elastic(options)[0] for _ in "ab")
    assert one.carbon_g == same.carbon_g


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policies": ("fastest",)}, "'fastest' is unknown; for elastic jobs there are trimtab"),
        ({"nodes": 0}, "nodes is 0"),
        ({"gpus_per_node": 8}, "give 1 to 4"),
        ({"nodes": 2, "gpus_per_node": 4}, r"first-20\.csv.*asks for 12 GPUs of 8"),
        ({"usd_per_tonne": -1.0}, "usd_per_tonne is -1"),
        ({"usd_per_delay_hour": float("nan")}, "usd_per_delay_hour is nan"),
        ({"start_hour": 48}, "start hour 48"),
        ({"traces": DATA}, "no traces of this application"),
    ],
)
def test_wrong_options_are_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run_elastic(replace(OPTIONS, **changes))  # type: ignore[arg-type]


def test_a_batch_that_was_never_traced_is_said(tmp_path: Path) -> None:
    path = tmp_path / "w" / "workload.csv"
    path.parent.mkdir()
    path.write_text("name,time,application,num_replicas,batch_size\na,0,bert,1,1000\n")
    with pytest.raises(ValueError, match="bert is traced from 12 to 384"):
        run_elastic(replace(OPTIONS, jobs=path, traces=DATA / "traces"))


def test_policies_are_listed_in_the_order_of_the_report() -> None:
    assert POLICIES[0] == "trimtab"
    assert set(FAST) < set(POLICIES)


def test_the_bound_is_reached_by_one_job_alone() -> None:
    alone = Ideal(fastest_seconds=1000.0, least_gpu_seconds=1600.0, fastest_gpu_share=0.001)
    shape = ClusterShape(4, 4)
    # Submitted at 30 s, placed at 60 s, started at 90 s.
    assert least_mean_completion_seconds(np.array([30.0]), [alone], shape) == pytest.approx(1060.0)


def test_the_bound_counts_the_queue() -> None:
    job = Ideal(fastest_seconds=100.0, least_gpu_seconds=1600.0, fastest_gpu_share=0.01)
    shape = ClusterShape(4, 4)
    # Each fills the machine for 100 s: 50 jobs wait 25 times as long on the mean.
    bound = least_mean_completion_seconds(np.full(50, 60.0), [job] * 50, shape)
    assert bound == pytest.approx(30 + 100 * 51 / 2)
