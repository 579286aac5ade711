"""`trimtab simulate training` with jobs of fixed size on a grid trace."""

from collections.abc import Sequence
from dataclasses import replace

import typer

from trimtab.cli.simulate.common import (
    chosen_policies,
    command_line,
    given,
    prepared_folder,
    read_series,
    refuse_given,
    write_report,
)
from trimtab.cli.simulate.options import REPEATED_UP_TO
from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.results import PolicyResult, Sensitivity
from trimtab.simulate.sensitivity import sensitivity
from trimtab.simulate.training.run import POLICIES, TrainingRun, run_training

REFERENCE = "run-at-once"

_ERRORS_PCT = (0.0, 5.0, 10.0, 20.0, 30.0)
_SLACKS = (0.5, 1.0, 2.0)


def replay_on_grid(context: typer.Context) -> None:
    """Run it with the options that the command line gave, and report.

    Raises:
        InputError: A file is wrong.
        typer.BadParameter: An option is.
    """
    options = context.params
    where = f"with --format {options['format'].value}"
    refuse_given(context, ("traces", "gpus_per_node", "delay_price"), where)
    if options["carbon"] is None:
        raise typer.BadParameter(f"it is needed {where}: give the carbon intensity of a grid", param_hint="--carbon")
    names = chosen_policies(options["policies"], POLICIES, where)
    prepared_folder(options["out"])
    run = TrainingRun(
        jobs=options["jobs"],
        carbon=read_series(options["carbon"], options["carbon_column"], options["start"]),
        format=options["format"].value,
        time_unit=options["time_unit"].value,
        start_hour=options["start"],
        hours=options["hours"],
        capacity=options["capacity"],
        max_wait_short_hours=options["max_wait_short"],
        max_wait_long_hours=options["max_wait_long"],
        forecast_error_pct=options["forecast_error"],
        own_forecast=options["own_forecast"],
        policies=names,
        seed=options["seed"],
        scaling=options["scaling"],
        **given(
            switch_hours=options["switch_hours"],
            watts_per_unit=options["watts_per_unit"],
            usd_per_unit_hour=options["usd_per_unit_hour"],
            usd_per_tonne=options["carbon_price"],
        ),
    )
    results = run_training(run)
    wanted = options["sensitivity"]
    if run.own_forecast:
        wanted = False  # It has an error of its own, and making it takes longer than all the rest.
    elif wanted is None:
        wanted = len(results[0].outcomes.jct_hours) <= REPEATED_UP_TO
    facts = RunFacts(
        kind="training",
        command=command_line(context),
        seed=run.seed,
        reference=REFERENCE,
        objective="cost and priced carbon" if run.usd_per_tonne else "carbon",
        settings=_settings(run),
        zone=run.carbon.zone,
        grams_per_kwh=run.carbon.grams_per_kwh[run.start_hour :],
        sensitivities=_sensitivities(run, results) if wanted else (),
    )
    write_report(results, facts, options["out"], {name: options[name] for name in ("jobs", "carbon", "scaling")})


def _settings(run: TrainingRun) -> tuple[tuple[str, str], ...]:
    price = f"{run.usd_per_tonne:g} USD a tonne" if run.usd_per_tonne else "none: carbon alone is to be least"
    return (
        ("jobs that arrive within", f"{run.hours:g} hours from hour {run.start_hour} of the carbon series"),
        ("longest wait", f"{run.max_wait_short_hours:g} h under two hours, {run.max_wait_long_hours:g} h above"),
        ("capacity", "unlimited" if run.capacity is None else f"{run.capacity:g} units"),
        ("forecast", "from the hours before" if run.own_forecast else f"error of {run.forecast_error_pct:g} %"),
        ("a unit that runs", f"{run.watts_per_unit:g} W, {run.usd_per_unit_hour:g} USD an hour"),
        ("carbon price", price),
        ("lost at each start", f"{run.switch_hours * 60:g} minutes"),
    )


def _sensitivities(run: TrainingRun, results: Sequence[PolicyResult]) -> tuple[Sensitivity, ...]:
    def with_error(value: float, names: tuple[str, ...]) -> tuple[PolicyResult, ...]:
        return run_training(replace(run, forecast_error_pct=value, policies=names))

    def with_slack(value: float, names: tuple[str, ...]) -> tuple[PolicyResult, ...]:
        short, long = value * run.max_wait_short_hours, value * run.max_wait_long_hours
        return run_training(replace(run, max_wait_short_hours=short, max_wait_long_hours=long, policies=names))

    errors = tuple(sorted({*_ERRORS_PCT, run.forecast_error_pct}))
    made = (
        sensitivity("Forecast error (%)", errors, run.forecast_error_pct, results, REFERENCE, with_error),
        sensitivity("Longest waits (times those of the run)", _SLACKS, 1.0, results, REFERENCE, with_slack),
    )
    return tuple(each for each in made if each is not None)
