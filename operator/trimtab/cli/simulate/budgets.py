"""`trimtab simulate budgets`: months under budgets of cost, energy and carbon."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.simulate import options as of
from trimtab.cli.simulate.common import fail, need_extra, prepared_folder, read_series, said_errors

if TYPE_CHECKING:
    from trimtab.simulate.budgets.study import StudyRow


class Period(StrEnum):
    """Periods that end."""

    Day = "Day"
    Week = "Week"
    Month = "Month"


def budgets(
    jobs: of.Jobs,
    carbon: Annotated[Path, typer.Option(help="Hourly carbon intensity (CSV).")],
    requests: Annotated[Path, typer.Option(help="Azure trace of requests (CSV), stretched over a day.")],
    out: of.Out,
    carbon_column: of.CarbonColumn = None,
    scaling: of.Scaling = None,
    hours: Annotated[float, typer.Option(min=1, help="How long to simulate (h).")] = 4000.0,
    period: Annotated[Period, typer.Option(help="Of the budgets.")] = Period.Month,
    shares: Annotated[str, typer.Option(help="Limits, over what is spent without a budget.")] = "0.4,0.7,0.9",
    units: Annotated[str, typer.Option(help="What is budgeted: cost, energy, carbon.")] = "cost,energy,carbon",
    roll_over: Annotated[float, typer.Option(min=0, max=1, help="Share of the unused that is carried over.")] = 0.0,
    every: Annotated[int, typer.Option(min=1, help="Take every so many-th job of the trace.")] = 5,
    seed: of.Seed = 0,
) -> None:
    """Replay jobs and services under budgets, with the operator's own enforcement and a meter that lags.

    Prints how much was spent at most and used at least, and how many suspensions were needless with hindsight: the
    cheaper actions alone would have kept the rest of the period, as it came, within the limit.
    """
    need_extra()
    from trimtab.simulate.budgets import study as of_budgets
    from trimtab.simulate.budgets.replay import BudgetRun
    from trimtab.simulate.budgets.world import Scaling, Unit
    from trimtab.simulate.inputs.arrivals import read_azure
    from trimtab.simulate.inputs.training_jobs import read_gaia, read_scaling

    try:
        limits = [float(text) for text in shares.split(",")]
        counted = [Unit(text.strip()) for text in units.split(",")]
    except ValueError as error:
        fail(f"{error}; write for example --shares 0.4,0.7 --units cost,carbon")
    if any(not 0.0 < limit < 10.0 for limit in limits):
        fail(f"--shares {shares}: give numbers above 0, such as 0.4,0.7")
    prepared_folder(out)
    with said_errors():
        narrow = Scaling()
        if scaling is not None:
            profile = read_scaling(scaling)
            widest = min(4, len(profile.speed))
            narrow = Scaling(
                1.0 / widest,
                float(profile.speed[0] / profile.speed[widest - 1]),
                float(profile.power[0] / profile.power[widest - 1]),
            )
        base = BudgetRun(
            jobs=of_budgets.every(read_gaia(jobs), every),
            intensity=read_series(carbon, carbon_column, 0).grams_per_kwh,
            load=of_budgets.day_of_load(read_azure(requests)),
            unit=Unit.COST,
            hours=hours,
            limit=1.0,
            period=period.value,
            roll_over=roll_over,
            narrow=narrow,
            seed=seed,
        )
        rows = []
        for row in of_budgets.study(base, counted, limits):
            rows.append(row)
            typer.echo(f"{row.unit} at {row.share:g} of the unconstrained: done", err=True)
    (out / "result.json").write_text(json.dumps([row.to_json() for row in rows], indent=2), encoding="utf-8")
    for unit in counted:
        Console().print(_table([row for row in rows if row.unit is unit], unit.value, period.value))


def _table(rows: "list[StudyRow]", unit: str, period: str) -> Table:
    word = period.lower()
    table = Table("share of the limit", *(f"{row.share:g} x" for row in rows), title=f"Budgets of {unit}")
    lines = {
        f"{word}s": [str(row.periods) for row in rows],
        f"most spent in a {word}": [f"{row.most_spent:.4f}" for row in rows],
        "least spent, of what there was, where anything was done": [_share(row.least_used) for row in rows],
        "least spent where work was refused at the end": [_share(row.least_used_when_refused) for row in rows],
        "spent or kept for higher ranks at the first refusal": [_share(row.least_before_refusal) for row in rows],
        "time with refusals": [f"{row.refused_share:.1%}" for row in rows],
        "suspensions": [str(row.suspensions) for row in rows],
        "needless with hindsight": [str(row.needless) for row in rows],
        f"{word}s that cheaper actions would have kept": [str(row.free_periods) for row in rows],
        "jobs finished": [f"{row.finished_share:.1%}" for row in rows],
    }
    for name, cells in lines.items():
        table.add_row(name, *cells)
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
