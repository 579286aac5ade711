"""Budgets over simulated days: they hold, are used up before work is refused, and stop nobody too early."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from trimtab.api.budget import BudgetAction
from trimtab.cli.main import app
from trimtab.plan.budget.problem import Demand, Standing, Verdict
from trimtab.simulate.budgets.hindsight import JudgedReplay
from trimtab.simulate.budgets.replay import BudgetRun, Replay
from trimtab.simulate.budgets.run import run_budget
from trimtab.simulate.budgets.study import day_of_load, every, study
from trimtab.simulate.budgets.world import Prices, Scaling, Unit
from trimtab.simulate.inputs.arrivals import read_azure
from trimtab.simulate.inputs.carbon import read_carbon
from trimtab.simulate.inputs.training_jobs import read_gaia

DATA = Path(__file__).parents[2] / "data"
JOBS = read_gaia(DATA / "gaia/pai_1k.csv")
GRID = read_carbon(DATA / "carbon/US-CAL-CISO_2022_hourly.csv").grams_per_kwh
LOAD = day_of_load(read_azure(DATA / "azure/conv_first_900.csv"))
NARROW = Scaling(units=0.25, speed=0.27, power=0.25)


def run(**options: object) -> BudgetRun:
    base = {"jobs": every(JOBS, 4), "intensity": GRID, "load": LOAD, "unit": Unit.COST, "hours": 76.0}
    return BudgetRun(**{**base, "limit": math.inf, "period": "Day", "narrow": NARROW, **options})  # type: ignore[arg-type]


def test_without_a_limit_nothing_is_done_and_everything_is_metered() -> None:
    free = run_budget(run())
    assert [set(p.actions) for p in free.whole] == [{"none"}] * 3
    assert all(p.spent > 0.0 and p.refused_hours == 0.0 for p in free.whole)
    # What the periods spent adds up to what was spent: nothing lies between two. Jobs begin with a step.
    again = run_budget(run(period="Week"))
    assert sum(p.spent for p in free.periods) == pytest.approx(sum(p.spent for p in again.periods), rel=1e-3)


@settings(max_examples=12)
@given(
    unit=st.sampled_from(list(Unit)),
    share=st.floats(0.15, 1.1),
    seed=st.integers(0, 1000),
    roll_over=st.sampled_from([0.0, 0.5]),
    first=st.integers(0, 6),
)
def test_a_budget_holds_and_is_used_up_in_any_world(
    unit: Unit, share: float, seed: int, roll_over: float, first: int
) -> None:
    grid = np.roll(GRID, -24 * 30 * first)
    free = run_budget(run(unit=unit, seed=seed, intensity=grid, hours=52.0))
    mean = float(np.mean([p.spent for p in free.whole]))
    given_ = {"unit": unit, "seed": seed, "intensity": grid, "hours": 52.0, "roll_over": roll_over}
    # Without the judgement by hindsight, which takes longer than all the rest.
    result = Replay(run(limit=share * mean, **given_)).run()
    critical = 0.4 * 0.4  # Of the services' part; it is never stopped.
    for period in result.whole:
        if share > 2.0 * critical:
            assert period.spent <= 1.01 * period.limit
        if period.refused_at_end:
            assert period.spent >= 0.95 * period.limit


def test_without_suspend_a_budget_is_overrun_and_nobody_is_stopped() -> None:
    free = run_budget(run())
    mean = float(np.mean([p.spent for p in free.whole]))
    loose = run_budget(run(limit=0.3 * mean, actions=(BudgetAction.CHEAPER_VARIANT,)))
    assert all(p.refused_hours == 0.0 for p in loose.whole)
    assert max(p.spent / p.limit for p in loose.whole) > 1.5


class Harsh(JudgedReplay):
    """Stops all jobs, however much is left."""

    def decide(self, standing: Standing, demands: tuple[Demand, ...]) -> Verdict:
        verdict = super().decide(standing, demands)
        return replace(verdict, level=5, planned=5, stopped=frozenset(d.key for d in demands if not d.service))


def test_hindsight_tells_a_suspension_that_was_needed_from_one_that_was_not() -> None:
    free = run_budget(run(hours=28.0)).whole[0].spent
    scarce = run_budget(run(limit=0.2 * free, hours=28.0)).whole[0]
    assert (scarce.suspensions > 0, scarce.needless, scarce.could_be_free) == (True, 0, False)
    harsh = Harsh(run(limit=2.0 * free, hours=28.0)).run().whole[0]
    assert (harsh.suspensions > 0, harsh.needless, harsh.could_be_free) == (True, harsh.suspensions, True)


def test_the_same_run_comes_to_the_same() -> None:
    options = run(limit=300.0, hours=30.0)
    assert run_budget(options) == run_budget(options)
    assert run_budget(options) != run_budget(replace(options, seed=1, unit=Unit.ENERGY))


def test_the_mean_intensity_is_that_of_the_hours() -> None:
    prices = Prices(1.0, 0.5, 1.0, np.array([100.0, 200.0, 300.0]))
    assert prices.mean_intensity(0.5, 1.5) == pytest.approx(150.0)
    assert prices.mean_intensity(2.5, 3.5) == pytest.approx(200.0)
    assert prices.mean_intensity(1.0, 1.0) == 200.0


def test_a_study_needs_a_whole_period() -> None:
    with pytest.raises(ValueError, match="no whole day"):
        list(study(run(hours=10.0), [Unit.COST], [0.5]))


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    files = {
        "--jobs": "gaia/pai_1k.csv",
        "--carbon": "carbon/US-CAL-CISO_2022_hourly.csv",
        "--requests": "azure/conv_first_900.csv",
    }
    words = ["simulate", "budgets", "--hours", "50", "--period", "Day", "--every", "10", "--shares", "0.5"]
    words += [word for option, name in files.items() for word in (option, str(DATA / name))]
    words += ["--units", "cost", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    assert "most spent" in result.output
    (row,) = json.loads((tmp_path / "result.json").read_text())
    assert (row["unit"], row["share"], row["periods"]) == ("cost", 0.5, 2)
    assert row["most_spent"] <= 1.01
    wrong = CliRunner().invoke(app, [*words[:-4], "--units", "water", "--out", str(tmp_path)])
    assert wrong.exit_code == 2
