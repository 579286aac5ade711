"""`trimtab simulate serving`: requests to a served model."""

import typer

from trimtab.cli.simulate import options as of
from trimtab.cli.simulate.common import need_extra, said_errors


def serving(
    context: typer.Context,
    arrivals: of.Arrivals,
    profiles: of.Profiles,
    out: of.Out,
    format: of.RequestFormat = of.ArrivalFormat.azure,
    scale: of.Scale = 1.0,
    slo_ms: of.SloMs = None,
    percentile: of.Percentile = 99.0,
    min_accuracy: of.MinAccuracy = 0.0,
    carbon: of.Carbon = None,
    carbon_column: of.CarbonColumn = None,
    start: of.Start = 0,
    policies: of.Policies = None,
    seed: of.Seed = 0,
    interval_seconds: of.IntervalSeconds = 10.0,
    queues: of.Queues = of.QueueOrder.in_order,
    carbon_price: of.CarbonPrice = 0.0,
) -> None:
    """Replay requests under each policy: cost, latency, accuracy, and the distance to the optimum."""
    need_extra()
    with said_errors():
        from trimtab.cli.simulate.requests import replay_requests

        replay_requests(context)
