"""What `trimtab simulate serving` does."""

import numpy as np
import typer

from trimtab.cli.simulate.common import chosen_policies, command_line, prepared_folder, read_series, write_report
from trimtab.simulate.report.facts import RunFacts
from trimtab.simulate.serving.run import POLICIES, REFERENCE, Queues, ServingRun, run_serving


def replay_requests(context: typer.Context) -> None:
    """Run it with the options that the command line gave, and report.

    Raises:
        InputError: A file is wrong.
        typer.BadParameter: An option is.
    """
    options = context.params
    names = chosen_policies(options["policies"], POLICIES, "for serving")
    prepared_folder(options["out"])
    carbon = options["carbon"]
    series = None if carbon is None else read_series(carbon, options["carbon_column"], options["start"])
    run = ServingRun(
        arrivals=options["arrivals"],
        profiles=options["profiles"],
        format=options["format"].value,
        scale=options["scale"],
        slo_ms=options["slo_ms"],
        percentile=options["percentile"],
        min_accuracy=options["min_accuracy"],
        carbon=series,
        start_hour=options["start"],
        usd_per_tonne=options["carbon_price"],
        interval_seconds=options["interval_seconds"],
        queues=Queues(options["queues"].value),
        policies=names,
        seed=options["seed"],
    )
    results = run_serving(run)
    facts = RunFacts(
        kind="serving",
        command=command_line(context),
        seed=run.seed,
        reference=REFERENCE,
        objective="cost and priced carbon" if run.usd_per_tonne else "cost",
        least_attainment=run.percentile / 100,
        settings=_settings(run),
        zone="" if series is None else series.zone,
        grams_per_kwh=np.zeros(0) if series is None else series.grams_per_kwh[run.start_hour :],
    )
    files = {name: options[name] for name in ("arrivals", "profiles", "carbon")}
    write_report(results, facts, options["out"], files)


def _settings(run: ServingRun) -> tuple[tuple[str, str], ...]:
    target = "see the notes" if run.slo_ms is None else f"{run.slo_ms:g} ms"
    return (
        ("load", f"{run.scale:g} times that of the trace"),
        ("latency target", f"{target}, for {run.percentile:g} % of requests"),
        ("least accuracy", f"{run.min_accuracy:g}"),
        ("queues of servers", run.queues.value),
        ("control interval", f"{run.interval_seconds:g} s"),
        ("carbon price", f"{run.usd_per_tonne:g} USD a tonne"),
    )
