"""`trimtab simulate training`: jobs on a grid trace, or elastic jobs that compete for a cluster."""

import typer

from trimtab.cli.simulate import options as of
from trimtab.cli.simulate.common import need_extra, said_errors


def training(
    context: typer.Context,
    jobs: of.Jobs,
    out: of.Out,
    format: of.Format = of.JobFormat.gaia,
    carbon: of.Carbon = None,
    carbon_column: of.CarbonColumn = None,
    start: of.Start = 0,
    hours: of.Hours = 720.0,
    capacity: of.Capacity = None,
    max_wait_short: of.MaxWaitShort = 6.0,
    max_wait_long: of.MaxWaitLong = 24.0,
    forecast_error: of.ForecastError = 0.0,
    own_forecast: of.OwnForecast = False,
    policies: of.Policies = None,
    seed: of.Seed = 0,
    time_unit: of.Unit = of.TimeUnit.auto,
    scaling: of.Scaling = None,
    switch_hours: of.SwitchHours = None,
    traces: of.Traces = None,
    gpus_per_node: of.GpusPerNode = None,
    watts_per_unit: of.WattsPerUnit = None,
    usd_per_unit_hour: of.UsdPerUnitHour = None,
    carbon_price: of.CarbonPrice = None,
    delay_price: of.DelayPrice = None,
    sensitivity: of.Sensitivity = None,
) -> None:
    """Replay training jobs under each policy: carbon, cost, waiting, and the distance to the optimum.

    Formats gaia and philly need --carbon; with pollux, carbon is counted where it is given.
    """
    need_extra()
    with said_errors():
        if format is of.JobFormat.pollux:
            from trimtab.cli.simulate.elastic_jobs import replay_elastic

            replay_elastic(context)
        else:
            from trimtab.cli.simulate.grid_jobs import replay_on_grid

            replay_on_grid(context)
