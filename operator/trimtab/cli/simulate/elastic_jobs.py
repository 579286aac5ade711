"""`trimtab simulate training --format pollux`: elastic jobs that compete for a cluster."""

import numpy as np
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
from trimtab.simulate.elastic.run import POLICIES, ElasticRun, run_elastic
from trimtab.simulate.report.facts import RunFacts

REFERENCE = "run-at-once"

_ONLY_ON_GRID = (
    "own_forecast",
    "time_unit",
    "hours",
    "max_wait_short",
    "max_wait_long",
    "scaling",
    "switch_hours",
    "sensitivity",
)


def replay_elastic(context: typer.Context) -> None:
    """Run it with the options that the command line gave, and report.

    Raises:
        InputError: A file is wrong.
        typer.BadParameter: An option is.
    """
    options = context.params
    where = "with --format pollux"
    refuse_given(context, _ONLY_ON_GRID, where)
    names = chosen_policies(options["policies"], POLICIES, where)
    prepared_folder(options["out"])
    carbon = options["carbon"]
    run = ElasticRun(
        jobs=options["jobs"],
        traces=options["traces"],
        carbon=None if carbon is None else read_series(carbon, options["carbon_column"], options["start"]),
        start_hour=options["start"],
        forecast_error_pct=options["forecast_error"],
        policies=names,
        seed=options["seed"],
        **given(
            gpus_per_node=options["gpus_per_node"],
            nodes=_nodes(options["capacity"], options["gpus_per_node"] or ElasticRun.gpus_per_node),
            watts_per_gpu_busy=options["watts_per_unit"],
            usd_per_gpu_hour=options["usd_per_unit_hour"],
            usd_per_tonne=options["carbon_price"],
            usd_per_delay_hour=options["delay_price"],
        ),
    )
    results = run_elastic(run)
    series = run.carbon
    facts = RunFacts(
        kind="elastic",
        command=command_line(context),
        seed=run.seed,
        reference=REFERENCE,
        objective="mean completion time",
        settings=_settings(run),
        zone="" if series is None else series.zone,
        grams_per_kwh=np.zeros(0) if series is None else series.grams_per_kwh[run.start_hour :],
    )
    write_report(results, facts, options["out"], {"jobs": options["jobs"], "carbon": carbon})


def _nodes(capacity: float | None, gpus_per_node: int) -> int | None:
    if capacity is None:
        return None
    if capacity % gpus_per_node:
        message = f"{capacity:g} GPUs are no whole nodes of {gpus_per_node}; give a multiple, or --gpus-per-node"
        raise typer.BadParameter(message, param_hint="--capacity")
    return int(capacity / gpus_per_node)


def _settings(run: ElasticRun) -> tuple[tuple[str, str], ...]:
    gpu = f"{run.watts_per_gpu_busy:g} W ({run.watts_per_gpu_idle:g} W while its job restarts)"
    return (
        ("cluster", f"{run.nodes} nodes of {run.gpus_per_node} GPUs"),
        ("a GPU that is held", f"{gpu}, {run.usd_per_gpu_hour:g} USD an hour"),
        ("carbon price", f"{run.usd_per_tonne:g} USD a tonne"),
        ("worth of a job's end an hour sooner", f"{run.usd_per_delay_hour:g} USD"),
        ("forecast error", f"{run.forecast_error_pct:g} %"),
    )
